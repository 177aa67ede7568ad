package binding

import (
	"math"
	"slices"
	"time"
)

// A round emits every open slice again. It takes many ticks, each of which looks
// at some sessions only, so that no tick holds up what else the caller does. Only
// at its end is there a coverage row: then every open slice was emitted since the
// round began, and no end before it is missing.
type round struct {
	Running bool
	Next    int       // the first bucket that it has yet to look at
	At      time.Time // its last tick
}

const (
	// roundBuckets is into how many parts sessions are divided, by their ID.
	roundBuckets = 1024
	// DefaultReemitSlice is Config.ReemitSlice if that is 0: about 20 ms.
	DefaultReemitSlice = 1000
)

func bucketOf(s *session) int { return (int(s.ID[0])<<8 | int(s.ID[1])) % roundBuckets }

// remember adds a session; forgetSession is the opposite.
func (b *Binding) remember(s *session) {
	b.sessions[s.Key] = s
	bucket := &b.buckets[bucketOf(s)]
	i, _ := slices.BinarySearchFunc(*bucket, s, compareSessions)
	*bucket = slices.Insert(*bucket, i, s)
}

func (b *Binding) forgetSession(s *session) {
	b.unindex(s)
	delete(b.sessions, s.Key)
	bucket := &b.buckets[bucketOf(s)]
	if i, ok := slices.BinarySearchFunc(*bucket, s, compareSessions); ok {
		*bucket = slices.Delete(*bucket, i, i+1)
	}
	if s.counted {
		b.live--
	}
}

// reemitDue reports whether a round should begin, or begin anew because it was
// overtaken by midnight: slices of the day before say nothing of today.
func (b *Binding) reemitDue(now time.Time) bool {
	return !b.round.Running && !now.Before(b.lastReemit.Add(b.cfg.ReemitInterval)) || !midnight(now).Equal(midnight(b.lastReemit))
}

// restartRound makes a running round begin anew: coverage was interrupted, and
// slices emitted before do not reach into what follows.
func (b *Binding) restartRound() { b.round.Next = 0 }

// tick lets time pass. With finish set it ends with a whole round.
func (b *Binding) tick(now time.Time, clock Clock, finish bool, e *Effects) {
	lapsed := b.due(now)
	slices.SortFunc(lapsed, compareSessions)
	b.settle(now, lapsed, false, e)
	if finish || b.reemitDue(now) {
		b.round, b.lastReemit = round{Running: true, At: now}, now
	}
	if !b.round.Running {
		return
	}
	// At least a slice, and enough to be through in half the interval.
	share := float64(now.Sub(b.round.At)) / float64(b.cfg.ReemitInterval)
	quota := max(b.cfg.ReemitSlice, int(math.Ceil(2*share*float64(len(b.sessions)))))
	if finish {
		quota = math.MaxInt
	}
	b.round.At = now
	first := b.round.Next
	var touched []*session
	for b.round.Next < roundBuckets && quota > 0 {
		bucket := b.buckets[b.round.Next]
		for _, s := range bucket {
			if s.live() {
				touched = append(touched, s)
			}
		}
		quota -= len(bucket)
		b.round.Next++
	}
	b.settle(now, touched, true, e)
	for _, bucket := range b.buckets[first:b.round.Next] {
		b.forget(bucket, now)
	}
	if b.round.Next == roundBuckets {
		b.round = round{}
		b.forgetReboots(now)
		e.Records = append(e.Records, b.cover(now, clock)...)
	}
}

// forget drops what can no longer change of these sessions: those that ended,
// and slices that lie, beyond the horizon.
func (b *Binding) forget(bucket []*session, now time.Time) {
	old := now.Add(-b.cfg.Horizon)
	for _, s := range slices.Clone(bucket) {
		last := s.LastAt
		if b.stale(s) {
			last = b.staleAt(s) // it may yet turn out to live
		}
		ended := !s.live() && s.end.At.Before(old) || !s.Known && s.FirstAt.Before(old)
		if ended && last.Before(old) {
			b.forgetSession(s)
			continue
		}
		until := midnight(old)
		if at := b.staleAt(s); !at.IsZero() && s.LastAt.Before(until) {
			until = midnight(s.LastAt) // where it ends if it is not heard of again
		}
		s.settleUntil(until)
	}
}

func (b *Binding) forgetReboots(now time.Time) {
	old := now.Add(-b.cfg.Horizon)
	for k, at := range b.reboots {
		at = slices.DeleteFunc(at, func(t time.Time) bool { return t.Before(old) })
		if len(at) == 0 {
			delete(b.reboots, k)
			continue
		}
		b.reboots[k] = at
	}
}
