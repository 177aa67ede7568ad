package warrantrpc

import (
	"context"
	"slices"

	"griffier/api/auth"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// visible reports whether a warrant exists for a caller. To a lawyer from outside
// and to the privacy controller one does only while it may need their approval, and
// once they have given it.
func visible(by warrant.Caller, overseer bool, w warrant.Warrant) bool {
	if overseer || by.Has(warrant.LegalOfficer) || by.Has(warrant.LegalApprover) {
		return true
	}
	if slices.ContainsFunc(w.Approvals, func(a warrant.Approval) bool { return a.Actor == by.Actor }) {
		return true
	}
	if w.Ended != "" {
		return false
	}
	return by.Has(warrant.ExternalApprover) || by.Has(warrant.PrivacyController) && w.ThirdApprover
}

// viewer returns the caller, and whether it is the overseer.
func viewer(ctx context.Context) (warrant.Caller, bool, error) {
	by, err := Caller(ctx)
	if err != nil {
		return warrant.Caller{}, false, err
	}
	c, _ := auth.FromContext(ctx)
	return by, c.Has(griffierv1.Role_ROLE_OVERSEER), nil
}
