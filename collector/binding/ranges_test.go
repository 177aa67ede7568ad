package binding

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"griffier/schema"

	"pgregory.net/rapid"
)

func rangesOf(list ...Range) func(*Binding) { return func(b *Binding) { b.ranges = newRanges(list) } }

func TestResellersRangesAreNotOurs(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	rangesOf(
		Range{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		Range{Prefix: netip.MustParsePrefix("192.0.2.128/25"), Provider: "reseller"},
		Range{Prefix: netip.MustParsePrefix("192.0.2.192/26"), Provider: "reseller", ValidTo: at(12, 0)},
		Range{Prefix: netip.MustParsePrefix("192.0.2.192/26"), ValidFrom: at(12, 0), ValidTo: at(14, 0)}, // lent back
	)(b)
	e := b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32", "192.0.2.130/32", "192.0.2.200/32", "198.51.100.1/32"))
	s.add(e)
	if len(e.Assign) != 1 {
		t.Errorf("assign %v, want our own only", e.Assign)
	}
	if g := b.Ignored(); g.OtherProvider != 2 || g.OutsideRanges != 1 {
		t.Errorf("ignored %+v", g)
	}
	s.add(b.Apply(at(13, 0), start("s2", "bram", at(13, 0), "192.0.2.200/32")))
	for m := range 120 {
		s.add(b.Tick(at(13, m), Clock{}))
	}
	s.want(t,
		"session 20T10:00:00-20T14:55:00 from 20T10:00:00 open=true observed",
		"192.0.2.1/32 20T10:00:00-20T14:55:00 from 20T10:00:00 open=true observed",
		"session 20T13:00:00-20T14:55:00 from 20T13:00:00 open=true observed",
		"192.0.2.200/32 20T13:00:00-20T14:00:00 from 20T13:00:00 open=false release synthesised")
	if len(b.Installed()) != 1 {
		t.Errorf("installed %v: an address that is another's again still counts", b.Installed())
	}
}

// A telling in which nothing is ours is not the same as one that names nothing:
// the session has given up what it held.
func TestTellingOfForeignAddressesOnlyEndsOurs(t *testing.T) {
	for _, crash := range []bool{false, true} {
		b, s := newBinding(t), newStore(t)
		ours := rangesOf(Range{Prefix: netip.MustParsePrefix("192.0.2.0/24")})
		ours(b)
		var deltas [][]byte
		for _, o := range []Observation{
			start("s1", "anna", at(10, 0), "192.0.2.1/32"),
			refresh("s1", "anna", at(10, 10), at(10, 0)), // names nothing
			refresh("s1", "anna", at(10, 20), at(10, 0), "198.51.100.7/32"),
		} {
			e := b.Apply(o.At, o)
			s.add(e)
			deltas = append(deltas, e.Delta)
			if crash {
				b = newBinding(t)
				ours(b)
				if err := b.Restore(nil, deltas); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.add(b.Tick(at(10, 30), Clock{}))
		s.want(t,
			"session 20T10:00:00-20T10:30:00 from 20T10:00:00 open=true observed",
			"192.0.2.1/32 20T10:00:00-20T10:20:00 from 20T10:00:00 open=false release observed")
	}
}

// Nobody is ever recorded with an address at a time at which the ranges, looked
// at one by one, say that it is not the provider's own.
func TestOwnershipProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []Range
		minute := func(name string) time.Time { return at(9, rapid.IntRange(0, 600).Draw(t, name)) }
		for range rapid.IntRange(1, 6).Draw(t, "ranges") {
			r := Range{
				Prefix:   netip.MustParsePrefix(rapid.SampledFrom([]string{"192.0.2.0/24", "192.0.2.0/28", "192.0.2.1/32"}).Draw(t, "prefix")),
				Provider: rapid.SampledFrom([]string{"", "", "reseller"}).Draw(t, "provider"),
			}
			if rapid.Bool().Draw(t, "begins") {
				r.ValidFrom = minute("from")
			}
			if rapid.Bool().Draw(t, "ends") {
				r.ValidTo = minute("to")
			}
			list = append(list, r)
		}
		ours := func(m time.Time) bool {
			longest, mine := -1, false
			for _, r := range list {
				if m.Before(r.ValidFrom) || !r.ValidTo.IsZero() && !m.Before(r.ValidTo) {
					continue
				}
				switch {
				case r.Prefix.Bits() > longest:
					longest, mine = r.Prefix.Bits(), r.Provider == ""
				case r.Prefix.Bits() == longest:
					mine = mine && r.Provider == ""
				}
			}
			return mine
		}
		b, s := newBinding(t), newStore(t)
		rangesOf(list...)(b)
		now := at(9, 0)
		s.add(b.Apply(now, start("s1", "anna", now, "192.0.2.1/32")))
		for range rapid.IntRange(0, 20).Draw(t, "refreshes") {
			now = now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "minutes")) * time.Minute)
			s.add(b.Tick(now, Clock{}))
			s.add(b.Apply(now, refresh("s1", "anna", now, at(9, 0), "192.0.2.1/32")))
		}
		s.add(b.Tick(now.Add(time.Minute), Clock{}))
		var held [][2]time.Time
		for _, r := range s.rows {
			if a, ok := r.(*schema.Assignment); ok {
				held = append(held, [2]time.Time{a.StartedAt, a.EndedAt})
			}
		}
		for m := at(9, 0); m.Before(now); m = m.Add(time.Minute) {
			known := slices.ContainsFunc(held, func(h [2]time.Time) bool { return !m.Before(h[0]) && m.Before(h[1]) })
			if known && !ours(m) {
				t.Fatalf("held at %v, when it was not the provider's own\n%+v\nheld %v", m, list, held)
			}
		}
	})
}

// Ranges that change while the collector runs: what is told afterwards is judged by
// the new ones, what is lent gets its end, and what is taken in gets a beginning,
// as after a restart with the new configuration, which must not differ.
func TestSetRanges(t *testing.T) {
	old := []Range{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}
	fresh := []Range{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		{Prefix: netip.MustParsePrefix("192.0.2.128/25"), Provider: "reseller", ValidFrom: at(10, 30)},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), ValidFrom: at(11, 0)},
	}
	for _, restarted := range []bool{false, true} {
		b, s := newBinding(t), newStore(t)
		rangesOf(old...)(b)
		s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
		s.add(b.Apply(at(10, 0), start("s2", "bram", at(10, 0), "192.0.2.130/32")))
		s.add(b.Apply(at(10, 0), start("s3", "carl", at(10, 0), "192.0.2.2/32", "198.51.100.9/32")))
		ended := start("s4", "dora", at(10, 0), "192.0.2.4/32")
		s.add(b.Apply(at(10, 0), ended))
		s.add(b.Apply(at(10, 5), end("s4", "dora", at(10, 5), at(10, 0), schema.EndRelease)))
		s.add(b.Tick(at(11, 0), Clock{}))
		if restarted {
			state, err := b.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			b = newBinding(t)
			rangesOf(fresh...)(b)
			if err := b.Restore(state, nil); err != nil {
				t.Fatal(err)
			}
		} else if e := b.SetRanges(fresh); len(e.Records) > 0 || len(e.Delta) > 0 {
			t.Errorf("effects %+v: nothing that a snapshot does not hold may follow", e)
		}
		s.add(b.Tick(at(11, 1), Clock{}))
		s.add(b.Apply(at(11, 10), refresh("s3", "carl", at(11, 10), at(10, 0), "192.0.2.2/32", "198.51.100.9/32")))
		s.add(b.Apply(at(11, 10), refresh("s1", "anna", at(11, 10), at(10, 0), "192.0.2.200/32")))
		for m := 11; m < 30; m++ {
			s.add(b.Tick(at(11, m), Clock{}))
		}
		if n := len(b.Installed()); n != 2 {
			t.Errorf("restarted=%v: %d addresses count, want carl's two", restarted, n)
		}
		if sessions, _ := b.Live(); sessions != 3 {
			t.Errorf("restarted=%v: %d sessions live, want 3", restarted, sessions)
		}
		s.want(t,
			"session 20T10:00:00-20T11:26:00 from 20T10:00:00 open=true observed",
			"192.0.2.1/32 20T10:00:00-20T11:10:00 from 20T10:00:00 open=false release observed",
			"session 20T10:00:00-20T11:26:00 from 20T10:00:00 open=true observed",
			"192.0.2.130/32 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false release synthesised",
			"session 20T10:00:00-20T11:26:00 from 20T10:00:00 open=true observed",
			"192.0.2.2/32 20T10:00:00-20T11:26:00 from 20T10:00:00 open=true observed",
			"198.51.100.9/32 20T11:10:00-20T11:26:00 from 20T11:10:00 open=true observed",
			"session 20T10:00:00-20T10:05:00 from 20T10:00:00 open=false release observed",
			"192.0.2.4/32 20T10:00:00-20T10:05:00 from 20T10:00:00 open=false release observed")
	}
}
