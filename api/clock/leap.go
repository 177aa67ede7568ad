package clock

import (
	"fmt"
	"sync"
	"time"

	"griffier/api/reason"
)

// MaxLeap is how far the clock may be from the last time that was believed before
// what cannot be taken back waits for somebody to vouch for it. A griffierd that
// runs writes its ledger at least daily, so a longer way is one that stood still,
// or a clock that was set wrongly.
const MaxLeap = 7 * 24 * time.Hour

// Leap guards what cannot be taken back against a clock that leapt. Expiry is
// judged by the clock; one that stands years ahead would make everything
// unreadable for good, and take it off the disk. It is safe for concurrent use.
type Leap struct {
	read func() (Reading, error)

	mu       sync.Mutex
	believed time.Time
}

// NewLeap returns the guard of a ledger whose newest entry is from last, before
// this process wrote anything; the zero time for an empty ledger, of which
// whatever comes first is believed.
func NewLeap(last time.Time, read func() (Reading, error)) *Leap {
	return &Leap{read: read, believed: last}
}

// Accept believes t, because an operator does.
func (l *Leap) Accept(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.believed = t.Round(0)
}

// Check returns nil if t can be believed, which it then is: it is at most
// [MaxLeap] from what was believed last, or further ahead and a time service
// keeps the clock. Else it returns a [reason.Error] with CLOCK_UNTRUSTED. A clock
// that a service keeps and that stands far behind is refused too: then the
// ledger's times are wrong, and what follows from them should wait for a person.
func (l *Leap) Check(t time.Time) error {
	t = t.Round(0) // on the wall: a step of the clock does not show on the monotonic one
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.believed.IsZero() {
		l.believed = t
		return nil
	}
	ahead := t.Sub(l.believed)
	const cure = "set it, or, if it is right, start griffierd once with -accept-clock: what has expired by it goes for good."
	if ahead < -MaxLeap {
		return reason.New(reason.ClockUntrusted, fmt.Sprintf("The clock stands %d days behind the newest time that is known: "+cure, int(-ahead/(24*time.Hour))))
	}
	if ahead > MaxLeap {
		r, err := l.read()
		if err != nil || !r.Synced || r.Offset.Abs() > MaxOffset {
			return &reason.Error{Reason: reason.ClockUntrusted, Cause: err, Detail: fmt.Sprintf(
				"The clock stands %d days ahead of the newest time that is known, and no time service keeps it: "+cure, int(ahead/(24*time.Hour)))}
		}
	}
	if ahead > 0 {
		l.believed = t
	}
	return nil
}
