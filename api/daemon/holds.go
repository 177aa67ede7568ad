package daemon

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/ledger"
)

// keeperOfHolds makes what keeps holds, ends what a crash left half done, and shows
// them to the proof and the report of retention.
func (s *services) keeperOfHolds(ctx context.Context, book *ledger.Log) (*keep.Keeper, error) {
	k, err := keep.New(keep.Config{
		Dir: s.cfg.Legal.HoldsDir, Keys: s.keys, Book: book, State: s.holds,
		Rules: &hold.Rules{Law: s.rules.Law, ApprovalAge: s.rules.ApprovalAge, Document: s.document},
		Clock: sure{s.judge(book), s.leap}, Now: time.Now, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	if err := k.Recover(ctx); err != nil {
		return nil, err
	}
	count := func(status hold.Status) func() float64 {
		return func() float64 {
			n, now := 0, k.Now()
			for _, h := range s.holds.Holds() {
				if h.Status(now) == status {
					n++
				}
			}
			return float64(n)
		}
	}
	s.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "griffier_holds_live", Help: "Holds that have not ended."}, count(hold.Live)),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "griffier_holds_ended",
			Help: "Holds that have ended and are not destroyed yet, which takes minutes; nobody can read them."}, count(hold.Ended)))
	s.verifier.Places = append(s.verifier.Places, keep.Place{Keeper: k})
	s.verifier.Held = k.Held
	return k, nil
}
