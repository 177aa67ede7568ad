package binding

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"griffier/schema"
)

// StaticLine is a line whose addresses are configured, not observed: a fixed
// address, or a prefix of a host or link that no protocol tells of.
type StaticLine struct {
	Identifier schema.Identifier
	Prefixes   []netip.Prefix
	Scope      uint32
	// ValidFrom and ValidTo are when the line has them, [from, to). Zero: from when
	// it is first configured, and until it no longer is.
	ValidFrom, ValidTo time.Time
}

func (l StaticLine) holds(at time.Time) bool {
	return !at.Before(l.ValidFrom) && (l.ValidTo.IsZero() || at.Before(l.ValidTo))
}

// onTime is how late the beginning of a static line may be noticed and count as
// observed.
const onTime = time.Minute

// Static returns the observations that make the sessions remembered (of any
// source, from [Binding.Sessions]) agree at now with the configured lines: those
// that are valid and new start, at their ValidFrom if they have one, and those no
// longer configured or valid end, at their ValidTo if they have one.
func Static(lines []StaticLine, remembered []Observation, now time.Time) (out []Observation) {
	now = milli(now)
	wanted := map[string]StaticLine{}
	over := map[string][]StaticLine{}
	for _, l := range lines {
		l.Prefixes = sorted(l.Prefixes)
		l.ValidFrom, l.ValidTo = milli(l.ValidFrom), milli(l.ValidTo)
		name := staticName(l.Identifier, l.Scope, l.Prefixes)
		switch {
		case l.holds(now):
			wanted[name] = l
		case !l.ValidTo.IsZero() && !now.Before(l.ValidTo):
			over[name] = append(over[name], l)
		}
	}
	ended := map[string]bool{}
	for _, o := range remembered {
		if o.Source != schema.SourceStatic {
			continue
		}
		if o.Kind == End {
			ended[o.SessionKey] = true
			continue
		}
		name := nameOf(o.SessionKey) // not by what it holds: parts of that may be another's now
		if l, ok := wanted[name]; ok && !o.SessionStartedAt.Before(l.ValidFrom) {
			delete(wanted, name)
			continue
		}
		started := o.SessionStartedAt
		o.Kind, o.At, o.EndCause, o.Certainty, o.Prefixes = End, now, schema.EndRelease, schema.CertaintyObserved, nil
		for _, l := range over[name] {
			if l.ValidTo.After(started) {
				o.At = milli(earliest(l.ValidTo, o.At))
			}
		}
		out = append(out, o)
	}
	for name, l := range wanted {
		at, certainty := now, schema.CertaintyObserved
		if !l.ValidFrom.IsZero() {
			if at = l.ValidFrom; now.Sub(at) > onTime {
				certainty = schema.CertaintySynthesised
			}
		}
		if ended[staticKey(name, at)] { // it was taken away, and given back
			at, certainty = now, schema.CertaintyObserved
		}
		out = append(out, Observation{
			At: at, Kind: Start, Source: schema.SourceStatic, Certainty: certainty,
			SessionKey: staticKey(name, at),
			Identifier: l.Identifier, Scope: l.Scope, Prefixes: l.Prefixes,
		})
	}
	slices.SortFunc(out, func(a, b Observation) int {
		if a.Kind != b.Kind {
			return int(b.Kind) - int(a.Kind) // ends first
		}
		if a.SessionKey < b.SessionKey {
			return -1
		}
		return 1
	})
	return out
}

func staticName(id schema.Identifier, scope uint32, prefixes []netip.Prefix) string {
	return fmt.Sprint(id.Kind, ":", id.Value, "|", scope, "|", prefixes)
}

func staticKey(name string, start time.Time) string {
	return name + "|" + strconv.FormatInt(start.UnixMilli(), 10)
}

// nameOf is the opposite of staticKey.
func nameOf(key string) string {
	if i := strings.LastIndexByte(key, '|'); i >= 0 {
		return key[:i]
	}
	return key
}

// Configured returns the observations that make the binding agree at now with the
// configured lines: those of [Static], and one for each line that goes on and has
// a prefix that is the provider's own again, or by newer ranges.
func (b *Binding) Configured(lines []StaticLine, now time.Time) []Observation {
	now = milli(now)
	out := Static(lines, b.Sessions(), now)
	over := map[string]bool{}
	for _, o := range out {
		over[o.SessionKey] = true
	}
	wanted := map[string]StaticLine{}
	for _, l := range lines {
		if l.Prefixes = sorted(l.Prefixes); l.holds(now) {
			wanted[staticName(l.Identifier, l.Scope, l.Prefixes)] = l
		}
	}
	var again []Observation
	for k, s := range b.sessions {
		if k.Source != schema.SourceStatic || !s.live() || over[k.Key] {
			continue
		}
		if l, ok := wanted[nameOf(k.Key)]; ok && slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return b.regained(s, p, now) }) {
			again = append(again, Observation{
				At: now, Kind: Refresh, Source: schema.SourceStatic, Certainty: schema.CertaintyObserved, SessionKey: k.Key,
				SessionStartedAt: s.start.At, Identifier: l.Identifier, Scope: l.Scope, Prefixes: l.Prefixes,
			})
		}
	}
	slices.SortFunc(again, func(a, b Observation) int { return strings.Compare(a.SessionKey, b.SessionKey) })
	return append(out, again...)
}

// regained reports whether p is the provider's own at now, but was not at any time
// at which the session was told to hold it.
func (b *Binding) regained(s *session, p netip.Prefix, now time.Time) bool {
	if !b.ranges.own(p, now) {
		return false
	}
	from, _ := b.ranges.window(p, now)
	return !slices.ContainsFunc(s.claims, func(c claim) bool { return c.Prefix == p && !c.From.Before(from) })
}

// NextStatic is when, after now, a line next begins or ceases to be valid, or, if
// there are lines, a range does; zero if none does.
func NextStatic(lines []StaticLine, ranges []Range, now time.Time) (next time.Time) {
	if len(lines) > 0 {
		for _, r := range ranges {
			for _, at := range []time.Time{r.ValidFrom, r.ValidTo} {
				if at.After(now) {
					next = earliest(next, at)
				}
			}
		}
	}
	for _, l := range lines {
		for _, at := range []time.Time{l.ValidFrom, l.ValidTo} {
			if at.After(now) {
				next = earliest(next, at)
			}
		}
	}
	return next
}
