package usage

import (
	"slices"
	"time"

	"griffier/schema"
)

// A Percentile is the 95th percentile of a line's rate, as burstable billing
// defines it: the rates of all samples of five minutes are put in order, the
// highest twentieth is left out, and the highest of the rest counts; each
// direction by itself. In bits a second.
type Percentile struct {
	Up, Down uint64
	Samples  int // that count
	Missing  int // of which a part was not collected, and which do not count
}

// NinetyFifth computes it over the buckets of w. A bucket without usage is a
// sample of zero, one that a gap touches is none.
func NinetyFifth(w Window, buckets []Bucket, gaps []Window) Percentile {
	steps := w.Steps(schema.BucketLength)
	var up, down []uint64
	var p Percentile
	for i, v := range Sum(steps, buckets) {
		if slices.ContainsFunc(gaps, func(g Window) bool { _, touched := steps[i].intersect(g.Start, g.End); return touched }) {
			p.Missing++
			continue
		}
		up, down = append(up, rate(v.BytesUp)), append(down, rate(v.BytesDown))
	}
	p.Samples = len(up)
	p.Up, p.Down = ninetyFifth(up), ninetyFifth(down)
	return p
}

// rate turns the bytes of a bucket into bits a second, rounded down.
func rate(bytes uint64) uint64 {
	const seconds = uint64(schema.BucketLength / time.Second)
	return bytes/seconds*8 + bytes%seconds*8/seconds
}

// ninetyFifth returns the sample of rank ceil(0.95 n), and 0 of none.
func ninetyFifth(samples []uint64) uint64 {
	if len(samples) == 0 {
		return 0
	}
	slices.Sort(samples)
	return samples[(len(samples)*95+99)/100-1]
}
