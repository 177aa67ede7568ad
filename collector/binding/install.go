package binding

import (
	"maps"
	"slices"

	"griffier/schema"
)

// install brings the datapath's table in line for the given addresses. An
// address counts for its one live holder from the strongest source; while two
// lines claim it within that source it counts for nobody, so that no line is
// given another's bytes.
func (b *Binding) install(keys map[address]bool, e *Effects) {
	sorted := slices.SortedFunc(maps.Keys(keys), func(x, y address) int {
		if c := x.Prefix.Addr().Compare(y.Prefix.Addr()); c != 0 {
			return c
		}
		if c := x.Prefix.Bits() - y.Prefix.Bits(); c != 0 {
			return c
		}
		return int(int64(x.Scope) - int64(y.Scope))
	})
	for _, k := range sorted {
		want, held := b.holder(k)
		have, installed := b.installed[k]
		if held == installed && want == have {
			continue
		}
		if installed {
			e.Unassign = append(e.Unassign, Change{k.Prefix, k.Scope, have})
			delete(b.installed, k)
		}
		if held {
			e.Assign = append(e.Assign, Change{k.Prefix, k.Scope, want})
			b.installed[k] = want
		}
	}
}

// bySourceStrength orders sources for the datapath only; records of all remain.
var bySourceStrength = []schema.Source{
	schema.SourceRADIUS, schema.SourcePPPoE, schema.SourceDHCPv4, schema.SourceDHCPv6, schema.SourceStatic,
}

func (b *Binding) holder(k address) (ref schema.AccessRef, held bool) {
	for _, source := range bySourceStrength {
		for _, s := range b.holders[claimKey{source, k}] {
			for _, c := range s.claims {
				if c.Prefix != k.Prefix || !c.live() {
					continue
				}
				if held && s.Ref != ref {
					return schema.AccessRef{}, false
				}
				ref, held = s.Ref, true
			}
		}
		if held {
			return ref, true
		}
	}
	return ref, false
}
