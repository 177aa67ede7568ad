package radius

import (
	"griffier/collector/binding"
)

// Reasons for which a request's octets were not taken as they stand. The request
// was used all the same.
const (
	ReasonWrapped        Reason = "counter_wrapped" // 32-bit counters without gigawords went past zero: 4 GiB added
	ReasonRestarted      Reason = "counter_restart" // counters began again within a session: counted on from what there was
	ReasonLower          Reason = "counter_lower"   // lower counters than told before: those before count
	ReasonStopIncomplete Reason = "stop_incomplete" // a Stop with no or lower counters than told before, as after a crash: those before count
)

// backlog is how long a session whose Start was not seen may have lasted for all
// its octets to count. Those of an older one belong to buckets long past: only
// what comes on top counts.
const backlog = 3600 // seconds

// counters are what a NAS counted of a session, made cumulative.
type counters struct {
	binding.Octets
	PacketsUp   uint32 `json:"packets_up,omitempty"`
	PacketsDown uint32 `json:"packets_down,omitempty"`
	Gigawords   bool   `json:"gigawords,omitempty"` // the NAS is known to send them
}

// count takes in the counters of a request that is not older than those before
// it, and says what was odd about them. LastSeenAt is still that of the last one.
func (s *session) count(r request) Reason {
	final := r.Status == StatusStop
	newer := r.at.After(s.LastSeenAt)
	if !r.HasOctets || final && r.BytesUp == 0 && r.BytesDown == 0 {
		if c := s.Counters; final && c != nil && (c.Up > c.UpFrom || c.Down > c.DownFrom) {
			return ReasonStopIncomplete
		}
		return ""
	}
	if s.Counters == nil {
		s.Counters = &counters{}
		if !s.StartSeen && (!r.HasSessionTime || r.SessionTime.Seconds() > backlog) {
			s.Counters.UpFrom, s.Counters.DownFrom = r.BytesUp, r.BytesDown
		}
	}
	c := s.Counters
	c.Gigawords = c.Gigawords || r.HasGigawords
	how := steps{newer: newer, final: final, gigawords: c.Gigawords}
	up := how.next(c.Up, &c.UpBase, r.BytesUp, restarted(c.PacketsUp, r.PacketsUp))
	down := how.next(c.Down, &c.DownBase, r.BytesDown, restarted(c.PacketsDown, r.PacketsDown))
	c.Up, c.Down = up.value, down.value
	c.PacketsUp, c.PacketsDown = r.PacketsUp, r.PacketsDown
	for _, odd := range []Reason{ReasonRestarted, ReasonStopIncomplete, ReasonLower, ReasonWrapped} {
		if up.odd == odd || down.odd == odd {
			return odd
		}
	}
	return ""
}

// restarted says whether the number of packets shows that counters began again:
// it fell without having come near 32 bits.
func restarted(had, told uint32) bool {
	const near = 1 << 31
	return told > 0 && told < had && had < near
}

// steps says how counters may go on.
type steps struct{ newer, final, gigawords bool }

type reading struct {
	value uint64
	odd   Reason
}

// next makes told, which follows have, cumulative. base is the part of have from
// before the counter last began again.
func (s steps) next(have uint64, base *uint64, told uint64, restarted bool) reading {
	since := have - *base // what told continues
	switch {
	case told >= since:
		return reading{value: *base + told}
	case s.final && (restarted || s.gigawords || !s.newer):
		return reading{have, ReasonStopIncomplete}
	case !s.newer, s.gigawords && !restarted:
		return reading{have, ReasonLower}
	case restarted:
		*base = have
		return reading{have + told, ReasonRestarted}
	}
	// No gigawords ever: only the low 32 bits are told (RFC 2866 §5.3). The least
	// value from since on that has them.
	value := since&^0xffffffff | told&0xffffffff
	if value < since {
		return reading{*base + value + 1<<32, ReasonWrapped}
	}
	return reading{value: *base + value}
}

// octets are what to tell of the counters, nil if there are none.
func (s *session) octets() *binding.Octets {
	if s.Counters == nil {
		return nil
	}
	told := s.Counters.Octets
	return &told
}
