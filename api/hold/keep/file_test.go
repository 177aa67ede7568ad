package keep

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/api/hold"
	"griffier/api/keystore"
	"griffier/api/register"
	"griffier/api/sealedfile"
	"griffier/schema"
)

var noon = time.Date(2026, 11, 19, 12, 0, 0, 0, time.UTC)

// contents makes a hold's contents with n usage rows, some of every kind.
func contents(id string, n int) *Contents {
	ref := schema.AccessRef{7, 7}
	c := &Contents{
		Head: Head{HoldID: id, WarrantID: "w1", TaskID: "t1", Address: netip.MustParseAddr("192.0.2.17"), From: noon.Add(-time.Hour), To: noon.Add(time.Hour),
			CopiedAt: noon, Limits: map[schema.Class]schema.Limit{schema.ClassAssignment: {Present: true, ReadableFrom: noon.AddDate(0, -6, 0)}}, Refs: []schema.AccessRef{ref}, Lines: []string{"line-alice"}},
		Ranges:    []register.Range{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), CollectorIDs: []string{"edge1"}, ValidTo: schema.Forever}},
		Lines:     []register.Held{{LineID: "line-alice", Ref: ref, ValidTo: schema.Forever}},
		Persons:   []Person{{LineID: "line-alice", ContractEnd: schema.Forever, Person: register.Person{Name: "Alice Jansen"}}},
		Target:    []schema.Assignment{{AccessRef: ref, Prefix: netip.MustParsePrefix("192.0.2.17/32"), PortEnd: 65535, StartedAt: noon.Add(-time.Hour), EndedAt: noon.Add(time.Hour)}},
		Sessions:  []schema.Session{{SessionID: schema.ID{1}, AccessRef: ref, StartedAt: noon, EndedAt: noon.Add(time.Hour)}},
		UsageDays: []schema.UsageDay{{AccessRef: ref, Day: noon, StartedAt: noon, EndedAt: noon.Add(time.Hour)}},
		Coverage:  []schema.Coverage{{CoverageID: schema.ID{5}, CollectorID: "edge1", State: schema.Covered, StartedAt: noon, EndedAt: noon.Add(time.Hour)}},
	}
	for i := range n {
		c.Usage = append(c.Usage, schema.Usage{AccessRef: ref, BucketStartedAt: noon, EndedAt: noon.Add(schema.BucketLength), SampledAt: noon, Bytes: uint64(i),
			Direction: schema.Up, IPVersion: 4, CounterID: schema.ID{9}, CollectorID: "edge1"})
	}
	return c
}

// vault is a real key store with a key for each of the holds.
func vault(t testing.TB, holds ...string) *keystore.Store {
	t.Helper()
	dir := t.TempDir()
	master := filepath.Join(dir, "master")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range holds {
		if err := keys.Create(hold.KeyID(id)); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func sealWith(keys *keystore.Store, holdID, warrantID string) sealedfile.Sealer {
	return func(index uint32, last bool, plain []byte) ([]byte, error) {
		return keys.Seal(hold.KeyID(holdID), plain, place(holdID, warrantID, index, last))
	}
}

func openWith(keys *keystore.Store, keyOf, holdID, warrantID string) sealedfile.Opener {
	return func(index uint32, last bool, sealed []byte) ([]byte, error) {
		return keys.Open(hold.KeyID(keyOf), sealed, place(holdID, warrantID, index, last))
	}
}

func readAll(file []byte, open sealedfile.Opener) (*Contents, error) {
	r, err := newReader(bytes.NewReader(file), open)
	if err != nil {
		return nil, err
	}
	return r.contents()
}

func TestFileRoundTrip(t *testing.T) {
	keys := vault(t, "a")
	for _, n := range []int{0, 1, 5000} {
		want := contents("a", n)
		want.count()
		var file bytes.Buffer
		if err := write(&file, sealWith(keys, "a", "w1"), want); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(file.Bytes(), openWith(keys, "a", "a", "w1"))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%d rows come back otherwise:\n%+v\n%+v", n, got.Head, want.Head)
		}
		if got.Head.Rows[schema.ClassUsage5m] != uint64(n) || got.Head.Total() != uint64(n)+4 {
			t.Errorf("counted %v", got.Head.Rows)
		}
		for _, secret := range []string{"192.0.2", "alice", "Jansen", "edge1", "usage"} {
			if strings.Contains(file.String(), secret) {
				t.Errorf("the file says %q", secret)
			}
		}
	}
}

// chunks cuts a file into its chunks, length included.
func chunks(t *testing.T, file []byte) (out [][]byte) {
	t.Helper()
	for rest := file[len(magic):]; len(rest) > 0; {
		n := 4 + int(binary.BigEndian.Uint32(rest))
		out, rest = append(out, rest[:n]), rest[n:]
	}
	return out
}

// Whatever is done to a file, nothing of it is read as if it were whole.
func TestFileAltered(t *testing.T) {
	keys := vault(t, "a", "b")
	sealed := func(id, warrant string) []byte {
		var file bytes.Buffer
		if err := write(&file, sealWith(keys, id, warrant), contents(id, 5000)); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	file, other := sealed("a", "w1"), sealed("b", "w1")
	parts, others := chunks(t, file), chunks(t, other)
	if len(parts) < 5 {
		t.Fatalf("%d chunks", len(parts))
	}
	join := func(parts ...[]byte) []byte { return append([]byte(magic), bytes.Join(parts, nil)...) }
	flipped := func(at int) []byte {
		out := bytes.Clone(file)
		out[at] ^= 1
		return out
	}
	tests := map[string][]byte{
		"empty":                 nil,
		"magic only":            []byte(magic),
		"without a head":        join(parts[1:]...),
		"without the last":      join(parts[:len(parts)-1]...),
		"without one between":   join(append(append([][]byte{}, parts[:2]...), parts[3:]...)...),
		"two exchanged":         join(append([][]byte{parts[0], parts[2], parts[1]}, parts[3:]...)...),
		"one twice":             join(append([][]byte{parts[0], parts[1], parts[1]}, parts[2:]...)...),
		"one of another hold":   join(append([][]byte{parts[0], others[1]}, parts[2:]...)...),
		"the head of another":   join(append([][]byte{others[0]}, parts[1:]...)...),
		"bytes at the end":      append(bytes.Clone(file), 0),
		"a second file behind":  append(bytes.Clone(file), file...),
		"an empty chunk behind": append(bytes.Clone(file), 0, 0, 0, 0),
		"cut in a chunk":        file[:len(file)-7],
		"cut in a length":       file[:len(magic)+2],
		"a huge length":         append([]byte(magic), 0xff, 0xff, 0xff, 0xff),
		"another magic":         flipped(0),
		"one bit of a length":   flipped(len(magic) + 3),
		"one bit of the head":   flipped(len(magic) + 20),
		"one bit of the last":   flipped(len(file) - 1),
	}
	for name, altered := range tests {
		if c, err := readAll(altered, openWith(keys, "a", "a", "w1")); err == nil {
			t.Errorf("%s: read as %+v", name, c.Head)
		}
	}
	for name, open := range map[string]sealedfile.Opener{
		"another key":     openWith(keys, "b", "a", "w1"),
		"another hold":    openWith(keys, "a", "b", "w1"),
		"another warrant": openWith(keys, "a", "a", "w2"),
	} {
		if _, err := readAll(file, open); !errors.Is(err, keystore.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readAll(file, openWith(keys, "a", "a", "w1")); err != nil {
		t.Errorf("the file itself: %v", err)
	}
	if err := keys.Shred(hold.KeyID("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(file, openWith(keys, "a", "a", "w1")); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("after its key was destroyed: %v", err)
	}
}

// FuzzFile reads anything as a file, sealed and as if every chunk opened: it never
// fails otherwise than with an error, and what it takes is what was written.
func FuzzFile(f *testing.F) {
	keys := vault(f, "a")
	plainly := func(_ uint32, _ bool, plain []byte) ([]byte, error) { return plain, nil }
	for _, n := range []int{0, 3, 200} {
		for _, seal := range []sealedfile.Sealer{plainly, sealWith(keys, "a", "w1")} {
			var file bytes.Buffer
			if err := write(&file, seal, contents("a", n)); err != nil {
				f.Fatal(err)
			}
			f.Add(file.Bytes())
		}
	}
	f.Add([]byte(magic + "\x00\x00\x00\x0b{\"head\":{}}"))
	f.Add([]byte(magic + "\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if c, err := readAll(file, sealedfile.Opener(plainly)); err == nil {
			var again bytes.Buffer
			if err := write(&again, plainly, c); err != nil {
				return // a record that is too long when written out
			}
			back, err := readAll(again.Bytes(), sealedfile.Opener(plainly))
			if err != nil || back.Head.HoldID != c.Head.HoldID || len(back.Usage) != len(c.Usage) || len(back.Target) != len(c.Target) {
				t.Fatalf("written again it reads otherwise: %v", err)
			}
		}
		c, err := readAll(file, openWith(keys, "a", "a", "w1"))
		if err == nil && c.Head.HoldID != "a" {
			t.Fatal("a file that nobody sealed was read")
		}
	})
}
