// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"griffier/bpf/bpftest"
)

const (
	slotOf4 = 1
	slotOf6 = 2
)

// load returns accounting that knows both test lines, not pinned.
func load(t testing.TB, opts Options) *Accounting {
	t.Helper()
	bpftest.NeedRoot(t)
	if opts.MaxSlots == 0 {
		opts.MaxSlots = 64
	}
	if opts.DelegatedLengths == nil {
		opts.DelegatedLengths = []int{128, 64, 56}
	}
	a, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	put(t, a, "100.64.0.12/32", 0, slotOf4)
	put(t, a, "2001:db8:0:1200::/56", 0, slotOf6)
	return a
}

func put(t testing.TB, a *Accounting, prefix string, scope, slot uint32) {
	t.Helper()
	if err := a.Put(Key{netip.MustParsePrefix(prefix), scope}, slot); err != nil {
		t.Fatal(err)
	}
}

// run passes one frame through a program, as an aggregate if segs or size say so,
// and returns what was counted for it.
func run(t testing.TB, a *Accounting, dir Direction, frame []byte, segs, size uint32) (DirectionTotals, Counters) {
	t.Helper()
	before, slotsBefore := snapshot(t, a)
	opts := &ebpf.RunOptions{Data: frame}
	if segs != 0 || size != 0 {
		// struct __sk_buff up to gso_size; the kernel refuses most other fields.
		ctx := make([]byte, 180)
		binary.LittleEndian.PutUint32(ctx[164:], segs)
		binary.LittleEndian.PutUint32(ctx[176:], size)
		opts.Context = ctx
	}
	verdict, err := a.Program(dir).Run(opts)
	if err != nil {
		t.Fatalf("program run: %v", err)
	}
	if int32(verdict) != -1 {
		t.Fatalf("verdict = %d, want TCX_NEXT", int32(verdict))
	}
	after, slotsAfter := snapshot(t, a)
	if !after.Balanced() {
		t.Fatalf("the equation does not close: %+v", after)
	}
	one, other := minusTotals(after.Up, before.Up), minusTotals(after.Down, before.Down)
	if dir == Down {
		one, other = other, one
	}
	if other != (DirectionTotals{}) {
		t.Fatalf("the other direction counted %+v", other)
	}
	return one, slotsAfter.Minus(slotsBefore)
}

// snapshot returns the totals and the sum over all slots.
func snapshot(t testing.TB, a *Accounting) (Totals, Counters) {
	t.Helper()
	totals, err := a.ReadTotals()
	if err != nil {
		t.Fatal(err)
	}
	all := make([]Counters, a.MaxSlots()+1)
	if err := a.ReadCounters(all); err != nil {
		t.Fatal(err)
	}
	var sum Counters
	for _, c := range all {
		sum = sum.Plus(c)
	}
	return totals, sum
}

func minusTotals(t, o DirectionTotals) DirectionTotals {
	return DirectionTotals{
		Total:         t.Total.Minus(o.Total),
		Attributed4:   t.Attributed4.Minus(o.Attributed4),
		Attributed6:   t.Attributed6.Minus(o.Attributed6),
		Unattributed4: t.Unattributed4.Minus(o.Unattributed4),
		Unattributed6: t.Unattributed6.Minus(o.Unattributed6),
		NonIP:         t.NonIP.Minus(o.NonIP),
		ParseError:    t.ParseError.Minus(o.ParseError),
		Frames:        t.Frames - o.Frames,
		BadSlot:       t.BadSlot - o.BadSlot,
		Punted:        t.Punted - o.Punted,
		PuntDrops:     t.PuntDrops - o.PuntDrops,
		PuntRejected:  t.PuntRejected - o.PuntRejected,
	}
}
