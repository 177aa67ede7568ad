package binding

import (
	"net/netip"
	"testing"
	"time"

	"griffier/schema"
)

func TestStaticFollowsConfiguration(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	line := func(user string, prefixes ...string) StaticLine {
		return StaticLine{Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: user}, Prefixes: prefixesOf(prefixes)}
	}
	reconfigure := func(now time.Time, lines ...StaticLine) (n int) {
		for _, o := range Static(lines, b.Sessions(), now) {
			s.add(b.Apply(now, o))
			n++
		}
		return n
	}
	a, c := line("a", "192.0.2.0/28"), line("c", "192.0.2.16/28", "2001:db8:5::/48")
	reconfigure(at(10, 0), a, c)
	if n := reconfigure(at(10, 30), a, c); n != 0 {
		t.Errorf("an unchanged configuration gave %d observations", n)
	}
	reconfigure(at(11, 0), c)
	reconfigure(at(12, 0), a, c)
	s.add(b.Tick(at(13, 0), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
		"192.0.2.0/28 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
		"session 20T12:00:00-20T13:00:00 from 20T12:00:00 open=true observed",
		"192.0.2.0/28 20T12:00:00-20T13:00:00 from 20T12:00:00 open=true observed",
		"session 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed",
		"192.0.2.16/28 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed",
		"2001:db8:5::/48 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed")
}

// A line is held for as long as its configuration says, whether the collector
// runs when that begins and ends or is started later.
func TestStaticValidity(t *testing.T) {
	line := func(from, to time.Time) StaticLine {
		return StaticLine{Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "a"},
			Prefixes: prefixesOf([]string{"2001:db8:5:1::/64"}), ValidFrom: from, ValidTo: to}
	}
	lines := []StaticLine{line(at(10, 0), at(11, 0)), line(at(12, 0), at(13, 0))}
	for _, c := range []struct {
		name string
		runs []time.Time // when the lines are looked at; else when one begins or ends
		want []string
	}{
		{"running all the time", []time.Time{at(9, 0), at(10, 0), at(11, 0), at(12, 0), at(13, 0)}, []string{
			"session 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
			"2001:db8:5:1::/64 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
			"session 20T12:00:00-20T13:00:00 from 20T12:00:00 open=false release observed",
			"2001:db8:5:1::/64 20T12:00:00-20T13:00:00 from 20T12:00:00 open=false release observed"}},
		{"away at every change", []time.Time{at(10, 30), at(12, 30), at(14, 0)}, []string{
			"session 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release synthesised",
			"2001:db8:5:1::/64 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release synthesised",
			"session 20T12:00:00-20T13:00:00 from 20T12:00:00 open=false release synthesised",
			"2001:db8:5:1::/64 20T12:00:00-20T13:00:00 from 20T12:00:00 open=false release synthesised"}},
		{"started when all is over", []time.Time{at(14, 0)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, s := newBinding(t), newStore(t)
			for i, now := range c.runs {
				if i > 0 && c.name == "running all the time" {
					if next := NextStatic(lines, nil, c.runs[i-1]); !next.Equal(now) {
						t.Errorf("after %v the next change is at %v, want %v", c.runs[i-1], next, now)
					}
				}
				for range 2 { // the second time changes nothing
					for _, o := range Static(lines, b.Sessions(), now) {
						s.add(b.Apply(now, o))
					}
				}
			}
			s.want(t, c.want...)
		})
	}
	if next := NextStatic(lines, nil, at(13, 0)); !next.IsZero() {
		t.Errorf("a change at %v after the last", next)
	}
}

// A line that is taken out of the configuration and put back, with the same
// beginning, is held again from when it was put back.
func TestStaticLineComesBack(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	lines := []StaticLine{{Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "a"},
		Prefixes: prefixesOf([]string{"192.0.2.0/28"}), ValidFrom: at(10, 0)}}
	for _, step := range []struct {
		now   time.Time
		lines []StaticLine
	}{{at(10, 0), lines}, {at(11, 0), nil}, {at(12, 0), lines}, {at(12, 1), lines}} {
		for _, o := range Static(step.lines, b.Sessions(), step.now) {
			s.add(b.Apply(step.now, o))
		}
	}
	s.add(b.Tick(at(13, 0), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
		"192.0.2.0/28 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
		"session 20T12:00:00-20T13:00:00 from 20T12:00:00 open=true observed",
		"192.0.2.0/28 20T12:00:00-20T13:00:00 from 20T12:00:00 open=true observed")
}

// A line goes on while a part of what it has is lent to another provider, and has
// that part again from when it comes back; what is looked at twice changes nothing.
func TestStaticLineWhoseRangeComesBack(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	ranges := []Range{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		{Prefix: netip.MustParsePrefix("192.0.2.128/25"), Provider: "reseller", ValidFrom: at(11, 0), ValidTo: at(12, 0)},
	}
	b.ranges = newRanges(ranges)
	lines := []StaticLine{{Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "a"},
		Prefixes: prefixesOf([]string{"192.0.2.0/28", "192.0.2.192/28"})}}
	changes := 0
	for now, n := at(10, 0), 0; !now.IsZero(); now = NextStatic(lines, ranges, now) {
		for range 2 {
			s.add(b.Tick(now, Clock{}))
			for _, o := range b.Configured(lines, now) {
				s.add(b.Apply(now, o))
				n++
			}
		}
		changes = n
	}
	if changes != 2 {
		t.Errorf("%d observations, want a start and one of what came back", changes)
	}
	s.add(b.Tick(at(13, 0), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed",
		"192.0.2.0/28 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed",
		"192.0.2.192/28 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release synthesised",
		"192.0.2.192/28 20T12:00:00-20T13:00:00 from 20T12:00:00 open=true synthesised") // it came back when the ranges say
	if n := len(b.Installed()); n != 2 {
		t.Errorf("%d prefixes count, want both", n)
	}
}

// A line that was configured while a part of it was another's is one line: it does
// not end and begin whenever the configuration is looked at, also after a restart.
func TestStaticLinePartlyAnothers(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	b.ranges = newRanges([]Range{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		{Prefix: netip.MustParsePrefix("192.0.2.128/25"), Provider: "reseller", ValidTo: at(12, 0)},
	})
	lines := []StaticLine{{Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "a"},
		Prefixes: prefixesOf([]string{"192.0.2.0/28", "192.0.2.192/28"})}}
	n := 0
	for _, now := range []time.Time{at(10, 0), at(10, 30), at(11, 0), at(12, 0), at(12, 30)} {
		for _, o := range b.Configured(lines, now) {
			s.add(b.Apply(now, o))
			n++
		}
		state, err := b.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		again := newBinding(t)
		again.ranges = b.ranges
		if err := again.Restore(state, nil); err != nil {
			t.Fatal(err)
		}
		b = again
	}
	if n != 2 {
		t.Errorf("%d observations, want a start and one of what came back", n)
	}
	s.add(b.Tick(at(13, 0), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed",
		"192.0.2.0/28 20T10:00:00-20T13:00:00 from 20T10:00:00 open=true observed",
		"192.0.2.192/28 20T12:00:00-20T13:00:00 from 20T12:00:00 open=true observed")
}
