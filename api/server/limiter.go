package server

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter bounds the calls of one caller, so that no token can be used to walk
// through the product or to flood its ledger. It is safe for concurrent use.
type limiter struct {
	every rate.Limit
	burst int
	now   func() time.Time

	mu     sync.Mutex
	actors map[string]*rate.Limiter
	swept  time.Time
}

// maxActors bounds the table. When it is full, those with a full bucket, who
// lose nothing by it, are forgotten, at most once every sweepInterval.
const (
	maxActors     = 100_000
	sweepInterval = time.Second
)

func newLimiter(every rate.Limit, burst int, now func() time.Time) *limiter {
	return &limiter{every: every, burst: burst, now: now, actors: map[string]*rate.Limiter{}}
}

func (l *limiter) allow(actor string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	bucket := l.actors[actor]
	if bucket == nil {
		if len(l.actors) >= maxActors && now.Sub(l.swept) >= sweepInterval {
			l.swept = now
			for who, b := range l.actors {
				if b.TokensAt(now) >= float64(l.burst) {
					delete(l.actors, who)
				}
			}
		}
		if len(l.actors) >= maxActors {
			return false
		}
		bucket = rate.NewLimiter(l.every, l.burst)
		l.actors[actor] = bucket
	}
	return bucket.AllowN(now, 1)
}
