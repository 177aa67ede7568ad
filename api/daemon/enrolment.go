package daemon

import (
	"fmt"
	"time"

	"griffier/api/enrol"
	"griffier/api/ledger"
	"griffier/api/pki"
)

// enrolment reads the CA of collectors, where one is configured; server has read
// the listener's identity.
func (s *services) enrolment(book *ledger.Log) (enrol.Config, error) {
	c := enrol.Config{Book: book, Keys: s.keys, State: s.enrolled, Life: s.cfg.Enrolment.CertificateLife, Now: time.Now}
	if s.cfg.Enrolment.CAKeyFile == "" {
		return c, nil // the service says what to configure
	}
	ca, err := pki.LoadAuthority(s.cfg.Enrolment.CACertFile, s.cfg.Enrolment.CAKeyFile)
	if err != nil {
		return c, fmt.Errorf("enrolment: %w", err)
	}
	if !s.identity.Accepts(ca.Certificate()) {
		return c, fmt.Errorf("enrolment: %s is not in tls.client_ca_file: nobody could renew what it issues; add it there", s.cfg.Enrolment.CACertFile)
	}
	c.Authority, c.Anchor = ca, s.identity.Anchor
	return c, nil
}
