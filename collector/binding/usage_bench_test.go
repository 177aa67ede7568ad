package binding

import (
	"encoding/binary"
	"testing"
	"time"

	"griffier/schema"
)

// BenchmarkUsage is a bucket's end with 100,000 lines that moved in both
// directions and IP versions, and the drain after it, at which nothing is due.
func BenchmarkUsage(b *testing.B) {
	x := newBinding(b)
	x.cfg.FlushInterval = schema.BucketLength
	readings := make([]Reading, 0, 400_000)
	for i := range 100_000 {
		var id schema.ID
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
		for _, d := range []schema.Direction{schema.Up, schema.Down} {
			for _, v := range []uint8{4, 6} {
				readings = append(readings, Reading{CounterID: id, AccessRef: schema.AccessRef(id), Direction: d, IPVersion: v})
			}
		}
	}
	move := func() {
		for i := range readings {
			readings[i].Bytes += 1500
			readings[i].Packets++
		}
	}
	now := at(10, 0).Add(10 * time.Second)
	x.Usage(now, readings, false)
	var due, idle time.Duration
	b.ResetTimer()
	for range b.N {
		move()
		now = now.Add(schema.BucketLength - 10*time.Second)
		began := time.Now()
		if n := len(x.Usage(now, readings, false).Records); n != len(readings) {
			b.Fatal(n)
		}
		due += time.Since(began)
		move()
		now = now.Add(10 * time.Second)
		began = time.Now()
		x.Usage(now, readings, false)
		idle += time.Since(began)
	}
	b.ReportMetric(float64(due.Milliseconds())/float64(b.N), "ms/bucket")
	b.ReportMetric(float64(idle.Milliseconds())/float64(b.N), "ms/drain")
}
