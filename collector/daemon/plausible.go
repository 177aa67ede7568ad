package daemon

import (
	"log/slog"

	"griffier/bpf"
	"griffier/collector/datapath"
)

const (
	// inFlight is how many packets may be counted on one side only because they
	// passed while the two were read.
	inFlight = 200
	// missedShare is which part of an interval's packets may differ besides: a
	// driver's own frames, and what a queue behind the programs drops.
	missedShare = 1000
)

// plausibility follows whether readings make sense, to log each change once: what
// does not is seen at every drain until somebody sees to it.
type plausibility struct {
	up, down comparedSoFar
	balanced bool // until the first reading that is not
}

// comparedSoFar is one direction: as last read, and what is wrong with it.
type comparedSoFar struct {
	last   datapath.Compared
	unseen bool // the interface counts packets that no program sees
	excess bool // the programs count frames that the interface does not
}

// take judges what came since the reading before, and reports whether that is
// another judgement.
func (c *comparedSoFar) take(now datapath.Compared) (changed bool) {
	came := max(now.Interface-c.last.Interface, now.Packets-c.last.Packets)
	allowed := inFlight + came/missedShare
	was := *c
	c.unseen = grew(c.last.Unseen(), now.Unseen()) > allowed
	c.excess = grew(c.last.Excess(), now.Excess()) > allowed
	c.last = now
	return c.unseen != was.unseen || c.excess != was.excess
}

func grew(from, to uint64) uint64 {
	if to > from {
		return to - from
	}
	return 0
}

// judge logs what is new in a reading.
func (p *plausibility) judge(log *slog.Logger, t bpf.Totals, now datapath.Plausibility) {
	if balanced := t.Balanced(); balanced != p.balanced {
		p.balanced = balanced
		if balanced {
			log.Info("the kernel's totals add up again")
		} else {
			log.Error("the kernel's totals do not add up")
		}
	}
	for _, d := range []struct {
		direction string
		so        *comparedSoFar
		now       datapath.Compared
	}{{"up", &p.up, now.Up}, {"down", &p.down, now.Down}} {
		if !d.so.take(d.now) {
			continue
		}
		attrs := []any{slog.String("direction", d.direction), slog.Uint64("unseen_packets", d.now.Unseen()), slog.Uint64("excess_frames", d.now.Excess())}
		switch {
		case d.so.unseen:
			log.Warn("interfaces count packets that the programs do not see: look for hardware offload of flows, XDP, or another program at the interface", attrs...)
		case d.so.excess:
			log.Warn("the programs count frames that the interfaces do not: look for drops in the queue, or programs attached twice", attrs...)
		default:
			log.Info("interfaces and programs count alike again", attrs...)
		}
	}
}
