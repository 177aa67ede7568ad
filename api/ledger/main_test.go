package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"griffier/api/keystore"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	// Each check of a property opens real ledgers, so the default of 100 takes
	// minutes; the command line still decides.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// bench is a ledger's surroundings: folder, key, key store, witness elsewhere.
type bench struct {
	dir, witness string
	key          *Key
	keys         *keystore.Store
}

func newBench(t testing.TB) *bench {
	t.Helper()
	root := t.TempDir()
	key, err := GenerateKey(filepath.Join(root, "signing.key"), "test.example/ledger")
	if err != nil {
		t.Fatal(err)
	}
	master := filepath.Join(root, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(root, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Create("case:1"); err != nil {
		t.Fatal(err)
	}
	return &bench{dir: filepath.Join(root, "log"), witness: filepath.Join(root, "elsewhere.json"), key: key, keys: keys}
}

// busyDisk is the limit where a test is not about the limit: a disk that others
// write to as well can stand still for seconds.
const busyDisk = 30 * time.Second

func (b *bench) config(folds ...Fold) Config {
	return Config{Dir: b.dir, WitnessFile: b.witness, Key: b.key, Keys: b.keys, Folds: folds, Limit: busyDisk}
}

func (b *bench) open(t testing.TB, folds ...Fold) *Log {
	t.Helper()
	return b.openWith(t, b.config(folds...))
}

func (b *bench) openWith(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func (b *bench) verify(t testing.TB) (Report, error) {
	t.Helper()
	return Verify(context.Background(), VerifyConfig{
		Dir: b.dir, PublicKey: b.key.Public, WitnessFile: b.witness, Keys: b.keys, Folds: []Fold{newCounters()},
	})
}

// counters is a fold: how often each kind and warrant occurred, and the facts'
// sum, with the index of the last entry to show that order holds.
type counters struct {
	ByKind map[string]int
	Sum    int
	Next   uint64
}

func newCounters() *counters { return &counters{ByKind: map[string]int{}} }

func (c *counters) Apply(e Entry) error {
	if e.Index != c.Next {
		return fmt.Errorf("entry %d where %d is next", e.Index, c.Next)
	}
	c.Next++
	c.ByKind[e.Header.Kind+"/"+e.Header.WarrantID]++
	var facts struct{ N int }
	if len(e.Header.Facts) > 0 {
		if err := json.Unmarshal(e.Header.Facts, &facts); err != nil {
			return err
		}
	}
	c.Sum += facts.N
	return nil
}

func (c *counters) equal(o *counters) bool {
	return maps.Equal(c.ByKind, o.ByKind) && c.Sum == o.Sum && c.Next == o.Next
}

func draft(n int) Draft {
	return Draft{Kind: "test.noted", Actor: "a1b2", Role: "legal_officer", WarrantID: "w1", Generation: uint64(n),
		KeyID: "case:1", Facts: map[string]any{"N": n}, Body: map[string]any{"secret": fmt.Sprintf("value %d", n)}}
}

func mustAppend(t testing.TB, l *Log, n int) Entry {
	t.Helper()
	e, err := l.Append(context.Background(), draft(n))
	if err != nil {
		t.Fatalf("append %d: %v", n, err)
	}
	return e
}

func TestAppendReadBodyProof(t *testing.T) {
	b := newBench(t)
	state := newCounters()
	l := b.open(t, state)
	for i := range 5 {
		if e := mustAppend(t, l, i); e.Index != uint64(i) {
			t.Fatalf("index %d, want %d", e.Index, i)
		}
	}
	entries, err := l.Read(context.Background(), 1, 10)
	if err != nil || len(entries) != 4 {
		t.Fatalf("read: %d entries, %v", len(entries), err)
	}
	body, err := l.Body(entries[0])
	if err != nil || string(body) != `{"secret":"value 1"}` {
		t.Fatalf("body %s, %v", body, err)
	}
	p, err := l.Proof(context.Background(), 3)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Verify(b.key.Public)
	if err != nil || e.Header.Generation != 3 {
		t.Fatalf("proof: %v, %v", e, err)
	}
	p.Leaf[len(p.Leaf)/2] ^= 1
	if _, err := p.Verify(b.key.Public); err == nil {
		t.Fatal("an altered leaf passed")
	}
	if _, err := l.Proof(context.Background(), 5); !errors.Is(err, ErrNotFound) {
		t.Fatalf("proof past the end: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := b.verify(t); err != nil || r.Size != 5 || r.BodiesOpened != 5 {
		t.Fatalf("verify: %+v, %v", r, err)
	}
	again := newCounters()
	l = b.open(t, again)
	if !again.equal(state) || l.Size() != 5 {
		t.Fatalf("fold after restart: %+v, want %+v", again, state)
	}
}

func TestDecideOnceAndRefuse(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	calls := 0
	decide := func(now time.Time) (Draft, error) {
		calls++
		return draft(7), nil
	}
	first, err := l.Decide(context.Background(), "r1", decide)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Decide(context.Background(), "r1", decide)
	if err != nil || again.Index != first.Index || calls != 1 {
		t.Fatalf("retry: index %d, %d calls, %v", again.Index, calls, err)
	}
	refusal := errors.New("no")
	if _, err := l.Decide(context.Background(), "r2", func(time.Time) (Draft, error) { return Draft{}, refusal }); err != refusal {
		t.Fatalf("refusal: %v", err)
	}
	if _, err := l.Decide(context.Background(), "r3", func(time.Time) (Draft, error) { panic("boom") }); !errors.Is(err, ErrPanic) {
		t.Fatalf("panic: %v", err)
	}
	if l.Size() != 1 {
		t.Fatalf("size %d", l.Size())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = b.open(t)
	if e, err := l.Decide(context.Background(), "r1", decide); err != nil || e.Index != first.Index || calls != 1 {
		t.Fatalf("retry after restart: %+v, %v", e, err)
	}
}
