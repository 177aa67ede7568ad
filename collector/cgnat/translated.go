package cgnat

import (
	"slices"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// maxFlowAge is how long a port that a log tells of flow by flow is held without
// news: a lost end must not name the subscriber for ever.
const maxFlowAge = 24 * time.Hour

// translated takes in what a translator's log tells. A block that it gives to
// another inside address was given up before (superseded): it gives a port to
// one at a time. Of flows it need not, and both are kept, as with conntrack.
func (b *Blocks) translated(o binding.Observation) {
	flow := o.Source == schema.SourceConntrack
	for _, p := range o.Blocks {
		key := heldKey{sessionKey{o.Source, o.SessionKey}, p.Outside, p.PortStart, p.PortEnd, p.Protocol}
		h := b.find(key)
		switch {
		case p.Released && h == nil:
			b.stats.UnknownEnds++
		case p.Released && o.At.Before(h.From):
			b.stats.LateEnds++
		case p.Released && h.Flows > 1:
			h.Flows--
			h.hear(o.At)
		case p.Released && flow:
			// The shortest flow is not nothing.
			b.end(h, o.At.Add(time.Millisecond), schema.EndRelease, o.Certainty)
		case p.Released:
			b.end(h, o.At, schema.EndRelease, o.Certainty)
		case h != nil && flow:
			h.Flows++
			h.hear(o.At)
		case h != nil:
			h.hear(o.At)
		case flow:
			b.add(&held{Key: key, Inside: p.Inside, NAS: o.NAS, Certainty: o.Certainty, From: o.At, LastTold: o.At, Slice: o.At, Flows: 1})
		default:
			b.give(&held{Key: key, Inside: p.Inside, NAS: o.NAS, Certainty: o.Certainty, From: o.At, LastTold: o.At, Slice: o.At})
		}
	}
}

func (h *held) hear(at time.Time) {
	if at.After(h.LastTold) {
		h.LastTold = at
	}
}

// age ends flows of which nothing was heard for too long.
func (b *Blocks) age(now time.Time) {
	b.each(func(h *held) {
		if h.Flows > 0 && now.Sub(h.LastTold) >= maxFlowAge {
			b.stats.Aged++
			b.end(h, h.LastTold.Add(maxFlowAge), schema.EndInferred, schema.CertaintyInferred)
		}
	})
}

// Doubt says that from at on some of what a translator of that name logged was not
// received, which nobody repeats; an empty name means every one. A flow may have ended then, and its port be another's: it
// counts as ended. A block lasts longer, so it stays, inferred from then on.
func (b *Blocks) Doubt(translator string, at time.Time) {
	b.each(func(h *held) {
		if translator != "" && h.NAS != translator {
			return
		}
		if at := later(at, h.Slice); h.Flows > 0 {
			b.end(h, later(at, h.LastTold), schema.EndInferred, schema.CertaintyInferred)
		} else if h.Key.Source == schema.SourceIPFIX && h.Certainty != schema.CertaintyInferred {
			if at.After(h.Slice) {
				sure := *h
				sure.To, sure.Cause, sure.EndSure = at, schema.EndCut, h.Certainty
				b.ended = append(b.ended, &sure)
			}
			h.Slice, h.Certainty, h.stored = at, schema.CertaintyInferred, false
		}
	})
}

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }
