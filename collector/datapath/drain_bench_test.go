package datapath

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// filled opens a datapath with so many dual-stack lines.
func filled(t testing.TB, lines uint32) *Datapath {
	t.Helper()
	bpftest.NeedRoot(t)
	d, err := Open(Config{MaxSlots: lines}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Detach() })
	for i := range lines {
		owner := [16]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}
		v4 := netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)})
		v6 := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		for _, p := range []netip.Prefix{netip.PrefixFrom(v4, 32), netip.PrefixFrom(v6, 56)} {
			if _, err := d.Assign(Key{Prefix: p}, owner); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}

// BenchmarkDrain reads all dual-stack lines.
func BenchmarkDrain(b *testing.B) {
	for _, lines := range []uint32{100_000, 1_000_000} {
		b.Run(fmt.Sprint(lines), func(b *testing.B) {
			d := filled(b, lines)
			b.ReportAllocs()
			for b.Loop() {
				r, err := d.Drain(time.Now())
				if err != nil || len(r.Slots) != int(lines) {
					b.Fatalf("%d slots, %v", len(r.Slots), err)
				}
			}
		})
	}
}

// TestDrainAllocates little, however many lines there are, and with an interface.
func TestDrainAllocates(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 5000})
	for i := range uint32(5000) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 32)
		if _, err := d.Assign(Key{Prefix: p}, [16]byte{1, byte(i >> 8), byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	pass(t, d, netip.MustParseAddr("100.64.0.1"), bpf.Up, 72)
	allocs := testing.AllocsPerRun(20, func() {
		r, err := d.Drain(time.Now())
		if err != nil || len(r.Slots) != 5000 {
			t.Fatalf("%d slots, %v", len(r.Slots), err)
		}
	})
	t.Logf("%v allocations", allocs)
	if allocs > 10 {
		t.Errorf("a drain makes %v allocations, to be at most 10", allocs)
	}
}
