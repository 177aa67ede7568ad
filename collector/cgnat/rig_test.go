package cgnat

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"griffier/schema"
)

var rigFilter = Filter{Inside: prefixes("100.64.0.0/10"), Outside: prefixes("203.0.113.0/24")}

func (n *network) observe(change func(*ListenerConfig)) *Listener {
	n.t.Helper()
	cfg := ListenerConfig{Filter: rigFilter, NetNS: n.namespace(), Table: newTestTable(n.t, TableConfig{}).cfg}
	if change != nil {
		change(&cfg)
	}
	l, err := Listen(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { l.Close() })
	return l
}

// start runs the listener beside the test.
func (n *network) start(l *Listener) {
	ctx, stop := context.WithCancel(n.t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	n.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			n.t.Error(err)
		}
	})
}

// catchUp has the listener read all that the kernel told until now: one CatchUp ends
// after a while, which on a busy machine may be before it read anything.
func (n *network) catchUp(l *Listener) (gaps []Gap) {
	n.t.Helper()
	for began := time.Now(); ; {
		sure, more, err := l.CatchUp()
		if err != nil {
			n.t.Fatal(err)
		}
		if gaps = append(gaps, more...); !sure.Before(began) {
			return gaps
		}
	}
}

// rows are the latest versions of what a listener has to store.
type rows []*schema.Assignment

func (n *network) rows(l *Listener) (out rows) {
	n.t.Helper()
	if gaps := n.catchUp(l); len(gaps) > 0 {
		n.t.Fatalf("gaps %v", gaps)
	}
	for _, r := range l.Records(time.Now(), true) {
		if err := schema.Validate(r); err != nil {
			n.t.Fatal(err)
		}
		out = append(out, r.(*schema.Assignment))
	}
	return out
}

// holders are the inside addresses that had a port within the given time of an instant.
func (r rows) holders(s sighting, within time.Duration) (out []netip.Addr) {
	for _, a := range r {
		if a.Prefix.Addr() == s.public.Addr() && a.PortStart == s.public.Port() && a.Protocol == s.protocol &&
			!a.StartedAt.After(s.at.Add(within)) && (a.Open || a.EndedAt.After(s.at.Add(-within))) && !slices.Contains(out, a.Inside) {
			out = append(out, a.Inside)
		}
	}
	return out
}

// Each subscriber has a range of ports of one of two addresses. For every one of
// thousands of flows, what the world saw (public address, port and instant) leads
// to exactly the subscriber who sent it.
func TestWhoHadThePort(t *testing.T) {
	const subscribers, udp, tcp = 16, 250, 40
	var rules strings.Builder
	for i := range subscribers {
		fmt.Fprintf(&rules, "ip saddr 100.64.0.%d meta l4proto { tcp, udp } snat to 203.0.113.%d:%d-%d; ", 10+i, 100+i%2, 1024+i*512, 1024+i*512+511)
	}
	rules.WriteString("ip protocol icmp snat to 203.0.113.200;")
	n := newNetwork(t, subscribers, rules.String())
	w := n.listen(3)
	l := n.observe(nil)
	n.start(l)
	n.in(n.subscriber, func() {
		for i := range udp {
			for s := range byte(subscribers) {
				n.send("udp4", 10+s, 0, 9000+i%3)
			}
			w.await((i + 1) * subscribers) // its receive buffers are small
		}
		for i := range tcp {
			for s := range byte(subscribers) {
				n.send("tcp4", 10+s, 0, 9000+i%3)
			}
		}
		out, err := exec.Command("ping", "-n", "-c", "1", "-W", "60", "-I", "100.64.0.12", worldAddress).CombinedOutput()
		if err != nil {
			t.Errorf("ping: %v\n%s", err, out)
		}
	})
	w.await(subscribers * (udp + tcp))
	found := n.rows(l)
	if w.count() != subscribers*(udp+tcp) {
		t.Fatalf("the world saw %d flows of %d", w.count(), subscribers*(udp+tcp))
	}
	wrong := 0
	for _, s := range w.seen {
		want := netip.AddrFrom4([4]byte{100, 64, 0, s.subscriber})
		if got := found.holders(s, 50*time.Millisecond); len(got) != 1 || got[0] != want {
			if wrong++; wrong < 5 {
				t.Errorf("%v (protocol %d) at %v was of subscriber %d; rows say %v", s.public, s.protocol, s.at, s.subscriber, got)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d flows are not answered", wrong, len(w.seen))
	}
	icmp := 0
	for _, a := range found {
		if a.Protocol == 1 && a.Inside == netip.MustParseAddr("100.64.0.12") && a.Prefix.String() == "203.0.113.200/32" {
			icmp++
		}
	}
	if icmp != 1 {
		t.Errorf("%d rows of the one ping", icmp)
	}
	s := l.Stats()
	t.Logf("%d flows seen by the world, %d by the listener, %d rows, reused %d, messages %v", len(w.seen), s.Flows, len(found), s.Reused, s.Messages)
	if s.Reused != 0 || s.Overruns != 0 {
		t.Errorf("%d reused, %d overruns; ranges of one's own do not overlap", s.Reused, s.Overruns)
	}
}

// Two subscribers share one port. Linux gives it to both, to different far ends:
// both rows are there, at overlapping times, and it is counted.
func TestPortReuseIsKept(t *testing.T) {
	n := newNetwork(t, 2, "ip saddr 100.64.0.0/24 meta l4proto udp snat to 203.0.113.50:5000-5000;")
	w := n.listen(3)
	l := n.observe(nil)
	n.start(l)
	n.in(n.subscriber, func() {
		for to := range 3 {
			n.send("udp4", byte(10+to%2), 4000, 9000+to)
		}
	})
	w.await(3)
	found := n.rows(l)
	ambiguous, wrong := 0, 0
	for _, s := range w.seen {
		got := found.holders(s, 0)
		if !slices.Contains(got, netip.AddrFrom4([4]byte{100, 64, 0, s.subscriber})) {
			wrong++
		}
		if len(got) == 2 {
			ambiguous++
		}
	}
	if len(w.seen) != 3 || len(found) != 2 || wrong > 0 || ambiguous < 2 || l.Stats().Reused != 1 {
		t.Errorf("%d seen, %d rows, %d without their subscriber, %d ambiguous, %d counted as reused", len(w.seen), len(found), wrong, ambiguous, l.Stats().Reused)
	}
}

// A socket that talks to many far ends keeps its public port: many flows, one row.
func TestOneSocketIsOneRow(t *testing.T) {
	const far = 20
	n := newNetwork(t, 1, "meta l4proto udp snat to 203.0.113.51:1024-65535;")
	w := n.listen(far)
	l := n.observe(nil)
	n.in(n.subscriber, func() {
		for to := range far {
			n.send("udp4", 10, 4000, 9000+to)
		}
	})
	n.flows(far)
	w.await(far)
	if found, s := n.rows(l), l.Stats(); len(found) != 1 || s.Flows != far || w.count() != far {
		t.Errorf("%d rows of %d flows, %d seen by the world", len(found), s.Flows, w.count())
	}
}

// Nobody reads while flows come: the kernel overruns the socket. The listener
// declares a gap from when it was last sure, dumps, and knows every flow that
// lives; flows after that are seen again.
func TestOverrun(t *testing.T) {
	const flows = 3000
	n := newNetwork(t, 1, "meta l4proto udp snat to 203.0.113.60:1024-65535;")
	n.listen(1)
	l := n.observe(func(c *ListenerConfig) { c.ReadBuffer = 64 << 10 })
	before := time.Now()
	if gaps := n.catchUp(l); len(gaps) > 0 {
		t.Fatalf("gaps %v", gaps)
	}
	sure := time.Now() // the listener is up to date, and will not be again
	n.in(n.subscriber, func() {
		for i := range flows {
			n.send("udp4", 10, 10000+i, 9000)
		}
	})
	n.flows(flows)
	quiet := time.Now()
	gaps := n.catchUp(l)
	if len(gaps) != 1 || gaps[0].Cause != GapOverrun || gaps[0].From.Before(before) || gaps[0].From.After(sure) || gaps[0].To.Before(quiet) {
		t.Fatalf("gaps %v, want one from about %v to after %v", gaps, before, quiet)
	}
	if s := l.Stats(); s.Overruns == 0 || s.Live != flows {
		t.Errorf("%d overruns, %d mappings live, want %d", s.Overruns, s.Live, flows)
	}
	n.in(n.subscriber, func() { n.send("udp4", 10, 20000, 9000) })
	n.flows(flows + 1)
	found := n.rows(l) // which requires that there is no new gap
	if len(found) != flows+1 {
		t.Errorf("%d rows, want %d", len(found), flows+1)
	}
	// Flows that go away in an overrun end at the last moment that was sure.
	run(t, "", "ip", "netns", "exec", n.router, "nft", "flush", "ruleset")
	n.flush(l)
}

// flush deletes all entries while nobody reads, and has the listener find out.
func (n *network) flush(l *Listener) {
	n.t.Helper()
	n.expire()
	gaps := n.catchUp(l)
	if len(gaps) != 1 {
		n.t.Fatalf("gaps %v: want the overrun", gaps)
	}
	open, inferred := 0, 0
	for _, r := range l.Records(time.Now(), true) {
		switch a := r.(*schema.Assignment); {
		case a.Open:
			open++
		case a.EndCause == schema.EndInferred:
			if inferred++; a.EndedAt.Sub(gaps[0].From).Abs() > time.Millisecond {
				n.t.Fatalf("a flow that went away unseen ended at %v, was last surely there at %v", a.EndedAt, gaps[0].From)
			}
		}
	}
	if open != 0 || inferred < 1000 {
		n.t.Errorf("%d rows stay open after their flows are gone, %d ends are inferred", open, inferred)
	}
}

// While there is more to read than there was time for, the listener is not sure
// of the present.
func TestNotCaughtUp(t *testing.T) {
	n := newNetwork(t, 1, "meta l4proto udp snat to 203.0.113.61:1024-65535;")
	n.listen(1)
	l := n.observe(nil)
	n.catchUp(l)
	begin := time.Now()
	n.in(n.subscriber, func() {
		for i := range 100 {
			n.send("udp4", 10, 10000+i, 9000)
		}
	})
	n.flows(100)
	if empty, err := l.drain(time.Now().Add(-time.Second)); empty || err != nil || l.sure.After(begin) || l.Stats().Live != 1 {
		t.Errorf("empty %t, %v; sure of %v, flows began at %v, %d live", empty, err, l.sure, begin, l.Stats().Live)
	}
	if n.catchUp(l); l.sure.Before(begin) || l.Stats().Live != 100 {
		t.Errorf("sure of %v, %d live", l.sure, l.Stats().Live)
	}
}

// What lives when the listener starts is found by the dump, with its true start.
func TestFlowsBeforeTheStart(t *testing.T) {
	n := newNetwork(t, 1, "meta l4proto udp snat to 203.0.113.70:1024-65535;")
	n.listen(1)
	// Something has to ask for conntrack before the first flow.
	began := time.Now()
	n.in(n.subscriber, func() { n.send("udp4", 10, 10000, 9000) })
	n.flows(1)
	known := time.Now()
	l := n.observe(nil)
	found := n.rows(l)
	if len(found) != 1 || !found[0].Open || found[0].StartedAt.Before(began.Add(-time.Millisecond)) || found[0].StartedAt.After(known) {
		t.Errorf("rows %+v, want one that began between %v and %v", found, began, known)
	}
}

// With nf_conntrack_events as it is by default, the kernel does not tell of the
// end of a flow that nobody listened for when it began. It is found all the same.
func TestEndThatIsNotTold(t *testing.T) {
	n := newNetwork(t, 1, "meta l4proto udp snat to 203.0.113.71:1024-65535;")
	n.sysctl("net.netfilter.nf_conntrack_events=2")
	n.listen(1)
	n.in(n.subscriber, func() { n.send("udp4", 10, 10000, 9000) })
	n.flows(1)
	l := n.observe(func(c *ListenerConfig) { c.Resync = time.Millisecond })
	if found := n.rows(l); len(found) != 1 || !found[0].Open {
		t.Fatalf("rows %+v, want one that is open", found)
	}
	n.expire()
	time.Sleep(10 * time.Millisecond)
	found := n.rows(l)
	if len(found) != 1 || found[0].Open || found[0].Certainty != schema.CertaintyInferred {
		t.Errorf("rows %+v, want one that ended, as inferred", found)
	}
	if s := l.Stats(); s.Messages[Irrelevant] != 0 || l.table.Inherited() != 0 {
		t.Errorf("%+v", s)
	}
}

// Every message that this kernel sends, of real flows, decoded by us and by
// ti-mo/conntrack.
func TestKernelMessagesAgreeWithOracle(t *testing.T) {
	n := newNetwork(t, 2, "meta l4proto { tcp, udp } snat to 203.0.113.80:1024-65535; ip protocol icmp snat to 203.0.113.81;")
	n.listen(2)
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: n.namespace(), Groups: 0b111})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadBuffer(8 << 20); err != nil {
		t.Fatal(err)
	}
	n.in(n.subscriber, func() {
		for i := range 20 {
			n.send("udp4", 10, 10_000+i, 9000+i%2) // ports of their own: the kernel might give one twice
			n.send("tcp4", 11, 20_000+i, 9000+i%2)
		}
		exec.Command("ping", "-n", "-c", "2", "-i", "0.2", "-I", "100.64.0.11", worldAddress).Run()
	})
	now := time.Now()
	n.expire()
	kinds := map[EventKind]int{}
	for kinds[Destroy] < 40 {
		c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		messages, err := c.Receive()
		if err != nil {
			t.Fatalf("after %v: %v", kinds, err)
		}
		for _, m := range messages {
			var e Event
			v := rigFilter.Decode(marshal(m), &e)
			if v == Irrelevant {
				continue
			}
			want := oracle(t, m)
			want.Kind, want.At = e.Kind, e.At // it does not know the time of an event
			if v != Used || e != want {
				t.Fatalf("%s %+v, oracle %+v", v, e, want)
			}
			if e.At != 0 && time.Unix(0, e.At).Sub(now).Abs() > time.Minute {
				t.Errorf("event time %v is not now", time.Unix(0, e.At))
			}
			if e.Kind == Destroy && (e.StartedAt == 0 || e.StoppedAt < e.StartedAt) {
				t.Errorf("an end without its times: %+v", e)
			}
			kinds[e.Kind]++
		}
	}
	t.Logf("%v", kinds)
	if kinds[New] < 41 {
		t.Errorf("%v", kinds)
	}
}

// expire deletes every entry, so that each ends.
func (n *network) expire() {
	n.t.Helper()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: n.namespace()})
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	// IPCTNL_MSG_CT_DELETE without a tuple: all of them.
	if _, err := c.Execute(netlink.Message{Header: netlink.Header{Type: typeDelete, Flags: netlink.Request | netlink.Acknowledge}, Data: make([]byte, nfHeader)}); err != nil {
		n.t.Fatal(err)
	}
}
