package binding

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkApply is the cost of one RADIUS session's life: start, interim, stop.
func BenchmarkApply(b *testing.B) {
	x := newBinding(b)
	now := at(10, 0)
	for i := range b.N {
		a := netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)})
		o := start(fmt.Sprint("s", i), fmt.Sprint("user", i), now)
		o.Prefixes = []netip.Prefix{netip.PrefixFrom(a, 32)}
		x.Apply(now, o)
		o.Kind, o.At, o.SessionStartedAt = Refresh, now.Add(time.Second), now
		x.Apply(o.At, o)
		o.Kind, o.At = End, now.Add(2*time.Second)
		x.Apply(o.At, o)
	}
}

// BenchmarkReemit is one re-emission of 10,000 sessions with two prefixes each.
func BenchmarkReemit(b *testing.B) {
	x := newBinding(b)
	x.cfg.ReemitSlice = 1 << 30
	now := at(10, 0)
	for i := range 10000 {
		o := start(fmt.Sprint("s", i), fmt.Sprint("user", i), now, "2001:db8::/56")
		o.Prefixes = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 32),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 8), byte(i)}), 56),
		}
		x.Apply(now, o)
	}
	b.ResetTimer()
	for range b.N {
		now = now.Add(5 * time.Minute)
		if n := len(x.Tick(now, Clock{}).Records); n < 30000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkSnapshot is what a checkpoint of 100,000 sessions costs, and its size.
func BenchmarkSnapshot(b *testing.B) {
	x := newBinding(b)
	now := at(10, 0)
	for i := range 100_000 {
		o := start(fmt.Sprint("s", i), fmt.Sprint("user", i), now)
		o.Prefixes = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 56),
		}
		x.Apply(now, o)
	}
	b.ResetTimer()
	for range b.N {
		state, err := x.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(state))/100_000, "B/session")
	}
}
