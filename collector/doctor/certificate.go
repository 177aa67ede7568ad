package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"
)

// renewBefore is how long before its end a certificate is worth a warning.
const renewBefore = 21 * 24 * time.Hour

// checkCertificates looks at the certificate of RADIUS over TLS.
func checkCertificates(_ context.Context, s *system) Finding {
	r, err := s.config.RadSec()
	if err != nil {
		return Finding{Status: Fail, Found: "the certificate of radius.radsec cannot be used", Cause: err.Error(),
			Cure: "correct cert_file, key_file and client_ca_file; the collector's user must be able to read them"}
	}
	if r == nil {
		return skip("no radius.radsec is configured")
	}
	leaf, err := x509.ParseCertificate(r.Certificate.Certificate[0])
	if err != nil {
		return Finding{Status: Fail, Found: "the certificate of radius.radsec cannot be used", Cause: err.Error(), Cure: "have it issued again"}
	}
	return judgeCertificate(leaf.NotBefore, leaf.NotAfter, time.Now())
}

func judgeCertificate(from, until, now time.Time) Finding {
	const cure = "have it renewed, put it in place, then: systemctl reload griffier-collector"
	left := until.Sub(now)
	switch {
	case now.Before(from):
		return Finding{Status: Fail, Found: fmt.Sprintf("the certificate of radius.radsec is valid from %s", from.Format(time.RFC3339)),
			Cause: "no NAS accepts it yet", Cure: "look at this host's clock; else " + cure}
	case left <= 0:
		return Finding{Status: Fail, Found: fmt.Sprintf("the certificate of radius.radsec ended at %s", until.Format(time.RFC3339)),
			Cause: "no NAS accepts it any more", Cure: cure}
	case left < renewBefore:
		return Finding{Status: Warn, Found: fmt.Sprintf("the certificate of radius.radsec ends at %s", until.Format(time.RFC3339)),
			Cause: fmt.Sprintf("in %d days no NAS accepts it any more", int(left.Hours()/24)), Cure: cure}
	}
	return pass("radius.radsec until %s", until.Format(time.DateOnly))
}
