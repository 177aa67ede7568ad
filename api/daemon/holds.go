package daemon

import (
	"context"
	"time"

	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/ledger"
)

// keeperOfHolds makes what keeps holds, ends what a crash left half done, and shows
// them to the proof and the report of retention.
func (s *services) keeperOfHolds(ctx context.Context, book *ledger.Log) (*keep.Keeper, error) {
	k, err := keep.New(keep.Config{
		Dir: s.cfg.Legal.HoldsDir, Keys: s.keys, Book: book, State: s.holds,
		Rules: &hold.Rules{Profile: s.rules.Profile, ApprovalAge: s.rules.ApprovalAge, DocumentKey: s.rules.DuplicateKey},
		Clock: s.judge(book), Now: time.Now, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	if err := k.Recover(ctx); err != nil {
		return nil, err
	}
	s.verifier.Places = append(s.verifier.Places, keep.Place{Keeper: k})
	s.verifier.Held = k.Held
	return k, nil
}
