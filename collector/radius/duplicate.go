package radius

import (
	"net/netip"
	"sync"
	"time"
)

// requestID tells one transmission of a request from another: a retransmission
// repeats all of it, a new request has another authenticator.
type requestID struct {
	client        netip.AddrPort
	identifier    byte
	authenticator [16]byte
}

// standing is what became of a request.
type standing uint8

const (
	unseen standing = iota
	inFlight
	acknowledged
)

// duplicates remembers recent requests in two generations, so that forgetting
// costs nothing. It is safe for concurrent use.
type duplicates struct {
	keep  time.Duration // each generation's age
	limit int           // each generation's size

	mu       sync.Mutex
	young    map[requestID]standing
	old      map[requestID]standing
	turnedAt time.Time
}

func newDuplicates(keep time.Duration, limit int) *duplicates {
	return &duplicates{keep: keep, limit: limit, young: map[requestID]standing{}}
}

// begin says what is known of a request and, if nothing, marks it in flight.
func (d *duplicates) begin(id requestID, now time.Time) standing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.turnedAt) > d.keep || len(d.young) >= d.limit {
		d.old, d.young, d.turnedAt = d.young, map[requestID]standing{}, now
	}
	if s := d.young[id]; s != unseen {
		return s
	}
	if s := d.old[id]; s != unseen {
		return s
	}
	d.young[id] = inFlight
	return unseen
}

// finish records what became of a request: acknowledged, or unseen, to be
// handled anew if it comes again.
func (d *duplicates) finish(id requestID, s standing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.old, id)
	if s == unseen {
		delete(d.young, id)
		return
	}
	d.young[id] = s
}
