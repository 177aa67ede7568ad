package daemon

import (
	"context"

	"griffier/collector/enrol"
)

// watchCertificate keeps the collector's own certificate fresh, where it has one,
// and tells when it ends. Connections to the store that are made after a renewal
// show the new one; those before it live for an hour at most.
func (d *daemon) watchCertificate() func(context.Context) {
	return enrol.NewRenewer(d.cfg.Identity(), d.cfg.Enrolment.Server, d.log, d.registry).Run
}
