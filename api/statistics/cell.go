// Package statistics keeps what remains of the traffic when the traffic data has
// gone: volumes of a network segment in an hour, of which no number is about
// fewer than [MinLines] subscribers, none mostly about one, and none tells one large
// subscriber what another moved.
//
// What is published of an hour is a partition of the network: every line that
// moved anything is in exactly one published cell, or nothing of the hour is
// published at all. So there is no remainder for somebody who knows the total of
// the network, or of a region, to find by subtraction. An hour is published once;
// whatever comes or goes later (late rows, erasure, other segments) changes
// nothing of it, so that two releases never differ by one line. No cell has a
// reference to a line, and bytes and lines are rounded, so that none can be
// joined back by its exact numbers.
package statistics

import (
	"cmp"
	"math"
	"slices"
)

// MinLines is the least k: a cell with lines of fewer subscribers is merged upwards.
const MinLines = 10

// Cell is the volume of some segments in one hour.
type Cell struct {
	Segments    []string // sorted; one, unless small ones were merged
	Lines       uint64   // lines that moved at least a byte
	BytesUp     uint64
	BytesDown   uint64
	PacketsUp   uint64
	PacketsDown uint64
	Few         Few `json:"-"` // never published
}

// Few is what tells whether a cell's figures are about few subscribers; all lines of
// an account are one's. Each figure is published by itself, so each is judged by
// itself: of ten that all fetch one may be the only one that sends.
type Few struct {
	All, Up, Down                              uint64 // subscribers that moved anything, and that way
	BytesUp, BytesDown, PacketsUp, PacketsDown Top
}

// Top is how much of a figure is of the two subscribers with most of it.
type Top struct{ First, Second uint64 }

// with is the Top of both figures together, which have no subscriber in common.
func (t Top) with(o Top) Top {
	if o.First > t.First {
		t, o = o, t
	}
	return Top{t.First, max(t.Second, o.First)}
}

// tells reports whether the figure tells much of one subscriber: to everybody, because
// most of it is his; or to the second, who takes his own off and has the first to within
// a tenth. Without the former a cell of ten tells what one of them moves while the
// others sleep, without the latter what one company of two does.
func (t Top) tells(figure uint64) bool {
	return t.First > figure/2 || figure-t.First-t.Second < t.First/10
}

// safe reports whether the cell may be published: its lines are k subscribers' at
// least, what moved a way is too unless nothing did, and no figure tells much of one.
func (c Cell) safe(k uint64) bool {
	enough := func(n uint64) bool { return n == 0 || n >= k }
	return c.Few.All >= k && enough(c.Few.Up) && enough(c.Few.Down) &&
		!c.Few.BytesUp.tells(c.BytesUp) && !c.Few.BytesDown.tells(c.BytesDown) &&
		!c.Few.PacketsUp.tells(c.PacketsUp) && !c.Few.PacketsDown.tells(c.PacketsDown)
}

func (c Cell) add(o Cell) Cell {
	segments := append(slices.Clone(c.Segments), o.Segments...)
	slices.Sort(segments)
	return Cell{
		Segments: slices.Compact(segments), Lines: c.Lines + o.Lines,
		BytesUp: c.BytesUp + o.BytesUp, BytesDown: c.BytesDown + o.BytesDown,
		PacketsUp: c.PacketsUp + o.PacketsUp, PacketsDown: c.PacketsDown + o.PacketsDown,
		Few: Few{
			All: c.Few.All + o.Few.All, Up: c.Few.Up + o.Few.Up, Down: c.Few.Down + o.Few.Down,
			BytesUp: c.Few.BytesUp.with(o.Few.BytesUp), BytesDown: c.Few.BytesDown.with(o.Few.BytesDown),
			PacketsUp: c.Few.PacketsUp.with(o.Few.PacketsUp), PacketsDown: c.Few.PacketsDown.with(o.Few.PacketsDown),
		},
	}
}

// Merge returns cells that may be published and hold all that the given ones
// hold: a cell that is not safe is merged with others of its region, then with
// other regions. It returns none when even all together are not safe. region
// tells the region of a segment. The cells given must have no line in common and
// one segment each; their order does not matter.
func Merge(cells []Cell, region func(segment string) string, k uint64) []Cell {
	byRegion := map[string][]Cell{}
	for _, c := range cells {
		if c.Lines > 0 {
			name := region(c.Segments[0])
			byRegion[name] = append(byRegion[name], c)
		}
	}
	var all []Cell
	for _, regional := range byRegion {
		safe, rest := pool(regional, k)
		all = append(append(all, safe...), rest...)
	}
	published, rest := pool(all, k)
	if len(rest) > 0 {
		return nil
	}
	slices.SortFunc(published, func(a, b Cell) int { return slices.Compare(a.Segments, b.Segments) })
	return published
}

// pool puts the cells that are not safe together, and as many of the smallest
// safe ones as it takes. What is not safe with all of them is the rest: one cell.
func pool(cells []Cell, k uint64) (safe, rest []Cell) {
	var pooled Cell
	for _, c := range cells {
		if c.safe(k) {
			safe = append(safe, c)
		} else {
			pooled = pooled.add(c)
		}
	}
	if pooled.Lines == 0 {
		return safe, nil
	}
	slices.SortFunc(safe, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.Lines, b.Lines), slices.Compare(a.Segments, b.Segments))
	})
	for len(safe) > 0 && !pooled.safe(k) {
		pooled, safe = pooled.add(safe[0]), safe[1:]
	}
	if pooled.safe(k) {
		return append(safe, pooled), nil
	}
	return nil, []Cell{pooled}
}

// rounded is the cell as it is published: lines down to a multiple of five,
// volumes to three significant digits.
func (c Cell) rounded() Cell {
	c.Lines -= c.Lines % 5
	for _, v := range []*uint64{&c.BytesUp, &c.BytesDown, &c.PacketsUp, &c.PacketsDown} {
		*v = significant(*v)
	}
	c.Few = Few{}
	return c
}

// significant rounds to three significant digits, halves up.
func significant(v uint64) uint64 {
	unit := uint64(1)
	for v/unit >= 1000 {
		unit *= 10
	}
	q := v / unit
	if v%unit >= unit-unit/2 && unit > 1 {
		q++
	}
	if q > math.MaxUint64/unit {
		return v / unit * unit
	}
	return q * unit
}
