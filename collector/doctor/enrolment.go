package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"griffier/collector/enrol"
)

// renewalGrace is how long a renewal may be due before that is worth a warning:
// griffierd may be restarting.
const renewalGrace = 24 * time.Hour

// checkEnrolment looks at the collector's own certificate.
func checkEnrolment(_ context.Context, s *system) Finding {
	i, err := s.config.Identity().Load()
	switch {
	case errors.Is(err, enrol.ErrNotEnrolled) && s.config.Store.Socket != "":
		return skip("the store is a unix socket, which asks for no certificate")
	case errors.Is(err, enrol.ErrNotEnrolled):
		return skip("the collector has no certificate of its own, which only a store server that asks for one needs")
	case err != nil:
		return Finding{Status: Fail, Found: "the collector's certificate cannot be used", Cause: err.Error(),
			Cure: "the collector's user must be able to read " + s.config.Enrolment.Dir + "; else enrol anew: " + enrolAnew(s.config.CollectorID)}
	}
	return judgeIdentity(i, s.config.CollectorID, time.Now())
}

func enrolAnew(collectorID string) string {
	return "griffier collector token " + collectorID + ", then griffier-collector -enrol"
}

func judgeIdentity(i *enrol.Identity, collectorID string, now time.Time) Finding {
	leaf := i.Leaf()
	until := leaf.NotAfter.Format(time.RFC3339)
	due := enrol.RenewAt(leaf)
	switch {
	case i.CollectorID != collectorID:
		return Finding{Status: Fail, Found: fmt.Sprintf("the certificate is of collector %s, the configuration of %s", i.CollectorID, collectorID),
			Cause: "the store would know it as another", Cure: "enrol anew: " + enrolAnew(collectorID)}
	case now.Before(leaf.NotBefore):
		return Finding{Status: Fail, Found: "the collector's certificate is valid from " + leaf.NotBefore.Format(time.RFC3339),
			Cause: "nobody accepts it yet", Cure: "look at this host's clock"}
	case !now.Before(leaf.NotAfter):
		return Finding{Status: Fail, Found: "the collector's certificate ended at " + until,
			Cause: "nobody accepts it, griffierd neither", Cure: "enrol anew: " + enrolAnew(collectorID)}
	case now.After(due.Add(min(renewalGrace, leaf.NotAfter.Sub(leaf.NotBefore)/20))):
		return Finding{Status: Warn, Found: "the collector's certificate ends at " + until + " and was not renewed",
			Cause: "its renewal has been due since " + due.Format(time.RFC3339) + ": the collector does not run, griffierd is not reached, or the collector was revoked",
			Cure:  "look for certificate in the collector's log, and at whether griffierd answers at " + i.Server + " from here"}
	}
	return pass("%s until %s, renewed from %s on at %s", i.CollectorID, leaf.NotAfter.Format(time.DateOnly), due.Format(time.DateOnly), i.Server)
}
