package sealedfile_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"griffier/api/sealedfile"
)

var format = sealedfile.Format{What: "thing", Magic: "thing/1\n", MaxSealedBytes: 1 << 10, MaxFileBytes: 1 << 20}

// sealed returns a real sealer and opener, bound to a name.
func sealed(t testing.TB, name string) (sealedfile.Sealer, sealedfile.Opener) {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	place := func(index uint32, last bool) []byte { return fmt.Appendf(nil, "%s|%d|%t", name, index, last) }
	nonce := func(index uint32) []byte { return fmt.Appendf(nil, "%012d", index) }
	return func(index uint32, last bool, plain []byte) ([]byte, error) {
			return gcm.Seal(nil, nonce(index), plain, place(index, last)), nil
		}, func(index uint32, last bool, text []byte) ([]byte, error) {
			plain, err := gcm.Open(nil, nonce(index), text, place(index, last))
			if err != nil {
				return nil, sealedfile.ErrAltered
			}
			return plain, nil
		}
}

func write(t testing.TB, name string, chunks [][]byte) []byte {
	t.Helper()
	seal, _ := sealed(t, name)
	var b bytes.Buffer
	w, err := format.NewWriter(&b, seal)
	for i, chunk := range chunks {
		err = errors.Join(err, w.Put(chunk, i == len(chunks)-1))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read returns the chunks of a file, all or an error.
func read(t testing.TB, name string, file []byte) (chunks [][]byte, err error) {
	t.Helper()
	_, open := sealed(t, name)
	r, err := format.NewReader(bytes.NewReader(file), open)
	if err != nil {
		return nil, err
	}
	for {
		chunk, err := r.Next()
		if errors.Is(err, io.EOF) {
			return chunks, nil
		}
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk)
	}
}

// What was written is read, and nothing else is: whatever is altered, cut off, put
// behind or moved.
func TestOnlyWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		chunks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 6).Draw(rt, "chunks")
		file := write(t, "a", chunks)
		got, err := read(t, "a", file)
		if err != nil || !slices.EqualFunc(got, chunks, bytes.Equal) {
			rt.Fatalf("read %d chunks of %d, %v", len(got), len(chunks), err)
		}
		if _, err := read(t, "b", file); !errors.Is(err, sealedfile.ErrAltered) {
			rt.Fatalf("read as another: %v", err)
		}
		other := bytes.Clone(file)
		switch at := rapid.IntRange(0, len(file)-1).Draw(rt, "at"); rapid.IntRange(0, 2).Draw(rt, "how") {
		case 0:
			other[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case 1:
			other = other[:at]
		default:
			other = append(other, file[at:]...)
		}
		if got, err := read(t, "a", other); err == nil {
			rt.Fatalf("an altered file was read: %d chunks", len(got))
		}
	})
}

// A length alone makes no memory, and a long chunk is not written.
func TestLimits(t *testing.T) {
	if _, err := read(t, "a", []byte(format.Magic+"\xff\xff\xff\xff")); !errors.Is(err, sealedfile.ErrAltered) {
		t.Errorf("a huge chunk: %v", err)
	}
	seal, _ := sealed(t, "a")
	w, err := format.NewWriter(io.Discard, seal)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(make([]byte, 2<<10), true); err == nil {
		t.Error("a chunk that could not be read back is written")
	}
}

const id = "0123456789abcdef0123456789abcdef"

// A file is on the shelf whole or not at all, and its name is given once.
func TestShelf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "things")
	s, err := sealedfile.OpenShelf(dir, "thing")
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) error {
		f, err := s.Begin(id)
		if err != nil {
			return err
		}
		if _, err := f.WriteString(text); err != nil {
			return err
		}
		return s.Finish(id, f)
	}
	if err := put("first"); err != nil {
		t.Fatal(err)
	}
	if err := put("second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file under the name: %v", err)
	}
	if text, err := os.ReadFile(s.Path(id)); err != nil || string(text) != "first" {
		t.Errorf("%q, %v", text, err)
	}
	found, err := s.List()
	if err != nil || len(found) != 2 || found[0].Whole == found[1].Whole || found[0].ID != id {
		t.Errorf("found %+v, %v", found, err)
	}
	if err := s.RemoveMaking(id); err != nil {
		t.Error(err)
	}
	if found, err := s.List(); err != nil || len(found) != 1 || !found[0].Whole {
		t.Errorf("found %+v, %v", found, err)
	}
	if err := errors.Join(s.Remove(id), s.Remove(id)); err != nil {
		t.Errorf("remove twice: %v", err)
	}
	for _, bad := range []string{"", "../" + id[3:], "x", id + "0"} {
		if _, err := s.Begin(bad); err == nil {
			t.Errorf("a file %q is made", bad)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); err == nil {
		t.Error("a file of nobody is passed over")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, "a", [][]byte{[]byte("one"), nil}))
	f.Add([]byte(format.Magic + "\x00\x00\x00\x10"))
	f.Fuzz(func(t *testing.T, file []byte) {
		chunks, err := read(t, "a", file)
		if err != nil {
			return
		}
		if !bytes.Equal(write(t, "a", chunks), file) {
			t.Fatalf("%x was read, and is not what is written", file)
		}
	})
}
