package hold

import (
	"encoding/json"
	"fmt"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// KindPreview is the entry that somebody looked at what an act on a hold would do. It
// changes nothing.
const KindPreview = "hold.preview"

type previewFacts struct {
	HoldID string `json:"hold_id"`
	Act    string `json:"act"` // kind of the entry that was not made
}

// Previewed drafts the trace of a preview: to be told what would happen is to be told
// what is.
func Previewed(by warrant.Caller, d ledger.Draft, holdID string) ledger.Draft {
	return ledger.Draft{Kind: KindPreview, Actor: by.Actor, Role: d.Role, WarrantID: d.WarrantID, TaskID: d.TaskID, Generation: d.Generation,
		Facts: previewFacts{holdID, d.Kind}}
}

// Preview returns a hold as folding a draft at now would leave it, and what would
// become different, a sentence each. Nothing changes; the fold is the very one that
// the entry would meet.
func (r *Rules) Preview(s *State, now time.Time, d ledger.Draft, holdID string) (Hold, []string, error) {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		return Hold{}, nil, fmt.Errorf("preview %s: %w", d.Kind, err)
	}
	before, ok := s.Hold(holdID)
	if !ok {
		return Hold{}, nil, reason.New(reason.NotFound, "")
	}
	kept := before.clone()
	copied := NewState()
	copied.holds[holdID], copied.order = &kept, []string{holdID}
	err = copied.Apply(ledger.Entry{Header: ledger.Header{Kind: d.Kind, At: now, Actor: d.Actor, Role: d.Role, WarrantID: d.WarrantID, TaskID: d.TaskID,
		Generation: d.Generation, KeyID: d.KeyID, Facts: facts}})
	if err != nil {
		return Hold{}, nil, fmt.Errorf("preview: %w", err)
	}
	if copied.Ignored() > 0 {
		return Hold{}, nil, reason.New(reason.GenerationMismatch, "")
	}
	after, _ := copied.Hold(holdID)
	return after, r.effects(now, before, after), nil
}

func (r *Rules) effects(now time.Time, before, after Hold) []string {
	instant := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case before.Status(now) == Live && after.Status(now) != Live:
		return []string{fmt.Sprintf("the hold ends, which would have lasted until %s", instant(before.EndsAt)),
			fmt.Sprintf("what it has, %s rows, is destroyed within minutes, for good", before.RowBand)}
	case !after.EndsAt.Equal(before.EndsAt):
		return []string{fmt.Sprintf("ends at: %s becomes %s; it cannot be extended again", instant(before.EndsAt), instant(after.EndsAt))}
	case len(after.Approvals) > 0:
		mine := after.Approvals[len(after.Approvals)-1]
		other := warrant.LegalOfficer
		if mine.Role == warrant.LegalOfficer {
			other = warrant.LegalApprover
		}
		return []string{fmt.Sprintf("it waits for a second person, as %s, until %s; the hold still ends at %s", other, instant(mine.At.Add(r.ApprovalAge)), instant(before.EndsAt))}
	}
	return []string{"nothing that is shown becomes different"}
}
