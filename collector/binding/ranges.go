package binding

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A Range is a prefix of the provider's own or, with Provider set, one that
// another provider uses, such as a reseller, during [ValidFrom, ValidTo). A zero
// time is no limit. Of nested ranges that are valid the longest counts; if two of
// them are equal, another provider's does.
type Range struct {
	Prefix             netip.Prefix
	Provider           string // empty: our own
	ValidFrom, ValidTo time.Time
}

func (r Range) holds(at time.Time) bool {
	return !at.Before(r.ValidFrom) && (r.ValidTo.IsZero() || at.Before(r.ValidTo))
}

// ranges finds a prefix's ranges in as many steps as there are prefix lengths.
type ranges struct {
	byPrefix map[netip.Prefix][]Range
	lengths  []int // longest first
}

func newRanges(list []Range) *ranges {
	if len(list) == 0 {
		return nil
	}
	r := &ranges{byPrefix: map[netip.Prefix][]Range{}}
	for _, x := range list {
		x.Prefix = x.Prefix.Masked()
		x.ValidFrom, x.ValidTo = milli(x.ValidFrom), milli(x.ValidTo)
		r.byPrefix[x.Prefix] = append(r.byPrefix[x.Prefix], x)
		r.lengths = append(r.lengths, x.Prefix.Bits())
	}
	slices.Sort(r.lengths)
	r.lengths = slices.Compact(r.lengths)
	slices.Reverse(r.lengths)
	return r
}

// owner returns whose p is at a time. Nil ranges hold everything.
func (r *ranges) owner(p netip.Prefix, at time.Time) (provider string, known bool) {
	if r == nil {
		return "", true
	}
	for _, bits := range r.lengths {
		if bits > p.Bits() {
			continue
		}
		for _, x := range r.byPrefix[netip.PrefixFrom(p.Addr(), bits).Masked()] {
			if x.holds(at) {
				known, provider = true, max(provider, x.Provider)
			}
		}
		if known {
			return provider, true
		}
	}
	return "", false
}

// own reports whether p is the provider's own at a time.
func (r *ranges) own(p netip.Prefix, at time.Time) bool {
	provider, known := r.owner(p, at)
	return known && provider == ""
}

// window returns the stretch around at during which p is the provider's own
// without a break; zero is no limit. There is none either if p is not its own at
// that time: the ranges were others when it was told, and that is not undone.
func (r *ranges) window(p netip.Prefix, at time.Time) (from, to time.Time) {
	if r == nil || !r.own(p, at) {
		return from, to
	}
	var changes []time.Time
	for _, bits := range r.lengths {
		if bits > p.Bits() {
			continue
		}
		for _, x := range r.byPrefix[netip.PrefixFrom(p.Addr(), bits).Masked()] {
			changes = append(changes, x.ValidFrom, x.ValidTo)
		}
	}
	slices.SortFunc(changes, time.Time.Compare)
	for _, c := range changes {
		switch {
		case c.IsZero():
		case c.After(at):
			if !r.own(p, c) {
				return from, c
			}
		case !r.own(p, c.Add(-time.Millisecond)):
			from = c
		}
	}
	return from, to
}

// own leaves out prefixes that are not the provider's own at a time. What is left
// of some is never nil, which would mean unchanged.
func (b *Binding) own(prefixes []netip.Prefix, at time.Time) []netip.Prefix {
	if b.ranges == nil || len(prefixes) == 0 {
		return prefixes
	}
	out := []netip.Prefix{}
	for _, p := range prefixes {
		plain := netip.PrefixFrom(p.Addr().Unmap(), p.Bits())
		switch provider, known := b.ranges.owner(plain, at); {
		case !known:
			b.ignored.OutsideRanges++
		case provider != "":
			b.ignored.OtherProvider++
		default:
			out = append(out, p)
		}
	}
	return out
}

// SetRanges makes the provider's prefixes these, as a restart with another
// configuration would: what is told from now on is judged by them, and so is how
// long what was told before stays the provider's own. An address that is in no range
// any more goes with the next telling of its session. What that changes in the
// records comes with later ticks; the effects are the datapath's alone, and the
// caller keeps a snapshot before the next delta, because the ones before are to be
// repeated under the old ranges.
func (b *Binding) SetRanges(list []Range) (e Effects) {
	asOf := b.asOf()
	b.cfg.Ranges, b.ranges = list, newRanges(list)
	b.holders, b.deadlines = map[claimKey][]*session{}, nil
	keys := map[address]bool{}
	for k := range b.installed {
		keys[k] = true
	}
	order := slices.SortedFunc(maps.Values(b.sessions), compareSessions)
	for _, s := range order {
		s.awaited = time.Time{}
		if s.live() {
			// At a time at which it did live: what has to end by now a tick ends.
			b.derive(s, s.LastAt)
		} else {
			b.derive(s, asOf)
		}
		b.index(s)
		for _, c := range s.claims {
			keys[address{c.Prefix, s.Scope}] = true
		}
	}
	for _, s := range order {
		b.resolve(s)
		b.count(s)
		b.await(s)
	}
	b.install(keys, &e)
	return e
}
