package usage

import (
	"math/rand"
	"testing"
	"time"

	"griffier/api/register"
	"griffier/schema"
)

// TestNASThatReportsToTwoCollectors: whatever each of two collectors missed of
// what a NAS told both, no octet counts twice, none that one of them knows of is
// left out, and windows add up. What a NAS told one of them alone counts too.
func TestNASThatReportsToTwoCollectors(t *testing.T) {
	ctx, conn := store(t)
	r := NewReader(conn)
	type line struct {
		ref          register.Held
		truth, least uint64
	}
	var lines []line
	var records []schema.Record
	for seed := range int64(40) {
		random := rand.New(rand.NewSource(seed))
		ref := register.Held{LineID: "L", Ref: schema.AccessRef{1, byte(seed)}, ValidFrom: day(-1000), ValidTo: schema.Forever}
		var truth uint64
		known := map[string]uint64{} // by collector, of the NAS that reports to both
		var alone uint64
		id := byte(0)
		start := day(-3).Add(time.Duration(random.Intn(600)) * time.Minute)
		for range 1 + random.Intn(4) {
			nas, heard := "bng1", []string{"c1", "c2"}
			if random.Intn(3) == 0 { // the pair's other router, which reports to one
				nas, heard = "bng2", []string{"c2"}
			}
			var samples []time.Time
			var totals []uint64
			at, total := start, uint64(0)
			for range 1 + random.Intn(6) {
				at, total = at.Add(time.Duration(1+random.Intn(20))*time.Minute), total+uint64(random.Intn(3))*1000
				samples, totals = append(samples, at), append(totals, total)
			}
			truth += total
			for _, collector := range heard {
				id++
				session := schema.ID{2, byte(seed), id}
				had, last := uint64(0), start
				for i := range samples {
					if nas == "bng1" && random.Intn(3) == 0 {
						continue // lost on the way to this one
					}
					if last = samples[i]; totals[i] == had {
						continue
					}
					bucket := last.Add(-time.Millisecond).Truncate(schema.BucketLength)
					records = append(records, &schema.Usage{AccessRef: ref.Ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength),
						SampledAt: last, Direction: schema.Up, Bytes: totals[i] - had, CumulativeBytes: totals[i], CounterID: session,
						CollectorID: collector, Source: schema.UsageRADIUS})
					had = totals[i]
				}
				if nas == "bng1" {
					known[collector] += had
				} else {
					alone += had
				}
				open, until, cause := last.Before(at), last, schema.EndRelease
				if open { // its Stop was lost: for this one it goes on
					until, cause = at.Add(time.Duration(random.Intn(3))*time.Hour), schema.EndNone
				}
				records = append(records, sessionSlices(ref.Ref, session, nas, collector, start, until, open, cause)...)
			}
			start = at.Add(time.Duration(random.Intn(90)) * time.Minute)
		}
		lines = append(lines, line{ref, truth, max(known["c1"], known["c2"]) + alone})
	}
	put(t, conn, records...)
	for i, l := range lines {
		sum := func(w Window) (n uint64) {
			buckets, err := r.Buckets(ctx, []register.Held{l.ref}, w)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range buckets {
				n += b.Volume.BytesUp
			}
			return n
		}
		total := sum(Window{day(-4), day(1)})
		if total > l.truth {
			t.Errorf("line %d: %d octets, it moved %d", i, total, l.truth)
		}
		if total < l.least {
			t.Errorf("line %d: %d octets, one collector alone knows of %d", i, total, l.least)
		}
		parts := sum(Window{day(-4), day(-3).Add(6 * time.Hour)}) + sum(Window{day(-3).Add(6 * time.Hour), day(-3).Add(10 * time.Hour)}) +
			sum(Window{day(-3).Add(10 * time.Hour), day(1)})
		if parts != total {
			t.Errorf("line %d: windows add up to %d, the whole is %d", i, parts, total)
		}
	}
}

// sessionSlices cuts a session of one collector at UTC midnights.
func sessionSlices(ref schema.AccessRef, id schema.ID, nas, collector string, start, end time.Time, open bool, cause schema.EndCause) (out []schema.Record) {
	for _, w := range (Window{start, end.Add(time.Millisecond)}).Days(time.UTC) {
		last := !w.End.Before(end)
		s := &schema.Session{SessionID: id, AccessRef: ref, SessionStartedAt: start, StartedAt: w.Start, EndedAt: earlier(w.End, end), Open: open && last,
			Version: 1, EndCause: schema.EndCut, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: nas, NASPort: "1", CollectorID: collector}
		if last {
			s.EndCause = cause
		}
		out = append(out, s)
	}
	return out
}

// TestKernelsOfTwoRoutersAddUp: each byte passes one router of a pair, so what
// their kernels count of a line is added.
func TestKernelsOfTwoRoutersAddUp(t *testing.T) {
	ctx, conn := store(t)
	at := day(-2).Add(10 * time.Hour)
	one, two := used(1, at, schema.Down, 4, 100), used(1, at, schema.Down, 4, 40)
	two.CollectorID, two.CounterID = "c2", schema.ID{9, 9}
	put(t, conn, one, two)
	buckets, err := NewReader(conn).Buckets(ctx, []register.Held{always(1)}, Window{day(-3), day(0)})
	if err != nil {
		t.Fatal(err)
	}
	if len(buckets) != 1 || buckets[0].Volume.BytesDown != 140 {
		t.Errorf("%+v, want 140 bytes in one bucket", buckets)
	}
}
