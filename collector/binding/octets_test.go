package binding

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"griffier/schema"
)

// octetsOf lists usage records as "direction bytes/cumulative@second of the bucket".
func octetsOf(e Effects) (out []string) {
	for _, r := range e.Records {
		u, ok := r.(*schema.Usage)
		if !ok {
			continue
		}
		if err := schema.Validate(u); err != nil {
			out = append(out, err.Error())
		}
		if u.Source != schema.UsageRADIUS || u.IPVersion != 0 || u.Packets != 0 {
			out = append(out, fmt.Sprintf("unexpected %+v", u))
		}
		out = append(out, fmt.Sprintf("%s %d/%d@%s", u.Direction, u.Bytes, u.CumulativeBytes, u.BucketStartedAt.Format("15:04")))
	}
	return out
}

// TestOctets: what a BNG counts becomes usage of its own kind, each octet once,
// however often and in which order it is told, and through a crash.
func TestOctets(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	o := func(kind ObservationKind, minute int, up, down uint64) Observation {
		x := Observation{
			At: noon.Add(time.Duration(minute) * time.Minute), Kind: kind, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
			SessionKey: "bng1|0|42|1", Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "alice"}, NAS: "bng1",
		}
		if up+down > 0 {
			x.Octets = &Octets{Up: up, Down: down}
		}
		if kind == End {
			x.EndCause = schema.EndRelease
		}
		return x
	}
	from := o(Refresh, 40, 1005, 2007)
	from.SessionKey, from.Octets.UpFrom, from.Octets.DownFrom = "bng1|0|43|1", 1000, 2000
	unnamed := o(Refresh, 50, 5, 5)
	unnamed.SessionKey, unnamed.Identifier = "bng1|0|44|1", schema.Identifier{}
	named := o(Refresh, 51, 6, 6)
	named.SessionKey = unnamed.SessionKey
	steps := []struct {
		o    Observation
		want []string
	}{
		{o(Start, 0, 0, 0), nil},
		{o(Refresh, 5, 10, 100), []string{"up 10/10@12:00", "down 100/100@12:00"}}, // the bucket that ends then
		{o(Refresh, 5, 10, 100), nil},
		{o(Refresh, 11, 10, 300), []string{"down 200/300@12:10"}},
		{o(Refresh, 8, 10, 200), nil},
		{o(Refresh, 11, 10, 301), []string{"down 1/301@12:10"}}, // another sampling time, or it would replace the one before
		{o(Refresh, 12, 0, 0), nil},
		{o(End, 13, 15, 400), []string{"up 5/15@12:10", "down 99/400@12:10"}},
		{o(End, 13, 15, 400), nil},
		{from, []string{"up 5/5@12:35", "down 7/7@12:35"}},
		{unnamed, nil}, // of nobody yet
		{named, []string{"up 6/6@12:50", "down 6/6@12:50"}},
	}
	for _, crash := range []bool{false, true} {
		b := newBinding(t)
		var deltas [][]byte
		samples := map[string]bool{}
		for i, s := range steps {
			e := b.Apply(s.o.At, s.o)
			if got := octetsOf(e); !slices.Equal(got, s.want) {
				t.Errorf("crash %v, step %d: %v, want %v", crash, i, got, s.want)
			}
			for _, r := range e.Records {
				if u, ok := r.(*schema.Usage); ok {
					key := fmt.Sprint(u.CounterID, u.Direction, u.BucketStartedAt, u.SampledAt)
					if samples[key] {
						t.Errorf("step %d: two records of one sampling time", i)
					}
					samples[key] = true
				}
			}
			deltas = append(deltas, e.Delta)
			if crash {
				b = newBinding(t)
				if err := b.Restore(nil, deltas); err != nil {
					t.Fatal(err)
				}
				state, err := b.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				b = newBinding(t)
				if err := b.Restore(state, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
