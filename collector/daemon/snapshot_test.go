package daemon

import (
	"bytes"
	"testing"
)

func TestSnapshotPacks(t *testing.T) {
	in := snapshot{bytes.Repeat([]byte(`{"key":"value"},`), 100_000), []byte("radius"), nil, []byte("null")}
	packed, err := in.pack()
	if err != nil {
		t.Fatal(err)
	}
	if len(packed) > 100_000 {
		t.Errorf("packed %d bytes into %d", len(in[0]), len(packed))
	}
	out, err := unpack(packed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in {
		if !bytes.Equal(in[i], out[i]) {
			t.Errorf("part %d: %d bytes became %d", i, len(in[i]), len(out[i]))
		}
	}
	for _, n := range []int{0, 5, 20, len(packed) - 1} {
		if _, err := unpack(packed[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a snapshot", n, len(packed))
		}
	}
}

func FuzzUnpack(f *testing.F) {
	packed, err := snapshot{[]byte("a"), []byte("b"), []byte("c"), []byte("d")}.pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, packed []byte) {
		s, err := unpack(packed)
		if err != nil {
			return
		}
		again, err := s.pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unpack(again); err != nil {
			t.Fatal(err)
		}
	})
}
