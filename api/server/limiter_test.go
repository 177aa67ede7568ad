package server

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLimiterBoundsEveryStretchOfTime: whatever callers do, none gets more than
// the burst and the rate allow in any stretch, and a caller who stays below is
// never refused.
func TestLimiterBoundsEveryStretchOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const every, burst = 5, 10
		now := time.Unix(1_800_000_000, 0)
		l := newLimiter(every, burst, func() time.Time { return now })
		passed := map[string][]time.Time{}
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond)
			who := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "who")
			if l.allow(who) {
				passed[who] = append(passed[who], now)
			} else if n := len(passed[who]); n < burst {
				t.Fatalf("refused after %d calls, below the burst", n)
			}
		}
		for who, times := range passed {
			for i := range times {
				for j := i; j < len(times); j++ {
					if most := burst + every*times[j].Sub(times[i]).Seconds() + 1e-6; float64(j-i+1) > most {
						t.Fatalf("%s passed %d calls in %v, most is %.1f", who, j-i+1, times[j].Sub(times[i]), most)
					}
				}
			}
		}
	})
}

func TestLimiterTableIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := newLimiter(1, 2, func() time.Time { return now })
	for i := range maxActors {
		if !l.allow(strconv.Itoa(i)) {
			t.Fatalf("caller %d refused", i)
		}
	}
	if l.allow("one more") {
		t.Error("a caller past the bound was let in while all others are busy")
	}
	if !l.allow("7") {
		t.Error("a known caller was refused because the table is full")
	}
	now = now.Add(time.Hour) // all buckets are full again
	if !l.allow("one more") || len(l.actors) > 1 {
		t.Errorf("after an hour %d are remembered, want only the new one", len(l.actors))
	}
}
