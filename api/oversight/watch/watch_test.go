package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/oversighttest"
	"griffier/api/oversight/watch"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// desk is a watch over a real ledger and key store.
type desk struct {
	leapt error // what the guard of the clock says
	oversighttest.Path
	*watch.Watch
	t        testing.TB
	cfg      ledger.Config
	state    *oversight.State
	registry *prometheus.Registry
	limits   oversight.Limits
	mu       sync.Mutex
	at       time.Time
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(time.Millisecond)
	return d.at
}

func (d *desk) wait(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(by)
}

func newDesk(t testing.TB, limits oversight.Limits) *desk {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// The first day of a period.
	d := &desk{t: t, limits: limits, at: time.Unix(690*int64(oversight.TagPeriod/time.Second), 0).UTC().Add(time.Hour)}
	must(keystore.GenerateMasterKey(filepath.Join(dir, "master")))
	keys, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	must(err)
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "isp.example/griffier")
	must(err)
	d.Path = oversighttest.Path{T: t, Keys: keys, Now: d.now}
	d.cfg = ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: keys,
		Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second, Now: d.now}
	d.open()
	t.Cleanup(func() { d.Book.Close() })
	return d
}

// open opens the ledger, anew as a restart does.
func (d *desk) open() {
	d.t.Helper()
	d.state, d.Legal = oversight.NewState(), warrant.NewState()
	d.cfg.Folds = []ledger.Fold{d.state, d.Legal}
	book, err := ledger.Open(context.Background(), d.cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Book, d.registry = book, prometheus.NewRegistry()
	d.Watch = watch.New(watch.Config{Book: book, Keys: d.Keys, State: d.state, Limits: d.limits, Now: d.now, Leap: func(time.Time) error { return d.leapt }, Log: slog.New(slog.DiscardHandler)}, d.registry)
}

func (d *desk) restart() {
	d.t.Helper()
	if err := d.Book.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

func id(n int) string { return fmt.Sprintf("%032x", n) }

// disclose has a warrant of its own answered about a line.
func (d *desk) disclose(n int, line string) warrant.Task {
	d.t.Helper()
	w := d.Warrant(id(n), "NL-OM", warrant.Attribution)
	d.Task(w.ID, id(1000+n), "0f", warrant.Attribution)
	t := d.Begin(w.ID, id(1000+n))
	if err := d.Resolved(d.t.Context(), t, w, []string{line}); err != nil {
		d.t.Fatal(err)
	}
	return d.Release(w.ID, t.ID, reason.Match)
}

func (d *desk) alarms(kind string) int {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "griffier_oversight_alarms_total" && m.GetLabel()[0].GetValue() == kind {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	d.t.Fatalf("no metric of %s", kind)
	return 0
}

// Three small warrants about one line raise an alarm, over a restart and over a
// change of keys; when the keys are destroyed nothing can be found any more.
func TestLinkage(t *testing.T) {
	d := newDesk(t, oversight.Limits{})
	d.wait(29 * 24 * time.Hour) // the keys change tomorrow
	d.disclose(1, "L-ex")
	d.disclose(2, "L-other")
	d.disclose(3, "L-ex")
	if n := d.alarms("linkage"); n != 0 {
		t.Errorf("%d alarms after two disclosures about one line", n)
	}
	d.wait(2 * 24 * time.Hour)
	d.restart()
	d.disclose(4, "L-ex")
	if n := d.alarms("linkage"); n != 1 {
		t.Errorf("%d alarms after three, want 1", n)
	}
	if keys := d.state.TagKeys(); len(keys) != 2 {
		t.Fatalf("keys %+v, want that of each period", keys)
	}
	linkage, _ := d.state.Sealed(time.Time{})
	lengths := map[int]bool{}
	for _, m := range linkage {
		entries, err := d.Book.Read(t.Context(), m.Index, 1)
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(entries[0].Body)] = true
		if strings.Contains(string(entries[0].Header.Facts), "L-") {
			t.Errorf("a line is in the clear: %s", entries[0].Header.Facts)
		}
	}
	if len(lengths) != 1 {
		t.Errorf("bodies of %v bytes: an alarm can be told from none", lengths)
	}
	first := d.state.TagKeys()[0]
	d.wait(28 * 24 * time.Hour)
	if err := d.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Keys.State(first.ID); err != nil {
		t.Errorf("a key that is matched yet: %v", err)
	}
	d.wait(24 * time.Hour)
	// By a clock that leapt nothing is destroyed: it would end what can be linked.
	d.leapt = reason.New(reason.ClockUntrusted, "")
	if err := d.Rotate(t.Context()); reason.Of(err) != reason.ClockUntrusted {
		t.Errorf("by a clock that leapt: %v", err)
	}
	if err := d.Keys.State(first.ID); err != nil {
		t.Errorf("a clock that leapt destroyed a key: %v", err)
	}
	d.leapt = nil
	if err := d.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Keys.State(first.ID); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the key of the first period: %v, want destroyed", err)
	}
	entries, err := d.Book.Read(t.Context(), first.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Book.Body(entries[0]); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the secret of the first period can be read: %v", err)
	}
	// A copy of the keys that is older than that brings it back, for a moment.
	dir := t.TempDir()
	if err := keystore.GenerateMasterKey(filepath.Join(dir, "master")); err != nil {
		t.Fatal(err)
	}
	restored, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	if err != nil {
		t.Fatal(err)
	}
	second := d.state.TagKeys()[0]
	if err := errors.Join(restored.Create(first.ID), restored.Create(second.ID)); err != nil {
		t.Fatal(err)
	}
	if err := watch.New(watch.Config{Keys: restored, State: d.state}, nil).Repeat(); err != nil {
		t.Fatal(err)
	}
	if gone, there := restored.State(first.ID), restored.State(second.ID); !errors.Is(gone, keystore.ErrShredded) || there != nil {
		t.Errorf("of restored keys that which was destroyed: %v, the other: %v", gone, there)
	}
	// Two more: with those of the first period they would be an alarm, and are none.
	d.wait(2 * 24 * time.Hour)
	d.disclose(5, "L-ex")
	d.restart()
	d.disclose(6, "L-ex")
	if n := d.alarms("linkage"); n != 0 {
		t.Errorf("%d alarms by disclosures of a destroyed period", n)
	}
	if err := d.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Of disclosures at once none is overlooked: the last to be entered sees the others.
func TestLinkageAtOnce(t *testing.T) {
	d := newDesk(t, oversight.Limits{})
	const n = 8
	var tasks []warrant.Task
	for i := range n {
		w := d.Warrant(id(i), "NL-OM", warrant.Attribution)
		d.Task(w.ID, id(1000+i), "0f", warrant.Attribution)
		tasks = append(tasks, d.Begin(w.ID, id(1000+i)))
	}
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(func() {
			_, w, _ := d.Legal.Task(task.ID)
			if err := d.Resolved(context.Background(), task, w, []string{"L-ex"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := d.alarms("linkage"); got != n-2 {
		t.Errorf("%d alarms, want one for each of %d but two", got, n)
	}
	// A repetition of the same attempt counts nothing twice.
	_, w, _ := d.Legal.Task(tasks[0].ID)
	size := len(d.state.TagKeys())
	if err := d.Resolved(context.Background(), tasks[0], w, []string{"L-ex"}); err != nil || len(d.state.TagKeys()) != size {
		t.Error(err)
	}
	linkage, _ := d.state.Sealed(time.Time{})
	if len(linkage) != n {
		t.Errorf("%d entries of %d disclosures", len(linkage), n)
	}
}

// Keys that a restore brought back from before a period do not stop disclosures:
// there is a new one, and what the lost one tagged is not found.
func TestLostKey(t *testing.T) {
	d := newDesk(t, oversight.Limits{})
	d.disclose(1, "L-ex")
	if err := d.Keys.Shred(d.state.TagKeys()[0].ID); err != nil {
		t.Fatal(err)
	}
	d.restart()
	d.disclose(2, "L-ex")
	d.disclose(3, "L-ex")
	if n := d.alarms("linkage"); n != 0 {
		t.Errorf("%d alarms", n)
	}
	d.disclose(4, "L-ex")
	if n := d.alarms("linkage"); n != 1 {
		t.Errorf("%d alarms with three under the new key, want 1", n)
	}
}

func TestNoLedgerNoDisclosure(t *testing.T) {
	d := newDesk(t, oversight.Limits{})
	w := d.Warrant(id(1), "NL-OM", warrant.Attribution)
	d.Task(w.ID, id(10), "0f", warrant.Attribution)
	task := d.Begin(w.ID, id(10))
	d.Book.Close()
	if err := d.Resolved(t.Context(), task, w, []string{"L-1"}); reason.Of(err) != reason.LedgerUnavailable {
		t.Errorf("without a ledger: %v", err)
	}
	officer := warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}}
	if err := d.Received(t.Context(), officer, "request-1", id(2), warrant.Content{Authority: "NL-OM"}); reason.Of(err) != reason.LedgerUnavailable {
		t.Errorf("without a ledger: %v", err)
	}
	d.open()
}

// The limit of an authority holds over a restart, is entered once, and a retry of a
// request that was let in counts once.
func TestReceived(t *testing.T) {
	d := newDesk(t, oversight.Limits{WarrantsPerAuthorityHour: 5})
	officer := warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}}
	receive := func(n int, want reason.Reason) {
		t.Helper()
		c := warrant.Content{Authority: "NL-OM", Targets: []string{fmt.Sprintf("192.0.2.%d", n)}}
		if err := d.Received(t.Context(), officer, fmt.Sprintf("request-%d", n), id(n), c); reason.Of(err) != want {
			t.Errorf("warrant %d: %v, want %q", n, err, want)
		}
	}
	for n := range 4 {
		receive(n, "")
	}
	if n := d.alarms("walk"); n != 1 {
		t.Errorf("%d alarms of a walk, want 1", n)
	}
	receive(3, "") // a retry
	d.restart()
	receive(4, "")
	for n := 5; n < 9; n++ {
		receive(n, reason.RateLimited)
	}
	if hits := d.state.Hits(time.Time{}); len(hits) != 1 || hits[0].Limit != oversight.WarrantsOfAuthority {
		t.Errorf("hits = %+v, want one entry", hits)
	}
	want := strings.NewReader("# HELP griffier_oversight_limited_total Warrants and tasks refused because there were too many, by limit.\n" +
		"# TYPE griffier_oversight_limited_total counter\n" +
		"griffier_oversight_limited_total{limit=\"tasks_per_officer_day\"} 0\ngriffier_oversight_limited_total{limit=\"warrants_per_authority_hour\"} 4\n")
	if err := testutil.GatherAndCompare(d.registry, want, "griffier_oversight_limited_total"); err != nil {
		t.Error(err)
	}
	d.wait(time.Hour)
	receive(10, "")
	// One warrant that is edited from address to address is a walk too; edits are not
	// counted as warrants.
	before := d.alarms("walk")
	for n := range 9 {
		c := warrant.Content{Authority: "NL-OM", Targets: []string{fmt.Sprintf("198.51.100.%d", n)}}
		if err := d.Edited(t.Context(), officer, fmt.Sprintf("edit-%d", n), id(10), c); err != nil {
			t.Errorf("edit %d: %v", n, err)
		}
	}
	if n := d.alarms("walk") - before; n != 6 {
		t.Errorf("%d alarms of nine edits, want one for each from the fourth on", n)
	}
	receive(11, "")
	// No address is in the clear, nor in any sealed body under a key that outlives the tags.
	entries, err := d.Book.Read(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		body, err := d.Book.Body(e)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(e.Header.Facts), "192.0.2") || bytes.Contains(body, []byte("192.0.2")) && !strings.HasPrefix(e.Header.KeyID, "case:") {
			t.Errorf("entry %d (%s) names an address", e.Index, e.Header.Kind)
		}
	}
}

func TestMayAsk(t *testing.T) {
	d := newDesk(t, oversight.Limits{TasksPerOfficerDay: 2})
	w := d.Warrant(id(1), "NL-OM", warrant.Attribution)
	officer := warrant.Caller{Actor: "0f"}
	for n := range 3 {
		err := d.MayAsk(t.Context(), officer)
		if limited := reason.Of(err) == reason.RateLimited; limited != (n == 2) {
			t.Fatalf("task %d: %v", n, err)
		}
		if err == nil {
			d.Task(w.ID, id(10+n), "0f", warrant.Attribution)
		}
	}
	d.restart()
	if err := d.MayAsk(t.Context(), officer); reason.Of(err) != reason.RateLimited {
		t.Errorf("after a restart: %v", err)
	}
	if hits := d.state.Hits(time.Time{}); len(hits) != 1 || hits[0].Actor != "0f" {
		t.Errorf("hits = %+v", hits)
	}
	d.wait(24 * time.Hour)
	if err := d.MayAsk(t.Context(), officer); err != nil {
		t.Errorf("a day later: %v", err)
	}
}
