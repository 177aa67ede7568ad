package warrantrpc

import (
	"context"
	"slices"
	"time"

	"griffier/api/auth"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// visible reports whether a warrant exists for a caller. To a lawyer from outside
// and to the privacy controller one does, with its documents, only while it is they who
// are asked to approve it, and once they have; to all but the overseer, only if it is of
// their teams.
func visible(rules *warrant.Rules, now time.Time, by warrant.Caller, overseer bool, w warrant.Warrant) bool {
	if overseer {
		return true
	}
	if !by.Within(w) {
		return false
	}
	if by.Has(warrant.LegalOfficer) || by.Has(warrant.LegalApprover) {
		return true
	}
	if slices.ContainsFunc(w.Approvals, func(a warrant.Approval) bool { return a.Actor == by.Actor }) {
		return true
	}
	return rules.Asks(w, now, by)
}

// Withheld reports whether the question of a task is not shown to the caller of the
// context at now ([warrant.Rules.Withheld]); the overseer, who keys none, sees it.
func Withheld(ctx context.Context, rules *warrant.Rules, w warrant.Warrant, t warrant.Task, now time.Time) bool {
	by, overseer, err := viewer(ctx)
	return err != nil || !overseer && rules.Withheld(w, t, now, by)
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
