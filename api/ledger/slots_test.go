package ledger

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
)

// TestTornWitness spoils the half of a running ledger's witness file that a crash
// could have, at every length, and then the other half too.
func TestTornWitness(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	var states [][]byte
	for i := range 4 {
		mustAppend(t, l, i)
		data, err := os.ReadFile(b.witness)
		if err != nil || len(data) != 2*slotBytes {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		states = append(states, data)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(b.witness)
	if err != nil || len(whole) > slotBytes || bytes.IndexByte(whole, 0) >= 0 {
		t.Fatalf("after closing: %d bytes, %v", len(whole), err)
	}
	read := func(data []byte) (head, error) {
		t.Helper()
		if err := os.WriteFile(b.witness, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return readWitness(b.witness, l.origin, l.verifiers)
	}
	for i, data := range states {
		if h, err := read(data); err != nil || h.size != uint64(i+1) {
			t.Fatalf("state %d: %d, %v", i, h.size, err)
		}
	}
	// From the third state to the fourth one half changes; every torn form of that
	// has the third head, or the fourth.
	from, to := states[2], states[3]
	half := 0
	if bytes.Equal(from[:slotBytes], to[:slotBytes]) {
		half = slotBytes
	}
	for n := 0; n <= slotBytes; n += 7 {
		torn := append([]byte(nil), from...)
		copy(torn[half:half+n], to[half:half+n])
		if h, err := read(torn); err != nil || h.size != 3 && h.size != 4 {
			t.Fatalf("torn after %d: %d, %v", n, h.size, err)
		}
	}
	spoilt := append([]byte(nil), to...)
	spoilt[10] ^= 1
	spoilt[slotBytes+10] ^= 1
	if _, err := read(spoilt); err == nil {
		t.Fatal("both halves spoilt, and read")
	}
	if _, err := Open(context.Background(), b.config()); !errors.Is(err, ErrWitness) {
		t.Fatalf("open: %v", err)
	}
	if _, err := read(make([]byte, 2*slotBytes)); err == nil {
		t.Fatal("nothing, and read")
	}
	// A ledger that was killed starts from the halves.
	if _, err := read(to); err != nil {
		t.Fatal(err)
	}
	l = b.open(t)
	if l.Size() != 4 {
		t.Fatalf("size %d", l.Size())
	}
}
