package datapath

import (
	"net/netip"
	"testing"
	"time"

	"griffier/bpf/bpftest"
)

// BenchmarkDrain reads 100,000 dual-stack lines.
func BenchmarkDrain(b *testing.B) {
	bpftest.NeedRoot(b)
	const lines = 100_000
	d, err := Open(Config{MaxSlots: lines}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Detach()
	for i := range uint32(lines) {
		owner := [16]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}
		v4 := netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)})
		v6 := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)})
		for _, p := range []netip.Prefix{netip.PrefixFrom(v4, 32), netip.PrefixFrom(v6, 56)} {
			if _, err := d.Assign(Key{Prefix: p}, owner); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := d.Drain(time.Now())
		if err != nil || len(r.Slots) != lines {
			b.Fatalf("%d slots, %v", len(r.Slots), err)
		}
	}
}
