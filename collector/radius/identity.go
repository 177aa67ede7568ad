package radius

import (
	"crypto/tls"
	"errors"
)

// SetIdentity replaces the certificate and the client CAs of RadSec: connections
// from now on get them, those that are open stay as they are. Listen and the
// limits are left as they were. On an error nothing changes. It is safe to call
// while serving.
func (s *Server) SetIdentity(r RadSec) error {
	if s.radsec == nil {
		return errors.New("radius: radsec: does not listen")
	}
	if err := r.validate(); err != nil {
		return err
	}
	s.radsec.identity.Store(r.tls())
	return nil
}

func (r *RadSec) tls() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{r.Certificate}, ClientCAs: r.ClientCAs,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
}
