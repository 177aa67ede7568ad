package oversight

import (
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Kinds of entry about the secrecy of a warrant's disclosures.
const (
	KindSecrecyKept  = "warrant.secrecy_kept"  // asked, and the authority wants it kept
	KindSecrecyEnded = "warrant.secrecy_ended" // the authority, or the officer, confirmed that it has ended
)

// SecrecyReminder is after which time the legal officer is reminded to ask the
// authority. Nothing ends by time: that could tip off a suspect (D-72).
const SecrecyReminder = 90 * 24 * time.Hour

// Secrecy is what is known of a warrant's. Every disclosure is secret until it is
// confirmed that it no longer is.
type Secrecy struct {
	AskedAt time.Time // last; zero: never
	EndedAt time.Time
	EndedBy string
}

// Ended reports whether a person may be told.
func (x Secrecy) Ended() bool { return !x.EndedAt.IsZero() }

// Due reports whether the officer should ask the authority again: the disclosure,
// or the last time that it was asked, is long ago.
func (x Secrecy) Due(released, now time.Time) bool {
	since := released
	if x.AskedAt.After(since) {
		since = x.AskedAt
	}
	return !x.Ended() && now.Sub(since) >= SecrecyReminder
}

// Secrecy returns that of a warrant.
func (s *State) Secrecy(warrantID string) Secrecy {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.secrecy[warrantID]
}

// Confirm drafts what the authority answered, or the officer found: that secrecy
// has ended, or is kept. On what that rests is sealed under the case key. It is
// recorded whether or not anything was disclosed yet, and once ended stays so.
func (s *State) Confirm(legal *warrant.State, by warrant.Caller, warrantID string, ended bool, grounds string) (ledger.Draft, *reason.Error) {
	if !by.Has(warrant.LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	if bad := textOf("grounds", grounds, true); len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	w, ok := legal.Warrant(warrantID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if s.Secrecy(warrantID).Ended() {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "Secrecy has ended; those concerned may know.")
	}
	kind := KindSecrecyKept
	if ended {
		kind = KindSecrecyEnded
	}
	return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(warrant.LegalOfficer), WarrantID: w.ID, Generation: w.Generation,
		KeyID: w.KeyID, Body: TextBody{grounds}}, nil
}

func (s *State) applySecrecy(e ledger.Entry) {
	x := s.secrecy[e.Header.WarrantID]
	if x.Ended() {
		return
	}
	x.AskedAt = e.Header.At
	if e.Header.Kind == KindSecrecyEnded {
		x.EndedAt, x.EndedBy = e.Header.At, e.Header.Actor
	}
	s.secrecy[e.Header.WarrantID] = x
}
