package subject

import (
	"context"

	"griffier/api/retention/expiry"
)

// Place lets a retention proof see whether erasures are carried out in time.
type Place struct{ State *State }

// Name implements [expiry.Place].
func (Place) Name() string { return "erasures" }

// Check implements [expiry.Place].
func (p Place) Check(_ context.Context, l expiry.Limits) ([]expiry.Finding, error) {
	f := expiry.Finding{Place: "erasures", Verdict: expiry.Pass, Unit: "erasures"}
	for _, e := range p.State.Erasures() {
		if e.ApprovedAt.IsZero() {
			continue
		}
		f.Checked++
		since, late := e.ErasedAt, ""
		switch {
		case since.IsZero() && e.ApprovedAt.Add(lookInterval+expiry.Grace).Before(l.Now):
			since, late = e.ApprovedAt, "an erasure was approved and is not carried out: what is to be erased can be read"
		case !since.IsZero() && e.RewrittenAt.IsZero() && since.Add(RewriteWithin).Before(l.Now):
			late = "what was erased is not proved to be off the disk after eight days"
		}
		if late != "" && f.Verdict == expiry.Pass {
			f.Verdict, f.Oldest, f.Detail = expiry.Fail, since, late
			f.Cure = "see why in griffierd's log: `an erasure or a restriction was decided and is not carried out`, `erased data was not taken off the disk`"
		}
	}
	return []expiry.Finding{f}, nil
}
