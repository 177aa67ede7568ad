// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"

	"griffier/bpf/bpftest"
)

var memlock = regexp.MustCompile(`(?m)^memlock:\s+(\d+)$`)

// kernelBytes is what the kernel says the maps take.
func kernelBytes(t *testing.T, a *Accounting) map[string]int {
	t.Helper()
	o := &a.objects
	sizes := map[string]int{}
	for name, m := range map[string]*ebpf.Map{
		"lines": o.Lines, "others": o.Others, "filter": o.Filter, "counters": o.Counters,
		"owners": o.Owners, "totals": o.Totals, "punts": o.Punts,
	} {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", m.FD()))
		if err != nil {
			t.Fatal(err)
		}
		found := memlock.FindSubmatch(info)
		if found == nil {
			t.Fatalf("%s: no memlock in %q", name, info)
		}
		if sizes[name], err = strconv.Atoi(string(found[1])); err != nil {
			t.Fatal(err)
		}
	}
	return sizes
}

// TestMemoryOfALine holds the formula of the package's documentation against what
// the kernel says of 100,000 dual-stack lines, less what no line has part in.
func TestMemoryOfALine(t *testing.T) {
	bpftest.NeedRoot(t)
	const lines = 100_000
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		stripes int
		long    int // lines that hold an address longer than /64 too
		limit   int // documented: bytes a line
	}{
		{"a set of counters for each CPU", 0, 0, 180 + 64*cpus},
		{"shared counters", 1, 0, 180 + 64},
		{"with addresses by DHCPv6", 0, lines, 180 + 64*cpus + 96},
	} {
		a, err := Load(Options{MaxSlots: lines, CounterStripes: tt.stripes})
		if err != nil {
			t.Fatal(err)
		}
		empty := kernelBytes(t, a)
		for i := range uint32(lines) {
			p := []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 56),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, byte(i >> 16), byte(i >> 8), byte(i), 15: 1}), 128),
			}
			if int(i) >= tt.long {
				p = p[:2]
			}
			for _, p := range p {
				if err := a.Put(Key{Prefix: p}, i+1); err != nil {
					t.Fatalf("line %d: %v", i, err)
				}
			}
		}
		full, total := kernelBytes(t, a), 0
		for name, n := range full {
			if name != "punts" && name != "totals" {
				total += n
			}
		}
		t.Logf("%s: %d bytes a line at %d CPUs: %v (of it when empty %v)", tt.name, total/lines, cpus, full, empty)
		if total/lines > tt.limit {
			t.Errorf("%s: %d bytes a line, documented %d", tt.name, total/lines, tt.limit)
		}
		if cpus == 2 && tt.long == 0 && total/lines > 310 {
			t.Errorf("%s: %d bytes a line, to be at most 310", tt.name, total/lines)
		}
		a.Close()
	}
}
