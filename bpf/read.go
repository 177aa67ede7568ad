// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
)

// batchSlots is how many slots one system call reads. More gains nothing.
const batchSlots = 4096

// counterWords is the size of Counters in words.
const counterWords = int(unsafe.Sizeof(Counters{}) / 8)

// ErrClosed means a call after Close.
var ErrClosed = errors.New("closed")

// ReadCounters fills dst, which has MaxSlots+1 elements, with each slot's
// counters summed over the CPUs. Each value is one that the counter had at some
// time during the call, and never less than an earlier call's. It reads the
// kernel's memory, without system calls.
func (a *Accounting) ReadCounters(dst []Counters) error {
	if len(dst) != int(a.opts.MaxSlots)+1 {
		return fmt.Errorf("read counters: room for %d of %d slots", len(dst), a.opts.MaxSlots+1)
	}
	a.reading.Lock()
	defer a.reading.Unlock()
	if a.counters == nil {
		return fmt.Errorf("read counters: %w", ErrClosed)
	}
	sums := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst)*counterWords)
	clear(sums)
	words := wordsOf(a.counters)
	for len(words) > 0 {
		stripe := words[:len(sums)]
		for i := range stripe {
			sums[i] += atomic.LoadUint64(&stripe[i])
		}
		words = words[len(sums):]
	}
	return nil
}

// ReadSlot returns one slot's counters.
func (a *Accounting) ReadSlot(slot uint32) (Counters, error) {
	a.reading.Lock()
	defer a.reading.Unlock()
	if a.counters == nil {
		return Counters{}, fmt.Errorf("read slot: %w", ErrClosed)
	}
	if slot > a.opts.MaxSlots {
		return Counters{}, fmt.Errorf("read slot: %d of %d", slot, a.opts.MaxSlots)
	}
	var sum [counterWords]uint64
	words := wordsOf(a.counters)
	stripe := (int(a.opts.MaxSlots) + 1) * counterWords
	for at := int(slot) * counterWords; at < len(words); at += stripe {
		for i := range sum {
			sum[i] += atomic.LoadUint64(&words[at+i])
		}
	}
	return *(*Counters)(unsafe.Pointer(&sum)), nil
}

// ReadOwners fills dst, which has MaxSlots+1 elements.
func (a *Accounting) ReadOwners(dst []Owner) error {
	keys := make([]uint32, batchSlots)
	owners := make([]Owner, batchSlots)
	return readBatches("read owners", a.objects.Owners, keys, owners, len(dst), func(i int, slot uint32) {
		dst[slot] = owners[i]
	})
}

// readBatches reads all of an array map and calls each for its elements: i is the
// place in the batch, slot the key.
func readBatches[V any](op string, m *ebpf.Map, keys []uint32, values []V, want int, each func(i int, slot uint32)) error {
	if want != int(m.MaxEntries()) {
		return fmt.Errorf("%s: room for %d of %d slots", op, want, m.MaxEntries())
	}
	var cursor ebpf.MapBatchCursor
	seen := 0
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("%s: %w", op, err)
		}
		for i := range n {
			each(i, keys[i])
		}
		seen += n
		if err != nil {
			break
		}
	}
	if seen != want {
		return fmt.Errorf("%s: %d of %d slots", op, seen, want)
	}
	return nil
}

// WriteOwner notes who holds a slot.
func (a *Accounting) WriteOwner(slot uint32, o Owner) error {
	if err := a.objects.Owners.Put(slot, &o); err != nil {
		return fmt.Errorf("write owner: %w", err)
	}
	return nil
}

// ReadTotals looks again at a CPU that was in the middle of counting a packet. Few
// looks are needed, unless the host took a virtual CPU away just then: that is
// waited for. Whatever still does not add up is a fault in the equation.
const (
	totalsTries  = 10_000
	totalsWaits  = 500 // over all CPUs
	totalsPaused = time.Millisecond
)

const (
	totalsWords  = int(unsafe.Sizeof(DirectionTotals{}) / 8)
	totalsStride = int(unsafe.Sizeof(accountingDirectionTotals{}) / 8)
)

// ReadTotals returns the totals over all CPUs. A CPU that is caught between two
// additions is read again, so the result is Balanced unless the programs are wrong.
func (a *Accounting) ReadTotals() (Totals, error) {
	a.reading.Lock()
	defer a.reading.Unlock()
	if a.totals == nil {
		return Totals{}, fmt.Errorf("read totals: %w", ErrClosed)
	}
	var sums [2]DirectionTotals
	words, waits := wordsOf(a.totals), totalsWaits
	for i := 0; i*totalsStride < len(words); i++ {
		one := words[i*totalsStride:][:totalsWords]
		t := settledTotals(one)
		for ; t.Total != t.Classes() && waits > 0; waits-- {
			time.Sleep(totalsPaused)
			t = settledTotals(one)
		}
		dir := i % 2
		sums[dir] = sums[dir].plus(t)
	}
	return Totals{sums[Up], sums[Down]}, nil
}

// settledTotals reads one CPU's totals while no packet is half counted in them.
func settledTotals(words []uint64) DirectionTotals {
	var t DirectionTotals
	into := (*[totalsWords]uint64)(unsafe.Pointer(&t))
	for range totalsTries {
		for i := range into {
			into[i] = atomic.LoadUint64(&words[i])
		}
		if t.Total == t.Classes() {
			break
		}
	}
	return t
}
