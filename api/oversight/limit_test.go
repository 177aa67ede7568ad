package oversight

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
)

func bodyOf(t *testing.T, d ledger.Draft) []byte {
	t.Helper()
	text, err := json.Marshal(d.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var secrets = Secrets{TagKeyID(Period(start), 0): secretOf(7)}

// receive enters a warrant's intake, or returns the refusal.
func (b *book) receive(at time.Time, warrantID, authority string, targets ...string) (Link, *reason.Error) {
	in := Intake{WarrantID: warrantID, Authority: authority, Targets: targets, KeyID: TagKeyID(Period(start), 0)}
	walk := b.state.Walk(at, in, secrets, Limits{})
	d, refusal := b.state.Receive(at, officer, in, walk, secrets, Limits{}, "class")
	if refusal == nil {
		b.append(at, d)
	}
	return walk, refusal
}

// The fiftieth warrant of an authority within an hour is taken, the next is not, and
// another authority's is; when the first is an hour old there is room for one.
func TestWarrantsOfAnAuthority(t *testing.T) {
	b := newBook(t)
	for i := range DefaultWarrantsPerAuthorityHour {
		_, err := b.receive(start.Add(time.Duration(i)*time.Second), id(i), "NL-OM", "line:L-1")
		wantRefusal(t, fmt.Sprintf("warrant %d", i+1), err, "")
	}
	at := start.Add(59 * time.Minute)
	_, err := b.receive(at, id(1000), "NL-OM", "line:L-1")
	wantRefusal(t, "one more", err, reason.RateLimited)
	_, err = b.receive(at, id(1001), "BE-OM", "line:L-1")
	wantRefusal(t, "another authority's", err, "")
	_, err = b.receive(start.Add(time.Hour-time.Nanosecond), id(1002), "NL-OM", "line:L-1")
	wantRefusal(t, "just before the hour", err, reason.RateLimited)
	_, err = b.receive(start.Add(time.Hour), id(1003), "NL-OM", "line:L-1")
	wantRefusal(t, "at the hour", err, "")
	_, err = b.receive(start.Add(time.Hour), id(1004), "NL-OM", "line:L-1")
	wantRefusal(t, "one more than there is room for", err, reason.RateLimited)
	b.state = b.again()
	_, err = b.receive(start.Add(time.Hour), id(1005), "NL-OM", "line:L-1")
	wantRefusal(t, "after a restart", err, reason.RateLimited)
}

func TestTasksOfAnOfficer(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM")
	limits := Limits{TasksPerOfficerDay: 3}
	for i := range 3 {
		wantRefusal(t, "task", b.state.MayAsk(start, officer, limits), "")
		b.task(start.Add(time.Duration(i)*time.Hour), officer, id(1), id(10+i), "ATTRIBUTION")
	}
	wantRefusal(t, "a fourth", b.state.MayAsk(start.Add(3*time.Hour), officer, limits), reason.RateLimited)
	wantRefusal(t, "another officer's", b.state.MayAsk(start.Add(3*time.Hour), second, limits), "")
	wantRefusal(t, "a day after the first", b.state.MayAsk(start.Add(24*time.Hour), officer, limits), "")
	wantRefusal(t, "after a restart", b.again().MayAsk(start.Add(3*time.Hour), officer, limits), reason.RateLimited)
}

// A refusal by a limit is entered once an hour for each officer and limit.
func TestLimitedOnceAnHour(t *testing.T) {
	b := newBook(t)
	for _, c := range []struct {
		after time.Duration
		by    string
		limit LimitName
		enter bool
	}{
		{0, "a", TasksOfOfficer, true}, {time.Second, "a", TasksOfOfficer, false}, {time.Minute, "a", WarrantsOfAuthority, true},
		{time.Minute, "b", TasksOfOfficer, true}, {time.Hour - 1, "a", TasksOfOfficer, false}, {time.Hour, "a", TasksOfOfficer, true},
	} {
		by := officer
		by.Actor = c.by
		d, ok := b.state.Limited(start.Add(c.after), by, c.limit)
		if ok != c.enter {
			t.Errorf("%s by %s after %v: entered %v, want %v", c.limit, c.by, c.after, ok, c.enter)
		}
		if ok {
			b.append(start.Add(c.after), d)
		}
	}
	if got := len(b.state.Hits(start.Add(time.Minute))); got != 3 {
		t.Errorf("%d hits since the first minute, want 3", got)
	}
}

// A network that is searched one address a warrant is seen when four in a row were
// named within a day; four addresses in one warrant, or four that are not in a row,
// are not a walk.
func TestWalk(t *testing.T) {
	for _, c := range []struct {
		name     string
		warrants [][]string
		apart    time.Duration
		alarm    []bool
	}{
		{"upwards", [][]string{{"192.0.2.254"}, {"192.0.2.255"}, {"192.0.3.0"}, {"192.0.3.1"}, {"192.0.3.2"}}, time.Minute, []bool{false, false, false, true, true}},
		{"downwards", [][]string{{"192.0.3.1"}, {"192.0.3.0"}, {"192.0.2.255"}, {"192.0.2.254"}}, time.Minute, []bool{false, false, false, true}},
		{"the gap filled last", [][]string{{"192.0.2.1"}, {"192.0.2.2"}, {"192.0.2.4"}, {"192.0.2.3"}}, time.Minute, []bool{false, false, false, true}},
		{"one warrant", [][]string{{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}}, time.Minute, []bool{false}},
		{"the same ones again", [][]string{{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}}, time.Minute, []bool{false, false}},
		{"some of them again", [][]string{{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, {"192.0.2.2"}, {"192.0.2.5"}}, time.Minute, []bool{false, false, true}},
		{"with gaps", [][]string{{"192.0.2.1"}, {"192.0.2.3"}, {"192.0.2.5"}, {"192.0.2.7"}}, time.Minute, []bool{false, false, false, false}},
		{"over days", [][]string{{"192.0.2.1"}, {"192.0.2.2"}, {"192.0.2.3"}, {"192.0.2.4"}}, 10 * time.Hour, []bool{false, false, false, false}},
		{"delegated prefixes", [][]string{{"2001:db8:0:fe00::/56"}, {"2001:db8:0:ff00::/56"}, {"2001:db8:1::/56"}, {"2001:db8:1:100::/56"}}, time.Minute, []bool{false, false, false, true}},
		{"other lengths", [][]string{{"2001:db8::/56"}, {"2001:db8:0:100::/64"}, {"2001:db8:0:200::/56"}, {"2001:db8:0:300::/56"}}, time.Minute, []bool{false, false, false, false}},
		{"a port of each", [][]string{{"192.0.2.1:1024/tcp"}, {"192.0.2.2:2048"}, {"192.0.2.3"}, {"192.0.2.4:443/udp"}}, time.Minute, []bool{false, false, false, true}},
		{"written as IPv6", [][]string{{"192.0.2.1"}, {"::ffff:192.0.2.2"}, {"::ffff:c000:203"}, {"192.0.2.4"}}, time.Minute, []bool{false, false, false, true}},
		{"a port of each, of IPv6", [][]string{{"2001:DB8::1"}, {"[2001:db8::2]:80/tcp"}, {"2001:db8:0::3"}, {"[2001:db8::4]:81"}}, time.Minute, []bool{false, false, false, true}},
		{"ports of one address", [][]string{{"192.0.2.1:1"}, {"192.0.2.1:2"}, {"192.0.2.1:3"}, {"192.0.2.1:4"}}, time.Minute, []bool{false, false, false, false}},
		{"lines", [][]string{{"line:1"}, {"line:2"}, {"line:3"}, {"line:4"}}, time.Minute, []bool{false, false, false, false}},
	} {
		b := newBook(t)
		for i, targets := range c.warrants {
			walk, err := b.receive(start.Add(time.Duration(i)*c.apart), id(i), "NL-OM", targets...)
			if err != nil || (walk.Disclosures > 0) != c.alarm[i] {
				t.Errorf("%s: warrant %d: walk %+v, %v; want an alarm: %v", c.name, i, walk, err, c.alarm[i])
			}
		}
	}
}

// The neighbours of a prefix are next to it, and each other's.
func TestNeighbours(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bytes := rapid.SampledFrom([]int{4, 16}).Draw(rt, "length")
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 127, 128, 254, 255}), bytes, bytes).Draw(rt, "address"))
		p := netip.PrefixFrom(a, rapid.IntRange(1, bytes*8).Draw(rt, "bits")).Masked()
		next, ok := after(p)
		if !ok {
			if _, down := before(p); !down && p.Bits() > 1 {
				rt.Fatalf("%v has no neighbour at all", p)
			}
			return
		}
		if back, ok := before(next); !ok || back != p || next.Overlaps(p) || next.Addr().Compare(p.Addr()) < 0 {
			rt.Fatalf("after %v comes %v, before which is %v", p, next, back)
		}
		if !p.Contains(next.Addr().Prev()) {
			rt.Fatalf("between %v and %v is %v", p, next, next.Addr().Prev())
		}
	})
	for _, text := range []string{"255.255.255.255/32", "ffff:ffff:ffff:ffff::/64"} {
		if p, ok := after(netip.MustParsePrefix(text)); ok {
			t.Errorf("after the last comes %v", p)
		}
	}
	if p, ok := before(netip.MustParsePrefix("0.0.0.0/8")); ok {
		t.Errorf("before the first comes %v", p)
	}
}
