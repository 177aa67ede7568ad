package binding

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"
)

// crowd is a binding in which n sessions live, each with an address and a prefix.
func crowd(b *testing.B, n int) *Binding {
	x := newBinding(b)
	x.Started(at(10, 0), Clock{})
	x.Tick(at(10, 0), Clock{})
	for i := range n {
		o := start("bng1.example|1763629200000|"+strconv.Itoa(i)+"|1763629200000", "user"+strconv.Itoa(i)+"@isp.example", at(10, 0))
		o.Prefixes = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 56),
		}
		x.Apply(at(10, 0), o)
	}
	return x
}

// BenchmarkStall is the longest that one tick of ten minutes holds up the
// caller, with 100,000 sessions: sliced, as it is, and all at once, as it was.
func BenchmarkStall(b *testing.B) {
	for name, slice := range map[string]int{"sliced": DefaultReemitSlice, "whole": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			x := crowd(b, 100_000)
			x.cfg.ReemitSlice = slice
			now := at(10, 0)
			var longest time.Duration
			most := 0
			var all []time.Duration // of ticks at which anything was due
			b.ResetTimer()
			for range b.N {
				for range 600 { // a round and what follows it
					now = now.Add(time.Second)
					began := time.Now()
					e := x.Tick(now, Clock{})
					took := time.Since(began)
					longest = max(longest, took)
					most = max(most, len(e.Records))
					if len(e.Records) > 0 {
						all = append(all, took)
					}
				}
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest-tick")
			b.ReportMetric(float64(most), "records/tick-at-most")
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "ms/median-tick")
		})
	}
}
