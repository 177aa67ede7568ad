package oversight

import (
	"encoding/json"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// KindFault is the entry of an error in the legal work, as overseers report on
// them every year (IPCO 2017 to 2019): a wrong line, a wrong time, a typing error.
const KindFault = "oversight.error"

// FaultKind is what went wrong.
type FaultKind string

// Kinds of error.
const (
	WrongLine       FaultKind = "WRONG_LINE"
	WrongTime       FaultKind = "WRONG_TIME"
	WrongAddress    FaultKind = "WRONG_ADDRESS"
	WrongIdentifier FaultKind = "WRONG_IDENTIFIER"
	OverDisclosure  FaultKind = "OVER_DISCLOSURE"
	WrongRecipient  FaultKind = "WRONG_RECIPIENT"
	NoAuthority     FaultKind = "NO_AUTHORITY" // disclosed without a valid warrant
	LateDisclosure  FaultKind = "LATE_DISCLOSURE"
	OtherFault      FaultKind = "OTHER"
)

// FaultKinds lists them.
var FaultKinds = []FaultKind{WrongLine, WrongTime, WrongAddress, WrongIdentifier, OverDisclosure, WrongRecipient, NoAuthority, LateDisclosure, OtherFault}

// Severity is what an error did.
type Severity string

// Severities. A serious error did significant harm to a person, such as an arrest.
const (
	NearMiss Severity = "NEAR_MISS" // found before anything left
	Minor    Severity = "MINOR"
	Serious  Severity = "SERIOUS"
)

// Severities lists them.
var Severities = []Severity{NearMiss, Minor, Serious}

// Cause is where an error came from.
type Cause string

// Causes.
const (
	TypingError      Cause = "TYPING"
	TimeZoneError    Cause = "TIME_ZONE"
	AuthorityError   Cause = "AUTHORITY" // the order itself was wrong
	Misunderstanding Cause = "INTERPRETATION"
	RecordsError     Cause = "RECORDS" // what we hold was wrong
	SoftwareError    Cause = "SOFTWARE"
	ProcessError     Cause = "PROCEDURE"
)

// Causes lists them.
var Causes = []Cause{TypingError, TimeZoneError, AuthorityError, Misunderstanding, RecordsError, SoftwareError, ProcessError}

// Fault is a recorded error. What happened to whom is in the sealed body.
type Fault struct {
	ID          string
	Kind        FaultKind
	Severity    Severity
	Cause       Cause
	WarrantID   string
	TaskID      string
	RecallIndex uint64 // ledger entry of the recall of the package; 0: none
	By, Role    string
	At          time.Time
	Index       uint64
}

// FaultRequest asks to record one. ID is random, made by the shell, which also has
// checked that a recall of the task's package is entered at RecallIndex.
type FaultRequest struct {
	ID                string
	Kind              FaultKind
	Severity          Severity
	Cause             Cause
	WarrantID, TaskID string
	RecallIndex       uint64
	FaultBody
}

// FaultBody is the sealed part.
type FaultBody struct {
	What         string `json:"what"`
	Consequences string `json:"consequences"`
	Measures     string `json:"measures"`
}

type faultFacts struct {
	ID          string    `json:"id"`
	Kind        FaultKind `json:"kind"`
	Severity    Severity  `json:"severity"`
	Cause       Cause     `json:"cause"`
	RecallIndex uint64    `json:"recall_index,omitempty"`
}

// Report judges and drafts it. The body is sealed under a class key: it outlives
// the dossier, since what was learnt must. Whoever reports does not need to have
// made the error, and nothing is taken back: a later entry corrects an earlier one.
func (s *State) Report(legal *warrant.State, actor, role, classKey string, req FaultRequest) (ledger.Draft, *reason.Error) {
	var bad []reason.Violation
	check := func(ok bool, field, description string) {
		if !ok {
			bad = append(bad, reason.Violation{Field: field, Description: description})
		}
	}
	check(slices.Contains(FaultKinds, req.Kind), "kind", "is required")
	check(slices.Contains(Severities, req.Severity), "severity", "is required: near miss, minor or serious")
	check(slices.Contains(Causes, req.Cause), "cause", "is required")
	bad = append(bad, textOf("what", req.What, true)...)
	bad = append(bad, textOf("consequences", req.Consequences, req.Severity == Serious)...)
	bad = append(bad, textOf("measures", req.Measures, false)...)
	check(req.TaskID == "" || req.WarrantID != "", "warrant_id", "is required with a task")
	check(req.RecallIndex == 0 || req.TaskID != "", "task_id", "is required with a recall")
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	if req.WarrantID != "" {
		if _, ok := legal.Warrant(req.WarrantID); !ok {
			return ledger.Draft{}, reason.New(reason.NotFound, "")
		}
	}
	if req.TaskID != "" {
		if t, _, ok := legal.Task(req.TaskID); !ok || t.WarrantID != req.WarrantID {
			return ledger.Draft{}, reason.New(reason.NotFound, "")
		}
	}
	return ledger.Draft{Kind: KindFault, Actor: actor, Role: role, WarrantID: req.WarrantID, TaskID: req.TaskID, KeyID: classKey,
		Facts: faultFacts{req.ID, req.Kind, req.Severity, req.Cause, req.RecallIndex}, Body: req.FaultBody}, nil
}

// Faults returns those recorded in [from, to), oldest first.
func (s *State) Faults(from, to time.Time) []Fault {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Fault
	for _, f := range s.faults {
		if !f.At.Before(from) && f.At.Before(to) {
			out = append(out, f)
		}
	}
	return out
}

func (s *State) applyFault(e ledger.Entry) error {
	var f faultFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	s.faults = append(s.faults, Fault{ID: f.ID, Kind: f.Kind, Severity: f.Severity, Cause: f.Cause, RecallIndex: f.RecallIndex,
		WarrantID: e.Header.WarrantID, TaskID: e.Header.TaskID, By: e.Header.Actor, Role: e.Header.Role, At: e.Header.At, Index: e.Index})
	return nil
}
