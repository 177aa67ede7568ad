package datapath

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// mixLine is a line whose packets have a size of their own, so that a byte of it that
// lands elsewhere shows.
type mixLine struct {
	key      Key
	size     uint64 // L3 bytes of its packets
	up, down []byte // frames
}

// mixLines makes lines of every kind of key.
func mixLines(n int) []mixLine {
	lines := make([]mixLine, n)
	for i := range lines {
		l := &lines[i]
		var p netip.Prefix
		switch b := byte(i + 1); i % 4 {
		case 0:
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, b}), 32)
		case 1:
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, b}), 56)
		case 2:
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, 0, 0, 0, b}), 64)
		case 3:
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xba, 15: b}), 128)
		}
		l.key, l.size = Key{Prefix: p}, uint64(101+2*i)
		make := func(src, dst netip.Addr) []byte {
			if src.Is4() {
				return bpftest.Ethernet(0x0800, bpftest.IPv4(src, dst, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, l.size-28))))
			}
			return bpftest.Ethernet(0x86dd, bpftest.IPv6(src, dst, 17, bpftest.UDP(1, 2, make([]byte, l.size-48))))
		}
		far := bpftest.Far6
		if p.Addr().Is4() {
			far = bpftest.Far4
		}
		l.up, l.down = make(p.Addr(), far), make(far, p.Addr())
	}
	return lines
}

// TestNoHistoryMixesLines hands few slots around among many lines, in random order,
// while both CPUs count every line's packets as fast as they can. An owner holds one
// line's key only, so all that it was ever counted for must be packets of that line's
// size, and all owners together must be what the programs attributed.
func TestNoHistoryMixesLines(t *testing.T) {
	bpftest.NeedRoot(t)
	lines := mixLines(12)
	var packets, holds uint64
	rapid.Check(t, func(rt *rapid.T) {
		d, err := Open(Config{
			MaxSlots: 3, DelegatedLengths: []int{128, 64, 56},
		}, time.Now)
		if err != nil {
			rt.Fatal(err)
		}
		defer d.Detach()
		var stop atomic.Bool
		var senders sync.WaitGroup
		halt := func() { stop.Store(true); senders.Wait() }
		defer halt()
		for _, dir := range []bpf.Direction{bpf.Up, bpf.Down} {
			senders.Go(func() {
				for !stop.Load() {
					for i := range lines {
						frame := lines[i].up
						if dir == bpf.Down {
							frame = lines[i].down
						}
						if _, _, err := d.acct.Program(dir).Benchmark(frame, 50, func() {}); err != nil {
							t.Errorf("program run: %v", err)
							return
						}
					}
				}
			})
		}
		got := map[hold]SlotCount{}
		drain := func() {
			r, err := d.Drain(time.Now())
			if err != nil {
				rt.Fatal(err)
			}
			if !r.Totals.Balanced() {
				rt.Fatalf("the equation does not close: %+v", r.Totals)
			}
			for _, s := range append(append([]SlotCount(nil), r.Slots...), r.Final...) {
				h := hold{r.Epoch, s.Slot, s.Generation}
				if old, seen := got[h]; seen && old.Owner != s.Owner {
					rt.Fatalf("slot %d generation %d went from one owner to another", s.Slot, s.Generation)
				}
				got[h] = s
			}
		}
		serial := uint64(0)
		steps := rapid.IntRange(20, 60).Draw(rt, "steps")
		for range steps {
			i := rapid.IntRange(0, len(lines)-1).Draw(rt, "line")
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1, 2: // to a new owner, and away from the one it has, in one step
				serial++
				owner := [16]byte{byte(i + 1)}
				binary.BigEndian.PutUint64(owner[8:], serial)
				if _, err := d.Assign(lines[i].key, owner); err != nil && !errors.Is(err, ErrNoSlot) {
					rt.Fatal(err)
				}
			case 3:
				if err := d.Unassign(lines[i].key); err != nil {
					rt.Fatal(err)
				}
			default:
				drain()
				drain() // acknowledges, so slots are free
			}
			runtime.Gosched()
		}
		halt()
		drain()
		drain()
		var sum bpf.Totals
		for h, s := range got {
			line := lines[s.Owner[0]-1]
			mine := [2]bpf.Count{s.Up4, s.Down4}
			others := [2]bpf.Count{s.Up6, s.Down6}
			if line.key.Prefix.Addr().Is6() {
				mine, others = others, mine
			}
			for dir, c := range mine {
				if c.Bytes != c.Packets*line.size {
					rt.Fatalf("slot %d generation %d, direction %d: %+v is not packets of %d bytes", h.slot, h.generation, dir, c, line.size)
				}
			}
			if others != [2]bpf.Count{} {
				rt.Fatalf("slot %d generation %d: %+v of the other IP version", h.slot, h.generation, others)
			}
			sum.Up.Total = sum.Up.Total.Plus(s.Up4).Plus(s.Up6)
			sum.Down.Total = sum.Down.Total.Plus(s.Down4).Plus(s.Down6)
		}
		totals, err := d.acct.ReadTotals()
		if err != nil {
			rt.Fatal(err)
		}
		up, down := totals.Up.Attributed4.Plus(totals.Up.Attributed6), totals.Down.Attributed4.Plus(totals.Down.Attributed6)
		if sum.Up.Total != up || sum.Down.Total != down {
			rt.Fatalf("owners have %+v up and %+v down, attributed are %+v and %+v", sum.Up.Total, sum.Down.Total, up, down)
		}
		packets += up.Packets + down.Packets
		holds += uint64(len(got))
	})
	if packets == 0 || holds < 4 { // more owners than slots; under -short there are few histories
		t.Errorf("%d packets in %d holds: nothing was tried", packets, holds)
	}
	t.Logf("%d packets in %d holds", packets, holds)
}
