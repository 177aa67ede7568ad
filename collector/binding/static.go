package binding

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"griffier/schema"
)

// StaticLine is a line whose addresses are configured, not observed.
type StaticLine struct {
	Identifier schema.Identifier
	Prefixes   []netip.Prefix
	Scope      uint32
}

// Static returns the observations that make the sessions remembered (of any
// source, from [Binding.Sessions]) agree at now with the configured lines: new
// lines start, those no longer configured end.
func Static(lines []StaticLine, remembered []Observation, now time.Time) (out []Observation) {
	now = milli(now)
	wanted := map[string]StaticLine{}
	for _, l := range lines {
		l.Prefixes = sorted(l.Prefixes)
		wanted[fmt.Sprint(l.Identifier.Kind, ":", l.Identifier.Value, "|", l.Scope, "|", l.Prefixes)] = l
	}
	for _, o := range remembered {
		if o.Source != schema.SourceStatic || o.Kind == End {
			continue
		}
		name := fmt.Sprint(o.Identifier.Kind, ":", o.Identifier.Value, "|", o.Scope, "|", o.Prefixes)
		if _, ok := wanted[name]; ok {
			delete(wanted, name)
			continue
		}
		o.Kind, o.At, o.EndCause, o.Prefixes = End, now, schema.EndRelease, nil
		out = append(out, o)
	}
	for name, l := range wanted {
		out = append(out, Observation{
			At: now, Kind: Start, Source: schema.SourceStatic, Certainty: schema.CertaintyObserved,
			SessionKey: name + "|" + strconv.FormatInt(now.UnixMilli(), 10),
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
