package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// build makes a spool of two segments, five rows in single frames each, and
// returns the second's frame boundaries, the
// first being that after the snapshot.
func build(t *testing.T) (dir string, boundaries []int64) {
	dir = t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	for n := range uint64(10) {
		if n == 5 {
			if err := s.Checkpoint(t.Context(), []byte("half")); err != nil {
				t.Fatal(err)
			}
			boundaries = append(boundaries, s.segments[1].size)
		}
		mustAppend(t, s, Batch{State: []byte("s"), Records: rows(n, n+1)})
		if n >= 5 {
			boundaries = append(boundaries, s.segments[1].size)
		}
	}
	s.Close()
	return dir, boundaries
}

func clone(t *testing.T, dir string) string {
	t.Helper()
	to, err := os.MkdirTemp(t.TempDir(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// left opens a spool and returns how many rows it delivers, which must be the
// first ones in order.
func left(t *testing.T, dir string) (n uint64, torn Torn, err error) {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		return 0, torn, err
	}
	defer s.Close()
	for s.Stats().PendingRows > 0 {
		b := mustNext(t, s)
		for _, got := range numbers(b.Records) {
			if got != n {
				t.Fatalf("row %d, want %d", got, n)
			}
			n++
		}
		mustAck(t, s, b)
	}
	return n, s.Torn(), nil
}

// TestTruncatedAnywhere cuts the last segment at every byte: what is left is
// exactly the whole frames, and the rest is reported.
func TestTruncatedAnywhere(t *testing.T) {
	dir, boundaries := build(t)
	last := segmentName(2)
	end := boundaries[len(boundaries)-1]
	for cut := range end {
		c := clone(t, dir)
		path := filepath.Join(c, last)
		if err := os.Truncate(path, cut); err != nil {
			t.Fatal(err)
		}
		n, torn, err := left(t, c)
		if cut < segmentHeadBytes {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.File != path {
				t.Fatalf("cut at %d: %v, want a CorruptError that names the file", cut, err)
			}
			continue
		}
		want, good := uint64(5), int64(segmentHeadBytes)
		for i, b := range boundaries {
			if b <= cut {
				want, good = 5+uint64(i), b
			}
		}
		if err != nil || n != want || torn.Bytes != cut-good || (torn.Bytes > 0 && (torn.Offset != good || torn.File != path)) {
			t.Fatalf("cut at %d: %d rows, torn %+v, %v, want %d rows, %d torn", cut, n, torn, err, want, cut-good)
		}
	}
}

// TestFlippedAnywhere flips each byte of both segments. Damage to what was
// acknowledged is refused with the file; only the very last frame may be taken
// for torn, and is then reported.
func TestFlippedAnywhere(t *testing.T) {
	dir, boundaries := build(t)
	lastFrame := boundaries[len(boundaries)-2]
	for number := uint64(1); number <= 2; number++ {
		name := segmentName(number)
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for at := range whole {
			c := clone(t, dir)
			path := filepath.Join(c, name)
			damaged := append([]byte(nil), whole...)
			damaged[at] ^= 0x10
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			n, torn, err := left(t, c)
			if number == 2 && int64(at) >= lastFrame {
				if err != nil || n != 9 || torn.Offset != lastFrame {
					t.Fatalf("segment 2, last frame, byte %d: %d rows, torn %+v, %v, want 9 rows and the last frame torn", at, n, torn, err)
				}
				continue
			}
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.File != path || corrupt.Offset > int64(at) {
				t.Fatalf("segment %d, byte %d: %v, want a CorruptError there", number, at, err)
			}
			if msg := err.Error(); !strings.Contains(msg, path) || !strings.Contains(msg, fmt.Sprint(corrupt.Offset)) || !strings.Contains(msg, "restore") {
				t.Fatalf("message %q: want file, offset and cure", msg)
			}
		}
	}
}

// TestMissingPieces takes away what a spool cannot do without.
func TestMissingPieces(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"cursor":        func(dir string) error { return os.Remove(filepath.Join(dir, "cursor")) },
		"cursor cut":    func(dir string) error { return os.Truncate(filepath.Join(dir, "cursor"), 100) },
		"first segment": func(dir string) error { return os.Remove(filepath.Join(dir, segmentName(1))) },
		"exchanged": func(dir string) error {
			return os.Rename(filepath.Join(dir, segmentName(1)), filepath.Join(dir, segmentName(2)))
		},
		"both slots": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "cursor"), make([]byte, 2*slotSpacing), 0o600)
		},
	} {
		dir, _ := build(t)
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := Open(Config{Dir: dir}); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v, want a CorruptError", name, err)
		}
	}
}

// TestDeliveredIsNeverTorn cuts off rows that a block already has: they were
// durable, so this is loss and not a torn write.
func TestDeliveredIsNeverTorn(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	mustAppend(t, s, Batch{Records: rows(0, 3)})
	mustNext(t, s)
	s.Close()
	if err := os.Truncate(filepath.Join(dir, segmentName(1)), segmentHeadBytes+20); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := Open(Config{Dir: dir}); !errors.As(err, &corrupt) {
		t.Errorf("Open: %v, want a CorruptError", err)
	}
}

// TestTornCursor damages each slot in turn: the other one counts, and at worst
// a block is delivered again under its own token.
func TestTornCursor(t *testing.T) {
	for slot := range int64(2) {
		dir := t.TempDir()
		s := mustOpen(t, Config{Dir: dir, BlockRows: 2})
		mustAppend(t, s, Batch{Records: rows(0, 6)})
		b := mustNext(t, s)
		mustAck(t, s, b)
		newer := s.cursor.generation
		s.Close()
		f, err := os.OpenFile(filepath.Join(dir, "cursor"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("torn"), slot*slotSpacing+40); err != nil {
			t.Fatal(err)
		}
		f.Close()
		s = mustOpen(t, Config{Dir: dir, BlockRows: 2})
		got := mustNext(t, s)
		if lostAck := int64((newer+1)%2) == slot; lostAck != (got.Token == b.Token) {
			t.Errorf("slot %d torn: token %s, first was %s, acknowledgement in the torn slot: %v", slot, got.Token, b.Token, lostAck)
		}
	}
}
