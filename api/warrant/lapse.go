package warrant

import (
	"encoding/json"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindLapse tells, after the fact, that time brought a warrant into a state.
const KindLapse = "warrant.lapse"

// Lapse is a state that nobody decided: EXPIRED, or SUSPENDED for want of paper.
type Lapse struct {
	State WarrantState `json:"state"`
	At    time.Time    `json:"at"` // since when
}

// Lapsed returns the lapse of a warrant that the ledger was not told of yet. The
// state does not depend on its being told: the entry is there so that the ledger
// has every transition in it.
func (w *Warrant) Lapsed(now time.Time) (Lapse, bool) {
	var l Lapse
	switch {
	case w.Ended != "":
		return Lapse{}, false
	case !now.Before(w.ValidUntil):
		l = Lapse{Expired, w.ValidUntil.UTC()}
	case w.paperOverdue(now):
		l = Lapse{Suspended, w.PaperBy.UTC()}
	default:
		return Lapse{}, false
	}
	return l, l.State != w.Noted.State || !l.At.Equal(w.Noted.At)
}

// NoteLapse drafts the entry that tells it.
func (r *Rules) NoteLapse(s *State, now time.Time, by Caller, warrantID string) (ledger.Draft, *reason.Error) {
	w, ok := s.Warrant(warrantID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	l, ok := w.Lapsed(now)
	if !ok {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "There is nothing to note.")
	}
	why := reason.WarrantExpired
	if l.State == Suspended {
		why = reason.WarrantSuspended
	}
	return ledger.Draft{Kind: KindLapse, Actor: by.Actor, Role: string(Executor), WarrantID: w.ID, Generation: w.Generation, Reason: string(why), Facts: l}, nil
}

func (s *State) applyLapse(e ledger.Entry) (bool, error) {
	var l Lapse
	if err := json.Unmarshal(e.Header.Facts, &l); err != nil {
		return false, err
	}
	w := s.warrants[e.Header.WarrantID]
	if w == nil || w.Noted == l {
		return false, nil
	}
	w.Noted = l
	return true, nil
}
