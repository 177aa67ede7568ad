package datapath

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// open opens a datapath at the edge of a wire.
func open(t testing.TB, w *bpftest.Wire, cfg Config) *Datapath {
	t.Helper()
	cfg.Interfaces = []Interface{{Index: w.EdgeIndex}}
	var d *Datapath
	bpftest.In(t, w.Edge, func() {
		var err error
		if d, err = Open(cfg, time.Now); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { d.Detach() })
	return d
}

// settled drains until nothing has moved for a while and frames have passed.
func settled(t testing.TB, d *Datapath, frames uint64) Report {
	t.Helper()
	var last Report
	for deadline, quiet := time.Now().Add(2*time.Minute), 0; time.Now().Before(deadline); {
		r, err := d.Drain(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !r.Totals.Balanced() {
			t.Fatalf("the equation does not close: %+v", r.Totals)
		}
		if r.Totals == last.Totals && r.Totals.Up.Frames+r.Totals.Down.Frames >= frames {
			if quiet++; quiet == 5 {
				return r
			}
		} else {
			quiet = 0
		}
		last = r
		time.Sleep(30 * time.Millisecond)
	}
	t.Fatalf("%d frames passed, want %d", last.Totals.Up.Frames+last.Totals.Down.Frames, frames)
	return last
}

// TestRealTraffic sends UDP, ICMP and TCP (with segmentation offload) both ways
// over a wire and compares with the senders' own counters: equal, not about.
func TestRealTraffic(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 16})
	address(t, w)
	for _, p := range []string{"100.64.0.12/32", "2001:db8:0:1200::/56"} {
		if _, err := d.Assign(Key{Prefix: netip.MustParsePrefix(p)}, ref(1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []struct {
		version   int
		edge      string
		headers   uint64 // of a TCP segment: IP, TCP, time stamp option
		udpHeader uint64
	}{
		{4, "100.64.0.1", 20 + 20 + 12, 28},
		{6, "2001:db8:0:1234::1", 40 + 20 + 12, 48},
	} {
		t.Run(fmt.Sprintf("IPv%d", v.version), func(t *testing.T) {
			count := func(r Report) (up, down bpf.Count) {
				if v.version == 4 {
					return r.Slots[0].Up4, r.Slots[0].Down4
				}
				return r.Slots[0].Up6, r.Slots[0].Down6
			}
			compare := func(what string, move func()) {
				t.Helper()
				up0, down0 := count(settled(t, d, 0))
				sub0, edge0 := sentCounters(t, w.Sub, v.version), sentCounters(t, w.Edge, v.version)
				move()
				r := settled(t, d, 0)
				up, down := count(r)
				sub := sentCounters(t, w.Sub, v.version).minus(sub0)
				edge := sentCounters(t, w.Edge, v.version).minus(edge0)
				if got, want := up.Minus(up0), sub.onTheWire(v.headers); got != want {
					t.Errorf("%s: up %+v, the subscriber sent %+v (%+v)", what, got, want, sub)
				}
				if got, want := down.Minus(down0), edge.onTheWire(v.headers); got != want {
					t.Errorf("%s: down %+v, the edge sent %+v (%+v)", what, got, want, edge)
				}
				if up == up0 {
					t.Errorf("%s: nothing moved", what)
				}
				t.Logf("%s: up %+v, down %+v", what, up.Minus(up0), down.Minus(down0))
			}
			compare("UDP", func() {
				const n, size = 2000, 242
				up0, _ := count(settled(t, d, 0))
				sendUDP(t, w, v.edge, n, size)
				up, _ := count(settled(t, d, 0))
				// What the application did, besides what its kernel says.
				if got, want := up.Minus(up0), (bpf.Count{Bytes: n * (size + v.udpHeader), Packets: n}); got != want {
					t.Errorf("UDP: up %+v, the application sent %+v", got, want)
				}
			})
			compare("ping", func() { ping(t, w, v.edge, 20) })
			compare("TCP", func() { sendTCP(t, w, v.edge, 64<<20, 16<<20) })
		})
	}
}

// TestRecyclingUnderTraffic hands two slots from line to line while every line's
// frames flow all the time, each line's of its own size. A line that inherited or
// lent a single byte would not divide by its size.
func TestRecyclingUnderTraffic(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 2})
	const lines = 12
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	var frames [lines][]byte
	size := func(i byte) uint64 { return uint64(101 + 2*int(i)) }
	key := func(i byte) Key {
		return Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 32)}
	}
	for i := range byte(lines) {
		packet := bpftest.IPv4(key(i).Prefix.Addr(), bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, size(i)-28)))
		frames[i] = bpftest.Ethernet(0x0800, packet)
	}
	stop, sent := make(chan struct{}), make(chan uint64)
	go func() {
		n := uint64(0)
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			for _, f := range frames {
				send(f)
				n++
			}
			runtime.Gosched()
			time.Sleep(100 * time.Microsecond)
		}
	}()
	got := map[hold]SlotCount{}
	lives := map[uint32]int{}
	drain := func() Report {
		r, err := d.Drain(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !r.Totals.Balanced() {
			t.Fatalf("the equation does not close under traffic: %+v", r.Totals)
		}
		for _, s := range append(r.Slots, r.Final...) {
			// One hold's readings under traffic can lie between the two additions for a
			// packet; its final one cannot.
			got[hold{r.Epoch, s.Slot, s.Generation}] = s
		}
		return r
	}
	for round := range 40 {
		a, b := byte(round%lines), byte((round+5)%lines)
		for _, i := range []byte{a, b} {
			n, err := d.Assign(key(i), ref(i+1))
			if err != nil {
				t.Fatal(err)
			}
			lives[n]++
		}
		time.Sleep(6 * time.Millisecond)
		for _, i := range []byte{a, b} {
			if err := d.Unassign(key(i)); err != nil {
				t.Fatal(err)
			}
		}
		if r := drain(); len(r.Final) != 2 {
			t.Fatalf("round %d: final %+v, want two", round, r.Final)
		}
		drain() // acknowledges, so both slots are free
	}
	close(stop)
	n := <-sent
	r := settled(t, d, n)
	var sum uint64
	for h, s := range got {
		i := s.Owner[0] - 1
		if s.Up4.Bytes != s.Up4.Packets*size(i) {
			t.Errorf("slot %d generation %d: %+v is not packets of %d bytes", h.slot, h.generation, s.Up4, size(i))
		}
		sum += s.Up4.Packets
	}
	if len(got) != 80 || len(lives) != 2 {
		t.Errorf("%d holds of %d slots, want 80 of 2", len(got), len(lives))
	}
	if up := r.Totals.Up; up.Frames != n || sum != up.Attributed4.Packets || up.Attributed4.Packets+up.Unattributed4.Packets != n || sum == 0 {
		t.Errorf("sent %d, counted %d in slots, totals %+v", n, sum, up)
	}
	t.Logf("%d frames, %d of them in 80 holds of 2 slots", n, sum)
}
