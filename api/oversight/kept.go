package oversight

import (
	"encoding/json"
	"slices"
	"time"

	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/warrant"
)

// KindKept is the entry of what came of preserving what is not executed.
const KindKept = "warrant.not_executed_kept"

// Preserve says whether, and why or why not, what an order asks is preserved when its
// non-execution is recorded (disclosure.md D-46).
type Preserve string

// By law, the addressee of an EPOC preserves what it asks from its receipt on, as far as
// possible, until it is produced or the order withdrawn (Regulation (EU) 2023/1543 art.
// 10(1) and (9)), also while the authority looks at immunities (10(5)), at what is
// missing (10(6)) or at a conflict of law (17). The legal profile says which bases have
// such a rule, and bounds the time. National ones have none: there nothing is kept
// without an order to preserve.
const (
	PreserveByLaw   Preserve = "BY_LAW"
	PreserveNoRule  Preserve = "NO_RULE"          // the legal basis has no such rule
	PreserveReason  Preserve = "REASON"           // see unpreserved
	PreserveNoOrder Preserve = "NOT_ENTITLED"     // the authority may not use the basis: there is no order that binds
	PreserveEnded   Preserve = "WARRANT_TERMINAL" // it has lapsed or was withdrawn
)

// unpreserved are the reasons for which there is nothing to preserve, or no order: data
// that is not held, and one who is no issuing authority (art. 4), whose letter is no
// ground for keeping anybody's data.
var unpreserved = []Why{DataNotHeld, InvalidIssuingAuthority}

// preserves says what the law wants of a non-execution, and for how many days.
func preserves(rules *warrant.Rules, w warrant.Warrant, now time.Time, why Why) (Preserve, int) {
	basis, ok := rules.Law().Basis(w.Basis)
	switch {
	case !ok || basis.Disabled || basis.NonExecutionHoldDays == 0:
		return PreserveNoRule, 0
	case slices.Contains(unpreserved, why):
		return PreserveReason, 0
	case w.State(now).Terminal():
		return PreserveEnded, 0
	case rules.MayOrder(w) != nil:
		return PreserveNoOrder, 0
	}
	return PreserveByLaw, basis.NonExecutionHoldDays
}

type keptFacts struct {
	ID   string      `json:"id"`
	Kept []hold.Kept `json:"kept"`
}

// KeptDraft drafts what came of preserving a non-execution's questions.
func KeptDraft(d NonExecution, generation uint64, kept []hold.Kept) ledger.Draft {
	return ledger.Draft{Kind: KindKept, Actor: "griffierd", Role: string(warrant.Executor), WarrantID: d.WarrantID, TaskID: d.TaskID, Generation: generation,
		Facts: keptFacts{d.ID, kept}}
}

// Unkept returns the non-executions whose questions are still to be preserved, oldest
// first.
func (s *State) Unkept() []NonExecution {
	return slices.DeleteFunc(s.NonExecutions(""), func(d NonExecution) bool { return d.Preserve != PreserveByLaw || !d.KeptAt.IsZero() })
}

func (s *State) applyKept(e ledger.Entry) error {
	var f keptFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	for i := range s.declined {
		if d := &s.declined[i]; d.ID == f.ID && d.KeptAt.IsZero() {
			d.KeptAt, d.Kept = e.Header.At, f.Kept
		}
	}
	return nil
}
