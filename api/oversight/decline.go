package oversight

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Kinds of entry of what cannot be complied with.
const (
	KindWarrantNotExecuted = "warrant.not_executed"
	KindTaskNotExecuted    = "task.not_executed"
)

// Why is why a warrant or a task is not executed (ETSI TS 104 144 clause 6.4.4; the
// form of Annex III of Regulation (EU) 2023/1543).
type Why string

// The ten reasons of non-execution.
const (
	Incomplete               Why = "INCOMPLETE"
	ManifestErrors           Why = "MANIFEST_ERRORS"
	InsufficientInformation  Why = "INSUFFICIENT_INFORMATION"
	DataNotHeld              Why = "DATA_NOT_HELD"
	DeFactoImpossibility     Why = "DE_FACTO_IMPOSSIBILITY"
	InvalidIssuingAuthority  Why = "INVALID_ISSUING_AUTHORITY"
	OffenceNotCovered        Why = "OFFENCE_NOT_COVERED"
	ServiceNotCovered        Why = "SERVICE_NOT_COVERED"
	ImmunitiesOrPrivileges   Why = "IMMUNITIES_OR_PRIVILEGES"
	ConflictOfLaw            Why = "CONFLICT_OF_LAW"
	maxText                      = 4000
	maxNonExecutionsAWarrant     = 50
)

// Whys lists the reasons of non-execution.
var Whys = []Why{Incomplete, ManifestErrors, InsufficientInformation, DataNotHeld, DeFactoImpossibility,
	InvalidIssuingAuthority, OffenceNotCovered, ServiceNotCovered, ImmunitiesOrPrivileges, ConflictOfLaw}

// NonExecution is a recorded one.
type NonExecution struct {
	ID        string
	WarrantID string
	TaskID    string // empty: the whole warrant
	Why       Why
	By        string // pseudonym
	At        time.Time
	Index     uint64
	// Preserve says whether what is asked is preserved meanwhile, for Days days. KeptAt
	// is when that was done, and Kept what came of each question; zero: not yet.
	Preserve Preserve
	Days     int
	KeptAt   time.Time
	Kept     []hold.Kept
}

// NonExecutionRequest asks to record one. ID is random, made by the shell.
type NonExecutionRequest struct {
	ID, WarrantID, TaskID string
	Why                   Why
	Explanation           string // for the authority; sealed under the case key
}

type declineFacts struct {
	ID       string   `json:"id"`
	Why      Why      `json:"why"`
	Preserve Preserve `json:"preserve"`
	Days     int      `json:"days,omitempty"`
}

// TextBody is the sealed body of what people write to an entry.
type TextBody struct {
	Text string `json:"text"`
}

// NotExecuted judges and drafts it. It records and ends nothing: the authority may
// put right what is wrong, and the task be executed then. The entry says whether what is
// asked is preserved meanwhile, and stands before any of it is read. Reasons: NOT_FOUND,
// WARRANT_TERMINAL for what was rejected, revoked or is disclosed already.
func (s *State) NotExecuted(legal *warrant.State, rules *warrant.Rules, now time.Time, by warrant.Caller, req NonExecutionRequest) (ledger.Draft, *reason.Error) {
	if !by.Has(warrant.LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	var bad []reason.Violation
	if !slices.Contains(Whys, req.Why) {
		bad = append(bad, reason.Violation{Field: "reason", Description: "is required: one of the ten of TS 104 144"})
	}
	bad = append(bad, textOf("explanation", req.Explanation, false)...)
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	w, ok := legal.Warrant(req.WarrantID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	kind := KindWarrantNotExecuted
	if req.TaskID != "" {
		kind = KindTaskNotExecuted
		t, _, ok := legal.Task(req.TaskID)
		switch {
		case !ok || t.WarrantID != w.ID:
			return ledger.Draft{}, reason.New(reason.NotFound, "")
		case !t.ReleasedAt.IsZero():
			return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The task is answered.")
		}
	} else if slices.Contains([]warrant.WarrantState{warrant.Rejected, warrant.Revoked}, w.State(now)) {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "")
	}
	n := 0
	for _, d := range s.NonExecutions(w.ID) {
		if n++; d.TaskID == req.TaskID && d.Why == req.Why {
			return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It is recorded already, for the same reason.")
		}
	}
	if n >= maxNonExecutionsAWarrant {
		return ledger.Draft{}, reason.New(reason.RateLimited, fmt.Sprintf("A warrant has at most %d.", maxNonExecutionsAWarrant))
	}
	preserve, days := preserves(rules, w, now, req.Why)
	return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(warrant.LegalOfficer), WarrantID: w.ID, TaskID: req.TaskID,
		Generation: w.Generation, Reason: string(req.Why), KeyID: w.KeyID, Facts: declineFacts{req.ID, req.Why, preserve, days}, Body: TextBody{req.Explanation}}, nil
}

// textOf checks a text that somebody wrote.
func textOf(field, text string, required bool) []reason.Violation {
	switch {
	case required && text == "":
		return []reason.Violation{{Field: field, Description: "is required"}}
	case len(text) > maxText:
		return []reason.Violation{{Field: field, Description: fmt.Sprintf("is longer than %d bytes", maxText)}}
	}
	return nil
}

// NonExecutions returns those of a warrant, or all if it is empty, oldest first.
func (s *State) NonExecutions(warrantID string) []NonExecution {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []NonExecution
	for _, d := range s.declined {
		if warrantID == "" || d.WarrantID == warrantID {
			out = append(out, d)
		}
	}
	return out
}

func (s *State) applyNotExecuted(e ledger.Entry) error {
	var f declineFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	s.declined = append(s.declined, NonExecution{ID: f.ID, WarrantID: e.Header.WarrantID, TaskID: e.Header.TaskID, Why: f.Why,
		By: e.Header.Actor, At: e.Header.At, Index: e.Index, Preserve: f.Preserve, Days: f.Days})
	return nil
}
