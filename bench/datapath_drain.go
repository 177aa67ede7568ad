package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/cilium/ebpf"

	"griffier/bpf"
	"griffier/collector/datapath"
)

// drainRounds is how often each drain is timed; the best counts.
const drainRounds = 11

// benchDrain times a whole drain of dual-stack lines, against reading as many per-CPU
// values of the same size out of a per-CPU array by batches, the fastest that the
// kernel's interface to per-CPU maps allows, with nothing done to them but added up.
func benchDrain(emit func(result)) error {
	for _, lines := range []uint32{100_000, 1_000_000} {
		took, allocations, err := drainTime(lines)
		if err != nil {
			return err
		}
		batches, err := batchTime(lines)
		if err != nil {
			return err
		}
		emit(result{
			Name: fmt.Sprintf("datapath/drain_%d_lines", lines), Value: milliseconds(took), Unit: "ms",
			Baseline: "batch look-ups of a per-CPU array", BaselineValue: milliseconds(batches), Ratio: took.Seconds() / batches.Seconds(),
		})
		emit(result{
			Name: fmt.Sprintf("datapath/drain_%d_lines_allocations", lines), Value: allocations, Unit: "allocations",
			Baseline: "target", BaselineValue: 10, Ratio: allocations / 10,
		})
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func drainTime(lines uint32) (best time.Duration, allocations float64, err error) {
	d, err := datapath.Open(datapath.Config{MaxSlots: lines}, time.Now)
	if err != nil {
		return 0, 0, err
	}
	defer d.Close()
	for i := range lines {
		owner := [16]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}
		for _, p := range []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 56),
		} {
			if _, err := d.Assign(datapath.Key{Prefix: p}, owner); err != nil {
				return 0, 0, err
			}
		}
	}
	var before, after runtime.MemStats
	for round := range drainRounds {
		runtime.GC()
		runtime.ReadMemStats(&before)
		begin := time.Now()
		r, err := d.Drain(begin)
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if err != nil || len(r.Slots) != int(lines) {
			return 0, 0, fmt.Errorf("drain: %d lines, %w", len(r.Slots), err)
		}
		if round == 0 || took < best {
			best, allocations = took, float64(after.Mallocs-before.Mallocs)
		}
	}
	return best, allocations, nil
}

func batchTime(lines uint32) (best time.Duration, err error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 64, MaxEntries: lines})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	const batch = 4096
	cpus := ebpf.MustPossibleCPU()
	keys, values := make([]uint32, batch), make([]bpf.Counters, batch*cpus)
	sums := make([]bpf.Counters, lines)
	for round := range drainRounds {
		var cursor ebpf.MapBatchCursor
		seen := 0
		begin := time.Now()
		for err = nil; err == nil; {
			var n int
			n, err = m.BatchLookup(&cursor, keys, values, nil)
			for i := range n {
				var sum bpf.Counters
				for _, c := range values[i*cpus : (i+1)*cpus] {
					sum = sum.Plus(c)
				}
				sums[keys[i]] = sum
			}
			seen += n
		}
		took := time.Since(begin)
		if !errors.Is(err, ebpf.ErrKeyNotExist) || seen != int(lines) {
			return 0, fmt.Errorf("batch look-up: %d of %d, %w", seen, lines, err)
		}
		if round == 0 || took < best {
			best = took
		}
	}
	return best, nil
}
