// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What the words of a place mean; see abi.h.
const (
	bucketPlaces = 4
	bucketWords  = 2 * bucketPlaces
	bucketBytes  = 8 * bucketWords

	metaSlot       = 0x7fffffff
	metaTagShift   = 32
	metaTag        = 0x7fffffff
	metaSpilled    = 1 << 31
	metaOverflowed = 1 << 63
	metaFlags      = metaSpilled | metaOverflowed

	tagLengthShift = 24
	tagIPv4        = 96
	tagLong        = 1 << 32

	// tableLoad is how full the table gets with MaxKeys keys. At 0.6 two keys in a
	// thousand find both their buckets full.
	tableLoad = 0.6

	// maxSlots is what fits in a place.
	maxSlots = metaSlot - 1
)

// bucketsFor returns how many buckets hold keys at tableLoad.
func bucketsFor(keys uint32) uint32 {
	return uint32(float64(keys)/(bucketPlaces*tableLoad)) + 1
}

// overflowsFor returns how many keys may overflow: several times what will.
func overflowsFor(keys uint32) uint32 { return keys/64 + 64 }

// filterWords returns how many words of bits, a power of two, hold so many long keys
// with a bit in eight or fewer set.
func filterWords(keys uint32) uint32 {
	return 1 << bits.Len32(max(keys, 8)/8-1)
}

// lineTable is the table of addresses, mapped from the kernel. It is written by one
// process at a time, under Accounting.mu, and read by the programs all the time.
type lineTable struct {
	words   []uint64
	memory  []byte
	buckets uint32
	others  *ebpf.Map
	filter  []byte // mapped

	short, long int // keys in use
	// resting are places (by their first word) whose key was removed since the last
	// grace period.
	resting map[uint32]struct{}
}

// newLineTable maps the table and finds out what is in it. Places whose key another
// process removed must have rested: see Barrier.
func newLineTable(lines, others, filter *ebpf.Map) (*lineTable, error) {
	memory, err := mapMemory(lines, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, fmt.Errorf("map table of lines: %w", err)
	}
	bits, err := mapMemory(filter, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		_ = unix.Munmap(memory)
		return nil, fmt.Errorf("map filter of long prefixes: %w", err)
	}
	t := &lineTable{
		filter: bits,
		memory: memory, words: wordsOf(memory), buckets: lines.MaxEntries(), others: others,
		resting: map[uint32]struct{}{},
	}
	if err := t.repair(); err != nil {
		return nil, errors.Join(fmt.Errorf("repair table of lines: %w", err), t.close())
	}
	return t, nil
}

// repair counts the keys, and makes flags and filter what they have to be: a process
// that was killed may have left a flag unset, and flags of keys that are gone cost
// look-ups. Programs may run: what a key needs is never taken away.
func (t *lineTable) repair() error {
	flags := map[uint32]uint64{} // by first word of the bucket
	filter := make([]uint64, len(wordsOf(t.filter)))
	err := t.each(func(k lineKey, _ uint32) {
		if k.isLong() {
			t.long++
			word, bit := t.filterBit(k)
			filter[word] |= bit
			return
		}
		t.short++
		first, _ := t.bucketsOf(k)
		if _, ok := t.findIn(first, k); ok {
			return
		}
		if _, ok := t.find(k); ok {
			flags[first] |= metaSpilled
		} else {
			flags[first] |= metaOverflowed
		}
	})
	if err != nil {
		return err
	}
	for bucket := uint32(0); int(bucket) < len(t.words); bucket += bucketWords {
		meta := t.words[bucket+1]
		if want := meta&^metaFlags | flags[bucket]; want != meta {
			atomic.StoreUint64(&t.words[bucket+1], want)
		}
	}
	for i, bits := range filter {
		if at := &wordsOf(t.filter)[i]; *at != bits {
			atomic.StoreUint64(at, bits)
		}
	}
	return nil
}

// mapMemory maps an array map of mappable elements.
func mapMemory(m *ebpf.Map, prot int) ([]byte, error) {
	size := int(m.MaxEntries()) * int(m.ValueSize())
	return unix.Mmap(m.FD(), 0, size, prot, unix.MAP_SHARED)
}

func wordsOf(memory []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/8)
}

func (t *lineTable) close() error {
	if t == nil || t.memory == nil {
		return nil
	}
	memory, filter := t.memory, t.filter
	t.memory, t.words, t.filter = nil, nil, nil
	return errors.Join(unix.Munmap(memory), unix.Munmap(filter))
}

// bucketsOf returns the first words of a key's buckets.
func (t *lineTable) bucketsOf(k lineKey) (first, second uint32) {
	h := mix(k.high, k.tag)
	a, _ := bits.Mul64(h>>32<<32, uint64(t.buckets))
	b, _ := bits.Mul64(h<<32, uint64(t.buckets))
	return uint32(a) * bucketWords, uint32(b) * bucketWords
}

// findIn returns the place of a key in a bucket.
func (t *lineTable) findIn(bucket uint32, k lineKey) (at uint32, ok bool) {
	for at := bucket; at < bucket+bucketWords; at += 2 {
		if t.words[at] == k.high && t.words[at+1]>>metaTagShift&metaTag == k.tag {
			return at, true
		}
	}
	return 0, false
}

func (t *lineTable) find(k lineKey) (at uint32, ok bool) {
	if k.isLong() {
		return 0, false
	}
	first, second := t.bucketsOf(k)
	if at, ok = t.findIn(first, k); ok {
		return at, true
	}
	return t.findIn(second, k)
}

// free returns the first free place of a bucket and how many there are, and whether
// more will be free after a grace period.
func (t *lineTable) free(bucket uint32) (at uint32, n int, resting bool) {
	for i := bucket; i < bucket+bucketWords; i += 2 {
		if t.words[i+1]&metaSlot != 0 {
			continue
		}
		if _, ok := t.resting[i]; ok {
			resting = true
			continue
		}
		if n == 0 {
			at = i
		}
		n++
	}
	return at, n, resting
}

func (t *lineTable) setFlag(bucket uint32, flag uint64) {
	atomic.StoreUint64(&t.words[bucket+1], t.words[bucket+1]|flag)
}

// setMeta changes all of a place's meta but the bucket's flags, in one store.
func (t *lineTable) setMeta(at uint32, meta uint64) {
	atomic.StoreUint64(&t.words[at+1], t.words[at+1]&metaFlags|meta)
}

// put makes the key lead to the slot; if it led to another, in one step.
func (t *lineTable) put(k lineKey, slot uint32) error {
	if at, ok := t.find(k); ok {
		t.setMeta(at, k.tag<<metaTagShift|uint64(slot))
		return nil
	}
	if k.isLong() {
		t.admit(k)
		isNew, err := t.putOther(k, slot)
		if isNew {
			t.long++
		}
		return err
	}
	first, _ := t.bucketsOf(k)
	if t.words[first+1]&metaOverflowed != 0 {
		// It may be one of those that did.
		if err := t.others.Update(k.other(), slot, ebpf.UpdateExist); !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	at, bucket, spilled, err := t.place(k)
	if err != nil {
		return err
	}
	if bucket {
		atomic.StoreUint64(&t.words[at], k.high)
		t.setMeta(at, k.tag<<metaTagShift|uint64(slot))
	} else if _, err := t.putOther(k, slot); err != nil {
		return err
	}
	// Only now: a program that reads the flag finds the key.
	if !bucket {
		t.setFlag(first, metaOverflowed)
	} else if spilled {
		t.setFlag(first, metaSpilled)
	}
	t.short++
	return nil
}

// admit sets the bit of a long key.
func (t *lineTable) admit(k lineKey) {
	word, bit := t.filterBit(k)
	at := &wordsOf(t.filter)[word]
	atomic.StoreUint64(at, *at|bit)
}

// filterBit returns the word and the bit in it of a long key.
func (t *lineTable) filterBit(k lineKey) (word, bit uint64) {
	h := mix(k.high^k.low*0xff51afd7ed558ccd, k.tag)
	return h >> 32 & uint64(len(t.filter)/8-1), 1 << (h & 63)
}

// place chooses a free place for a new key, if its buckets have one.
func (t *lineTable) place(k lineKey) (at uint32, ok, spilled bool, err error) {
	first, second := t.bucketsOf(k)
	for range 2 {
		at, n, resting := t.free(first)
		at2, n2, resting2 := t.free(second)
		switch {
		// The first, which is found sooner, unless it fills up faster than the second.
		case n > 1 || n > 0 && n >= n2:
			return at, true, false, nil
		case n2 > 0:
			return at2, true, first != second, nil
		case !resting && !resting2:
			return 0, false, false, nil
		}
		if err := t.rest(); err != nil {
			return 0, false, false, err
		}
	}
	return 0, false, false, nil
}

// rest waits until places whose keys were removed can be used again.
func (t *lineTable) rest() error {
	if err := Barrier(); err != nil {
		return err
	}
	clear(t.resting)
	return nil
}

// putOther puts a key into the hash map.
func (t *lineTable) putOther(k lineKey, slot uint32) (isNew bool, err error) {
	err = t.others.Update(k.other(), slot, ebpf.UpdateNoExist)
	if errors.Is(err, ebpf.ErrKeyExist) {
		return false, t.others.Update(k.other(), slot, ebpf.UpdateExist)
	}
	if errors.Is(err, unix.E2BIG) {
		return false, ErrKeysFull
	}
	return err == nil, err
}

// remove makes the key lead nowhere.
func (t *lineTable) remove(k lineKey) error {
	if at, ok := t.find(k); ok {
		t.setMeta(at, 0)
		atomic.StoreUint64(&t.words[at], 0)
		t.resting[at] = struct{}{}
		t.short--
		return nil
	}
	err := t.others.Delete(k.other())
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err == nil && k.isLong() {
		t.long--
	} else if err == nil {
		t.short--
	}
	return err
}

// has reports whether the key leads anywhere.
func (t *lineTable) has(k lineKey) bool {
	if _, ok := t.find(k); ok {
		return true
	}
	var slot uint32
	return t.others.Lookup(k.other(), &slot) == nil
}

// each calls f for every key.
func (t *lineTable) each(f func(k lineKey, slot uint32)) error {
	for at := 0; at < len(t.words); at += 2 {
		if meta := t.words[at+1]; meta&metaSlot != 0 {
			f(lineKey{high: t.words[at], tag: meta >> metaTagShift & metaTag}, uint32(meta&metaSlot))
		}
	}
	var k accountingOtherKey
	var slot uint32
	it := t.others.Iterate()
	for it.Next(&k, &slot) {
		f(lineKey{k.High, k.Low, k.Tag}, slot)
	}
	return it.Err()
}
