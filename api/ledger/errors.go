package ledger

import (
	"errors"
	"fmt"
)

var (
	// ErrUnavailable says that the ledger cannot take entries now, and that
	// nothing was appended for this call (LEDGER_UNAVAILABLE).
	ErrUnavailable = errors.New("ledger is unavailable")
	// ErrUnknownOutcome says that the entry was handed in and may or may not be
	// in the log. A retry with the same request id finds out (UNKNOWN_OUTCOME).
	ErrUnknownOutcome = errors.New("outcome is not known yet; retry with the same request id")
	// ErrClock says that the clock stands before the newest entry by more than
	// the tolerance; nothing was decided (CLOCK_UNTRUSTED).
	ErrClock = errors.New("clock stands before the newest ledger entry")
	// ErrTooLarge says that the entry exceeds MaxEntryBytes.
	ErrTooLarge = errors.New("entry is too large")
	// ErrLocked says that another process owns the folder.
	ErrLocked = errors.New("ledger is in use")
	// ErrTampered says that the log's files do not agree with each other.
	ErrTampered = errors.New("ledger is damaged or was altered")
	// ErrWitness says that the log and the witness file disagree; see
	// WitnessError.
	ErrWitness = errors.New("ledger does not agree with its witness")
	// ErrNotFound says that the log has no entry of that index yet.
	ErrNotFound = errors.New("no such ledger entry")
	// ErrPanic says that the function given to Decide panicked; nothing was
	// appended.
	ErrPanic = errors.New("decision panicked")
	// ErrClosed says that the log was closed.
	ErrClosed = fmt.Errorf("ledger is closed: %w", ErrUnavailable)
)

// WitnessCause is in what way log and witness disagree.
type WitnessCause string

const (
	WitnessMissing    WitnessCause = "missing"    // the log has entries, the file is gone
	WitnessUnreadable WitnessCause = "unreadable" // not what was written, or signed by another key
	WitnessRegress    WitnessCause = "regress"    // the log is shorter than the file remembers
	WitnessMismatch   WitnessCause = "mismatch"   // the same length once, with other content
	// WitnessUnreachable: too few of the witnesses and the second sink answered.
	WitnessUnreachable WitnessCause = "unreachable"
)

// WitnessError says in what way the log disagrees with the witness file, or with
// a remote. errors.Is(err, ErrWitness) holds.
type WitnessError struct {
	Cause       WitnessCause
	LogSize     uint64
	WitnessSize uint64 // 0 when missing, unreadable or unreachable
	File        string // empty when it is about a remote
	Remote      string // the name of the witness or second sink that disagrees
	Detail      error  // may be nil
	// When too few answered: how many were asked, how many of those must answer, and did.
	Asked, Needed, Answered int
}

func (e *WitnessError) Error() string {
	who := "the witness file " + e.File
	if e.Remote != "" {
		who = e.Remote
	}
	var what, cure string
	switch e.Cause {
	case WitnessMissing:
		what = fmt.Sprintf("the log has %d entries and %s is missing", e.LogSize, who)
		cure = "bring the witness file back"
	case WitnessUnreadable:
		what = fmt.Sprintf("%s cannot be trusted (%v)", who, e.Detail)
		cure = "bring the witness file back"
	case WitnessUnreachable:
		what = fmt.Sprintf("%d of the %d witnesses and second sink answered, and %d must (%v)", e.Answered, e.Asked, e.Needed, e.Detail)
		cure = "let enough of them answer"
	case WitnessRegress:
		what = fmt.Sprintf("the log has %d entries, %s remembers %d: an older copy of the ledger was put in place", e.LogSize, who, e.WitnessSize)
		cure = "bring the newer ledger back, from the second sink with `griffier ledger recover`"
	default:
		what = fmt.Sprintf("the log's first %d entries are not those that %s remembers", e.WitnessSize, who)
		cure = "bring the ledger back that it remembers, from the second sink with `griffier ledger recover`"
	}
	last := "start griffierd once with -accept-witness-loss, which is itself entered in the ledger"
	if e.Remote != "" { // the operator alone cannot overrule it
		last = "whoever runs it sets what it remembers aside (`griffier witness forget`, `griffier ledger-sink forget`)"
	}
	return fmt.Sprintf("%v: %s; nothing is decided until you %s, run `griffier ledger verify`, or, if it is lost for good, %s", ErrWitness, what, cure, last)
}

// Unwrap makes errors.Is(err, ErrWitness) true.
func (e *WitnessError) Unwrap() error { return ErrWitness }
