// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"fmt"
	"testing"

	"griffier/bpf/bpftest"
)

// TestEveryAggregate passes aggregates of 1 to 44 segments, with a last segment that
// is full, of one byte or between, and compares with the sum over the packets that
// the kernel or the card will cut it into, each built by itself.
func TestEveryAggregate(t *testing.T) {
	a := load(t, Options{})
	const size = 70 // payload of a full segment
	tcp := func(options int) func(int) []byte {
		return func(n int) []byte { return bpftest.TCP(options, n) }
	}
	udp := func(n int) []byte { return bpftest.UDP(50000, 443, make([]byte, n)) }
	compared := 0
	for _, p := range []struct {
		name     string
		protocol uint8
		l4       func(payload int) []byte
	}{
		{"TCP", 6, tcp(0)}, {"TCP with time stamps", 6, tcp(12)}, {"TCP with all options", 6, tcp(40)}, {"UDP", 17, udp},
	} {
		for version, packet := range map[int]func(dir Direction, payload int) []byte{
			4: func(dir Direction, n int) []byte {
				src, dst := bpftest.Sub4, bpftest.Far4
				if dir == Down {
					src, dst = dst, src
				}
				return bpftest.IPv4(src, dst, p.protocol, 0, 0x4000, p.l4(n))
			},
			6: func(dir Direction, n int) []byte {
				src, dst := bpftest.Sub6, bpftest.Far6
				if dir == Down {
					src, dst = dst, src
				}
				return bpftest.IPv6(src, dst, p.protocol, p.l4(n))
			},
		} {
			for segments := 1; segments <= 44; segments++ {
				for _, last := range []int{1, size / 2, size} {
					for _, dir := range []Direction{Up, Down} {
						payload := (segments-1)*size + last
						var want Count
						for left := payload; left > 0; left -= size {
							want = want.Plus(Count{uint64(len(packet(dir, min(left, size)))), 1})
						}
						class := attributed4
						if version == 6 {
							class = attributed6
						}
						frame := bpftest.Ethernet(ethertypeOf(version), packet(dir, payload))
						for _, stated := range []int{segments, 0} { // 0: an untrusted guest's, of unknown number
							totals, _ := run(t, a, dir, frame, uint32(stated), size)
							if totals != class.want(want) {
								t.Errorf("%s %s, %d segments (%d stated), last of %d: %+v, want %+v",
									fmt.Sprintf("IPv%d %s", version, p.name), dir, segments, stated, last, totals, want)
							}
							compared++
						}
					}
				}
			}
		}
	}
	t.Logf("%d aggregates", compared)
}
