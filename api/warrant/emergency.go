package warrant

import (
	"encoding/json"
	"fmt"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindPaper records that the paper of an oral order came.
const KindPaper = "warrant.paper"

// paperDue reports whether the paper of an oral order, or the second approval,
// is not there yet.
func (w *Warrant) paperDue() bool { return w.Emergency && (w.PaperAt.IsZero() || !w.approved()) }

func (w *Warrant) paperOverdue(now time.Time) bool { return w.paperDue() && !now.Before(w.PaperBy) }

// StateDetail says why a warrant is in its state at now, where that is not plain.
func (w *Warrant) StateDetail(now time.Time) string {
	if w.State(now) == Suspended {
		return w.whySuspended()
	}
	return ""
}

func (w *Warrant) whySuspended() string {
	if !w.SuspendedAt.IsZero() {
		return "A person suspended it, and two people must resume it."
	}
	return "The paper of the oral order, or the second approval, was not there in time: record the paper and approve."
}

// urgency refuses an oral order, or a priority, that the basis does not know.
func (r *Rules) urgency(b Basis, c Content) *reason.Error {
	var bad []reason.Violation
	complain := func(field, description string) {
		bad = append(bad, reason.Violation{Field: "content." + field, Description: description})
	}
	if c.Emergency && !b.OralOK {
		complain("emergency", "is not for this basis: it takes no oral order")
	}
	if c.Emergency && len(c.Targets) > r.ThirdApproverAbove {
		complain("targets", fmt.Sprintf("are more than %d: so many are not ordered orally", r.ThirdApproverAbove))
	}
	if _, ok := b.Deadline(c.Priority); c.Priority != "" && !ok {
		complain("priority", "is not one of this basis")
	}
	if len(bad) > 0 {
		return reason.Invalid(reason.WarrantIncomplete, bad...)
	}
	return nil
}

// PaperRequest records the document that confirms an oral order. Note is sealed.
type PaperRequest struct {
	WarrantID      string
	Generation     uint64
	DocumentSHA256 string
	Note           string
}

type paperFacts struct {
	Revision    uint64 `json:"revision"`
	DocumentKey string `json:"document_key"` // as in createFacts
}

// documentBody is the sealed body of an act by a document: its hash, and why.
type documentBody struct {
	DocumentSHA256 string `json:"document_sha256,omitempty"`
	Explanation    string `json:"explanation,omitempty"`
}

// Paper records that the paper of an oral order came, also when it came late: the
// warrant is then suspended, and lives again with the second approval. A paper that
// says something else than the oral order is none: edit the warrant.
func (r *Rules) Paper(s *State, now time.Time, by Caller, req PaperRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	role, err := by.legal()
	if err != nil {
		return ledger.Draft{}, err
	}
	if !w.Emergency || !w.PaperAt.IsZero() {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It waits for no paper.")
	}
	if err := checkDocument(req.DocumentSHA256, req.Note); err != nil {
		return ledger.Draft{}, err
	}
	return ledger.Draft{Kind: KindPaper, Actor: by.Actor, Role: string(role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: paperFacts{w.Revision, r.documentKey(req.DocumentSHA256)}, Body: documentBody{req.DocumentSHA256, req.Note}}, nil
}

func (s *State) applyPaper(e ledger.Entry) (bool, error) {
	var f paperFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || !w.Emergency || !w.PaperAt.IsZero() {
		return false, nil
	}
	w.PaperAt, w.DocumentKey = e.Header.At, f.DocumentKey
	w.Revision++
	return true, nil
}

// checkDocument judges the form of the document and explanation of an act.
func checkDocument(sha256, explanation string) *reason.Error {
	var bad []reason.Violation
	if !sha256Form.MatchString(sha256) {
		bad = append(bad, reason.Violation{Field: "document_sha256", Description: "must be 64 lower-case hexadecimal digits"})
	}
	if len(explanation) > maxExplanation {
		bad = append(bad, tooLong)
	}
	if len(bad) > 0 {
		return reason.Invalid(reason.InvalidRequest, bad...)
	}
	return nil
}

var tooLong = reason.Violation{Field: "explanation", Description: fmt.Sprintf("is longer than %d bytes", maxExplanation)}
