package dossier

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
)

// archive is a keystore and a ledger, with a shredder whose clock the test sets.
type archive struct {
	*Shredder
	t     *testing.T
	dir   string
	keys  *keystore.Store
	book  *ledger.Log
	now   time.Time
	cases []Case
	doubt error
}

func (a *archive) Check() error { return a.doubt }

func (a *archive) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func newArchive(t *testing.T) *archive {
	a := &archive{t: t, dir: t.TempDir()}
	var err error
	a.must(keystore.GenerateMasterKey(filepath.Join(a.dir, "master")))
	a.keys, err = keystore.Open(filepath.Join(a.dir, "keys"), filepath.Join(a.dir, "master"))
	a.must(err)
	_, err = ledger.GenerateKey(filepath.Join(a.dir, "key"), "test.example/log")
	a.must(err)
	a.open()
	t.Cleanup(func() { a.book.Close() })
	return a
}

func (a *archive) open() {
	a.t.Helper()
	key, err := ledger.LoadKey(filepath.Join(a.dir, "key"))
	a.must(err)
	record := &Record{}
	a.book, err = ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(a.dir, "log"), WitnessFile: filepath.Join(a.dir, "witness"),
		Key: key, Keys: a.keys, Folds: []ledger.Fold{record}, Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	a.must(err)
	a.Shredder = &Shredder{
		Ended: func(time.Time) []Case { return a.cases },
		Rule: func() (schema.Policy, bool) {
			return schema.Policy{Class: "dossier", Period: "P5Y", Zone: "Europe/Amsterdam"}, true
		},
		Keys: a.keys, Book: a.book, Record: record, Clock: a, Now: func() time.Time { return a.now }, Log: slog.New(slog.DiscardHandler),
	}
}

func (a *archive) entries() (keys []string) {
	a.t.Helper()
	all, err := a.book.Read(a.t.Context(), 0, 1000)
	a.must(err)
	for _, e := range all {
		if e.Header.Kind == KindDestroyed {
			keys = append(keys, e.Header.WarrantID)
		}
	}
	return keys
}

func TestDossiersEnd(t *testing.T) {
	a := newArchive(t)
	ended := time.Date(2021, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, id := range []string{"case:old", "case:young", "case:live", "class:support:2021-01", "class:support:2021-02", "class:odd", "person:1"} {
		a.must(a.keys.Create(id))
	}
	sealed, err := a.book.Append(t.Context(), ledger.Draft{Kind: "warrant.create", WarrantID: "old", KeyID: "case:old", Body: map[string]string{"target": "192.0.2.1"}})
	a.must(err)
	a.cases = []Case{{"old", "case:old", ended}, {"young", "case:young", ended.Add(time.Second)}, {"gone", "case:gone", ended}}
	want := func(what string, left ...string) {
		t.Helper()
		a.must(a.Once(t.Context()))
		got, err := a.keys.List()
		a.must(err)
		if !slices.Equal(got, left) {
			t.Errorf("%s: left are %v, want %v", what, got, left)
		}
	}
	all := []string{"case:live", "case:old", "case:young", "class:odd", "class:support:2021-01", "class:support:2021-02", "person:1"}
	a.now = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	want("before anything is due", all...)
	// January 2021 ended with it, in UTC; five years later in Amsterdam's calendar.
	a.now = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	want("January", slices.DeleteFunc(slices.Clone(all), func(id string) bool { return id == "class:support:2021-01" })...)
	a.now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// While the clock cannot be believed nothing is destroyed.
	a.doubt = errors.New("unsynchronised")
	if err := a.Once(t.Context()); !errors.Is(err, a.doubt) {
		t.Errorf("with a doubtful clock: %v", err)
	}
	if a.keys.State("case:old") != nil {
		t.Error("destroyed by a doubtful clock")
	}
	a.doubt = nil
	want("the first case", "case:live", "case:young", "class:odd", "person:1")
	want("again", "case:live", "case:young", "class:odd", "person:1")
	if got := a.entries(); !slices.Equal(got, []string{"", "old", ""}) {
		t.Errorf("entries of %q, want one of each key", got)
	}
	// The log verifies without the body.
	if _, err := a.book.Body(sealed); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("body of a destroyed dossier: %v", err)
	}
}

// What a copy of the keys brings back is destroyed again, also where neither clock nor
// policy would have it destroyed now.
func TestOldKeys(t *testing.T) {
	a := newArchive(t)
	a.must(a.keys.Create("case:old"))
	a.now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a.cases = []Case{{"old", "case:old", a.now.AddDate(-6, 0, 0)}}
	a.must(a.Once(t.Context()))
	restored, err := keystore.Open(filepath.Join(a.dir, "restored"), filepath.Join(a.dir, "master"))
	a.must(err)
	a.must(restored.Create("case:old"))
	a.must(restored.Create("case:young"))
	a.Keys, a.doubt = restored, errors.New("unsynchronised")
	a.Rule = func() (schema.Policy, bool) { return schema.Policy{}, false }
	a.must(a.Repeat())
	if got, err := restored.List(); err != nil || !slices.Equal(got, []string{"case:young"}) {
		t.Errorf("keys that are left: %v, %v", got, err)
	}
	if len(a.entries()) != 1 {
		t.Errorf("%d entries, want the first alone", len(a.entries()))
	}
}

// failing destroys nothing, as a crash between entry and key.
type failing struct{ *keystore.Store }

func (failing) Shred(string) error { return errors.New("no") }

func TestACrashBetweenEntryAndKey(t *testing.T) {
	a := newArchive(t)
	a.must(a.keys.Create("case:old"))
	a.now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a.cases = []Case{{"old", "case:old", a.now.AddDate(-6, 0, 0)}}
	a.Keys = failing{a.keys}
	if err := a.Once(t.Context()); err == nil {
		t.Error("no error")
	}
	a.must(a.book.Close())
	a.open()
	a.must(a.Once(t.Context()))
	if err := a.keys.State("case:old"); !errors.Is(err, keystore.ErrShredded) || len(a.entries()) != 1 {
		t.Errorf("key %v, %d entries; want it destroyed, and one", err, len(a.entries()))
	}
	// Without a ledger nothing is destroyed, and without a rule neither.
	a.must(a.keys.Create("case:two"))
	a.cases = []Case{{"two", "case:two", a.now.AddDate(-6, 0, 0)}}
	a.must(a.book.Close())
	if err := a.Once(t.Context()); err == nil || a.keys.State("case:two") != nil {
		t.Errorf("without a ledger: %v, key %v", err, a.keys.State("case:two"))
	}
	a.Rule = func() (schema.Policy, bool) { return schema.Policy{}, false }
	if err := a.Once(t.Context()); err != nil || a.keys.State("case:two") != nil {
		t.Errorf("without a rule: %v, key %v", err, a.keys.State("case:two"))
	}
	a.open()
}
