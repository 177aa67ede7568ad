package datapath

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// TestInterfaceCountersAgree: both ways, with and without segmentation offload, the
// interface's own count lies between frames and packets; what only one side saw shows.
func TestInterfaceCountersAgree(t *testing.T) {
	for _, hook := range []bpf.Hook{bpf.HookTCX, bpf.HookClsact} {
		t.Run(hook.String(), func(t *testing.T) {
			w := bpftest.NewWire(t)
			// The interface counts before Open too.
			send := bpftest.Sender(t, w.Sub, w.SubIndex)
			arp := bpftest.Ethernet(0x0806, make([]byte, 46))
			for range 7 {
				send(arp)
			}
			d := open(t, w, Config{MaxSlots: 8, Hook: hook})
			for range 100 {
				send(arp)
			}
			r := settled(t, d, 100)
			if got, want := r.Plausible.Up, (Compared{100, 100, 100}); got != want {
				t.Errorf("up %+v, want %+v", got, want)
			}
			if got := r.Plausible.Down; got != (Compared{}) {
				t.Errorf("down %+v, want none", got)
			}
			address(t, w)
			sendTCP(t, w, "100.64.0.1", 16<<20, 16<<20)
			p := settled(t, d, 0).Plausible
			for name, c := range map[string]Compared{"up": p.Up, "down": p.Down} {
				if c.Unseen() != 0 || c.Excess() != 0 || c.Frames == c.Packets {
					t.Errorf("%s %+v after TCP: unseen %d, excess %d", name, c, c.Unseen(), c.Excess())
				}
			}
			// Somebody takes the programs off: the interface goes on counting.
			bpftest.In(t, w.Edge, func() {
				if err := d.acct.Detach(w.EdgeIndex); err != nil {
					t.Fatal(err)
				}
			})
			before := settled(t, d, 0).Plausible.Up
			for range 1000 {
				send(arp)
				if after := settledOnce(t, d).Plausible.Up; after.Unseen() > 0 {
					if after.Frames != before.Frames {
						t.Errorf("counted %+v after Detach, before %+v", after, before)
					}
					return
				}
				for range 2000 {
					send(arp)
				}
			}
			t.Error("frames that no program saw never showed")
		})
	}
}

func settledOnce(t *testing.T, d *Datapath) Report {
	t.Helper()
	r, err := d.Drain(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLinkStats: what the kernel says, also when it says no.
func TestLinkStats(t *testing.T) {
	s, err := newLinkStats()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(1); err != nil {
		t.Errorf("loopback: %v", err)
	}
	if _, err := s.read(1 << 30); !errors.Is(err, unix.ENODEV) {
		t.Errorf("no interface: %v, want ENODEV", err)
	}
	if _, err := decodeLinkStats(make([]byte, 40)); !errors.Is(err, errLinkStats) {
		t.Errorf("nonsense: %v", err)
	}
	for range 2 {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.read(1); err == nil {
		t.Error("read after close = nil")
	}
}
