package datapath

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// passed waits until the programs that are pinned have counted so many frames.
func passed(t *testing.T, dir string, frames uint64) {
	t.Helper()
	acct, err := bpf.LoadPinned(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer acct.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		totals, err := acct.ReadTotals()
		if err != nil {
			t.Fatal(err)
		}
		if totals.Up.Frames >= frames {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d frames passed, want %d", totals.Up.Frames, frames)
		}
	}
}

// TestUnpin: what a collector that is gone had counted is read a last time, whatever
// its size, and only then removed; nothing counts beside the next one.
func TestUnpin(t *testing.T) {
	for _, hook := range []bpf.Hook{bpf.HookTCX, bpf.HookClsact} {
		t.Run(hook.String(), func(t *testing.T) {
			w := bpftest.NewWire(t)
			dir := filepath.Join(bpftest.BPFFS(t), "g")
			unpin := func(take func(Report) error) (err error) {
				bpftest.In(t, w.Edge, func() { err = Unpin(dir, time.Now(), take) })
				return err
			}
			if err := unpin(nil); !errors.Is(err, bpf.ErrNothingPinned) {
				t.Errorf("Unpin of nothing = %v", err)
			}
			cfg := Config{PinDir: dir, MaxSlots: 8, Hook: hook}
			d := open(t, w, cfg)
			for i, p := range []string{"100.64.0.12/32", "100.64.0.13/32"} {
				if _, err := d.Assign(Key{Prefix: netip.MustParsePrefix(p)}, ref(byte(i+1))); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Unassign(Key{Prefix: netip.MustParsePrefix("100.64.0.13/32")}); err != nil {
				t.Fatal(err)
			}
			epoch := settledOnce(t, d).Epoch
			d.Close()
			send := bpftest.Sender(t, w.Sub, w.SubIndex)
			frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
			const sent = 500
			for range sent {
				send(frame)
			}
			passed(t, dir, sent)

			bigger := cfg
			bigger.MaxSlots, bigger.CounterStripes, bigger.MaxKeys, bigger.MaxLongKeys = 16, 1, 100, 10
			bigger.Interfaces = []Interface{{Index: w.EdgeIndex}}
			bpftest.In(t, w.Edge, func() {
				if _, err := Open(bigger, time.Now); !errors.Is(err, bpf.ErrPinnedIncompatible) {
					t.Errorf("Open with more slots = %v, want ErrPinnedIncompatible", err)
				}
			})
			full := errors.New("disk full")
			if err := unpin(func(Report) error { return full }); !errors.Is(err, full) {
				t.Errorf("Unpin = %v, want the error of take", err)
			}
			var last Report
			if err := unpin(func(r Report) error { last = r; return nil }); err != nil {
				t.Fatal(err)
			}
			if last.Epoch != epoch || len(last.Slots) != 1 || last.Slots[0].Owner != ref(1) ||
				last.Slots[0].Up4 != (bpf.Count{Bytes: 100 * sent, Packets: sent}) ||
				len(last.Final) != 1 || last.Final[0].Owner != ref(2) {
				t.Errorf("last report %+v, want %d packets of the one and the end of the other", last, sent)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the pin directory is still there: %v", err)
			}
			d = open(t, w, bigger)
			if r := d.Reconciled(); !r.NewCounters || r.StaleLinks != 0 {
				t.Errorf("Reconciled = %+v, want new counters", r)
			}
			for range 10 {
				send(frame)
			}
			if r := settled(t, d, 10); r.Totals.Up.Frames != 10 {
				t.Errorf("%d frames counted of 10", r.Totals.Up.Frames)
			}
		})
	}
}
