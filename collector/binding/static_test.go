package binding

import (
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
