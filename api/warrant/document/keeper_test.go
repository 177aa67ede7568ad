package document_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/retention/expiry"
	"griffier/api/sealedfile"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
)

// office is a keeper over a real ledger and key store.
type office struct {
	*document.Keeper
	t        testing.TB
	dir      string
	log      *ledger.Log
	keys     *keystore.Store
	state    *warrant.State
	rules    *warrant.Rules
	registry *prometheus.Registry
	now      time.Time
	logged   bytes.Buffer
}

var officer = warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}

func newOffice(t testing.TB) *office {
	o := &office{t: t, dir: t.TempDir(), state: warrant.NewState(), registry: prometheus.NewRegistry(), now: time.Now()}
	o.must(keystore.GenerateMasterKey(filepath.Join(o.dir, "master")))
	var err error
	o.keys, err = keystore.Open(filepath.Join(o.dir, "keys"), filepath.Join(o.dir, "master"))
	o.must(err)
	key, err := ledger.GenerateKey(filepath.Join(o.dir, "ledger.key"), "isp.example/griffier")
	o.must(err)
	o.log, err = ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(o.dir, "log"), WitnessFile: filepath.Join(o.dir, "witness"), Key: key,
		Keys: o.keys, Folds: []ledger.Fold{o.state}, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second})
	o.must(err)
	t.Cleanup(func() { o.log.Close() })
	profile, err := warrant.LoadProfile("nl")
	o.must(err)
	o.rules, err = warrant.NewRules(warrant.Rules{Law: warrant.Always(profile), Authorities: warranttest.Registry(recipient), RequireDocument: true, DuplicateKey: bytes.Repeat([]byte{3}, 32)})
	o.must(err)
	o.open(document.Scanner{})
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// open opens the shelf anew, as a restart does.
func (o *office) open(s document.Scanner) {
	o.t.Helper()
	o.registry = prometheus.NewRegistry()
	var err error
	o.Keeper, err = document.New(document.Config{Dir: filepath.Join(o.dir, "documents"), Keys: o.keys, Book: o.log, State: o.state, Rules: o.rules,
		Scanner: s, Registry: o.registry, Now: func() time.Time { return o.now }, Log: slog.New(slog.NewTextHandler(&o.logged, nil))})
	o.must(err)
	o.must(o.Recover())
}

var recipient = func() string {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	return identity.Recipient().String()
}()

// orderContent is what a warrant says.
func orderContent(reference, recipient string) warrant.Content {
	at := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339) }
	return warrant.Content{LegalBasis: "NL-126na", Authority: "NL-OM", Reference: reference, RequestedBy: "J. de Vries", IssuedAt: at(0), ValidFrom: at(0),
		ValidUntil: at(time.Hour), DocumentSHA256: strings.Repeat("ab", 32), Categories: []warrant.Category{warrant.Attribution}, Targets: []string{"192.0.2.17"},
		WindowStart: at(-time.Hour), WindowEnd: at(0), Recipient: recipient}
}

// warrant makes a warrant.
func (o *office) warrant(reference string) string {
	o.t.Helper()
	id := warrantrpc.RandomID()
	o.must(o.keys.Create(warrant.KeyID(id)))
	c := orderContent(reference, recipient)
	_, err := o.log.Decide(o.t.Context(), "create-"+id, func(now time.Time) (ledger.Draft, error) {
		d, refusal := o.rules.Create(o.state, now, officer, warrant.CreateRequest{ID: id, Salt: "salt", Content: c})
		if refusal != nil {
			return ledger.Draft{}, refusal
		}
		return d, nil
	})
	o.must(err)
	return id
}

func (o *office) put(warrantID, text string) (warrant.Document, error) {
	return o.Put(context.Background(), officer, ledger.RequestID(officer.Actor, "UploadDocument", warrantrpc.RandomID()), warrantID, "text/plain", []byte(text))
}

func (o *office) get(warrantID, id string) (string, error) {
	var b strings.Builder
	_, err := o.Get(warrantID, id, func(chunk []byte) error { b.Write(chunk); return nil })
	return b.String(), err
}

// files are what is on the shelf, by their suffix.
func (o *office) files() (out []string) {
	entries, err := os.ReadDir(filepath.Join(o.dir, "documents"))
	o.must(err)
	for _, e := range entries {
		out = append(out, filepath.Ext(e.Name()))
	}
	return out
}

func want(t *testing.T, what string, err error, r reason.Reason) {
	t.Helper()
	if reason.Of(err) != r || (r == "") != (err == nil) {
		t.Errorf("%s: %v, want %q", what, err, r)
	}
}

// What is put is what is got, whole, and nothing of it is on disk in clear.
func TestPutAndGet(t *testing.T) {
	o := newOffice(t)
	w := o.warrant("PV-1")
	for _, size := range []int{1, 255 << 10, 256 << 10, 256<<10 + 1, 3 << 20} {
		text := strings.Repeat("vordering ", size/10+1)[:size]
		d, err := o.put(w, text)
		want(t, "put", err, "")
		got, err := o.get(w, d.ID)
		if err != nil || got != text {
			t.Errorf("of %d bytes came back %d, %v", size, len(got), err)
		}
		if d.Bytes != int64(size) || d.Type != warrant.Text || d.Scan != warrant.NotScan || d.WarrantID != w {
			t.Errorf("stored %+v", d)
		}
		again, err := o.put(w, text)
		if err != nil || again.ID != d.ID {
			t.Errorf("the same bytes again are %s, %v", again.ID, err)
		}
		o.open(document.Scanner{})
		if got, err := o.get(w, d.ID); err != nil || got != text {
			t.Errorf("after a restart %d bytes, %v", len(got), err)
		}
	}
	if n := len(o.files()); n != 5 {
		t.Errorf("%d files of 5 documents", n)
	}
	err := filepath.WalkDir(o.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("vordering vordering")) {
			t.Errorf("%s has the document in clear", filepath.Base(path))
		}
		if info, _ := e.Info(); filepath.Dir(path) == filepath.Join(o.dir, "documents") && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
		return err
	})
	o.must(err)
}

func TestPutRefuses(t *testing.T) {
	o := newOffice(t)
	w := o.warrant("PV-1")
	_, err := o.Put(t.Context(), officer, "request-1", w, "application/pdf", []byte("text"))
	want(t, "text as pdf", err, reason.DocumentRefused)
	_, err = o.Put(t.Context(), warrant.Caller{Actor: "a", Roles: []warrant.Role{warrant.LegalApprover}}, "request-2", w, "text/plain", []byte("text"))
	want(t, "by an approver", err, reason.PermissionDenied)
	_, err = o.put("00000000000000000000000000000000", "text")
	want(t, "for no warrant", err, reason.NotFound)
	o.open(document.Scanner{Command: script(t, "exit 1")})
	_, err = o.put(w, "text")
	want(t, "infected", err, reason.DocumentRefused)
	if got := testutil.ToFloat64(counter(t, o.registry, "griffier_documents_refused_total")); got != 1 {
		t.Errorf("%v refused, want 1", got)
	}
	if files := o.files(); len(files) != 0 {
		t.Errorf("files of what was refused: %v", files)
	}
	o.open(document.Scanner{Command: script(t, "exit 0")})
	d, err := o.put(w, "text")
	if err != nil || d.Scan != warrant.ScanClean {
		t.Errorf("clean: %+v, %v", d, err)
	}
	// A key that served another request is not this one's, and nothing stays of it.
	id := ledger.RequestID(officer.Actor, "UploadDocument", "request-9")
	if _, err = o.Put(t.Context(), officer, id, w, "text/plain", []byte("first")); err != nil {
		t.Fatal(err)
	}
	_, err = o.Put(t.Context(), officer, id, w, "text/plain", []byte("second"))
	want(t, "a request id for another document", err, reason.InvalidRequest)
	if files := o.files(); len(files) != 2 {
		t.Errorf("%d files, want 2", len(files))
	}
}

// counter wraps a metric of a registry for testutil.
func counter(t *testing.T, r *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name})
	g.Set(total)
	return g
}

// D-02: an alert in the ledger, in the metrics and in the log, which names no order.
func TestReplay(t *testing.T) {
	o := newOffice(t)
	first, second := o.warrant("PV-1"), o.warrant("PV-2")
	if d, err := o.put(first, "order 117"); err != nil || len(d.ReplayOf) != 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	d, err := o.put(second, "order 117")
	if err != nil || len(d.ReplayOf) != 1 || d.ReplayOf[0] != first {
		t.Errorf("the second dossier: %+v, %v", d, err)
	}
	entries, err := o.log.Read(t.Context(), d.Index, 1)
	o.must(err)
	if entries[0].Header.Reason != string(reason.DocumentReplayed) || entries[0].Header.Kind != warrant.KindDocument {
		t.Errorf("entry %+v", entries[0].Header)
	}
	if got := testutil.ToFloat64(counter(t, o.registry, "griffier_documents_replayed_total")); got != 1 {
		t.Errorf("%v replays counted, want 1", got)
	}
	if log := o.logged.String(); !strings.Contains(log, "another dossier") || strings.Contains(log, "order 117") {
		t.Errorf("log %q", log)
	}
	if text, err := o.get(second, d.ID); err != nil || text != "order 117" {
		t.Errorf("%q, %v", text, err)
	}
	// A document is only got through its own dossier.
	_, err = o.get(first, d.ID)
	want(t, "through another dossier", err, reason.NotFound)
}

// Many at once: every document is kept once, whoever was first.
func TestPutAtOnce(t *testing.T) {
	o := newOffice(t)
	w := o.warrant("PV-1")
	var wg sync.WaitGroup
	ids := make(chan string, 20)
	for range 20 {
		wg.Go(func() {
			d, err := o.put(w, "the same order")
			want(t, "put", err, "")
			ids <- d.ID
		})
	}
	wg.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		seen[id] = true
	}
	if len(seen) != 1 || len(o.state.Documents(w)) != 1 || len(o.files()) != 1 {
		t.Errorf("%d ids, %d documents, %d files", len(seen), len(o.state.Documents(w)), len(o.files()))
	}
}

// The dossier's end is the document's: the key, then the file.
func TestShreddedWithTheDossier(t *testing.T) {
	o := newOffice(t)
	w, other := o.warrant("PV-1"), o.warrant("PV-2")
	d, err := o.put(w, "order 1")
	o.must(err)
	kept, err := o.put(other, "order 2")
	o.must(err)
	file, err := os.ReadFile(filepath.Join(o.dir, "documents", d.ID+".order"))
	o.must(err)
	o.must(o.keys.Shred(warrant.KeyID(w)))
	_, err = o.get(w, d.ID)
	want(t, "after the dossier", err, reason.NotFound)
	finding := func() expiry.Finding {
		f, err := document.Place{Keeper: o.Keeper}.Check(t.Context(), expiry.Limits{})
		o.must(err)
		return f[0]
	}
	o.now = time.Now().Add(2 * time.Hour)
	if f := finding(); f.Verdict != expiry.Fail || f.Checked != 2 {
		t.Errorf("a file without its key for two hours: %+v", f)
	}
	o.open(document.Scanner{})
	if files := o.files(); len(files) != 1 {
		t.Errorf("files %v", files)
	}
	if f := finding(); f.Verdict != expiry.Pass {
		t.Errorf("%+v", f)
	}
	if text, err := o.get(other, kept.ID); err != nil || text != "order 2" {
		t.Errorf("the other dossier: %q, %v", text, err)
	}
	// A restored copy of the file says nothing without its key, and goes again.
	o.must(os.WriteFile(filepath.Join(o.dir, "documents", d.ID+".order"), file, 0o600))
	_, err = o.get(w, d.ID)
	want(t, "from a backup", err, reason.NotFound)
	o.open(document.Scanner{})
	if files := o.files(); len(files) != 1 {
		t.Errorf("files %v", files)
	}
}

// Whatever is done to a file, it is never read as something else.
func TestAltered(t *testing.T) {
	o := newOffice(t)
	w, other := o.warrant("PV-1"), o.warrant("PV-2")
	d, err := o.put(w, strings.Repeat("order ", 100_000))
	o.must(err)
	foreign, err := o.put(other, strings.Repeat("other ", 100_000))
	o.must(err)
	path := filepath.Join(o.dir, "documents", d.ID+".order")
	whole, err := os.ReadFile(path)
	o.must(err)
	theirs, err := os.ReadFile(filepath.Join(o.dir, "documents", foreign.ID+".order"))
	o.must(err)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"one bit": flipped, "cut": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), 0), "another's": theirs, "empty": nil} {
		o.must(os.WriteFile(path, data, 0o600))
		if text, err := o.get(w, d.ID); !errors.Is(err, sealedfile.ErrAltered) || text != "" {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	o.must(os.WriteFile(path, whole, 0o600))
	if _, err := o.get(w, d.ID); err != nil {
		t.Errorf("the whole file again: %v", err)
	}
}

// What a crash leaves has no entry, and is gone at the next start; what is being
// made is not touched by a sweep.
func TestRecover(t *testing.T) {
	o := newOffice(t)
	w := o.warrant("PV-1")
	d, err := o.put(w, "order 1")
	o.must(err)
	folder := filepath.Join(o.dir, "documents")
	for _, name := range []string{"11111111111111111111111111111111.making", "22222222222222222222222222222222.order", d.ID + ".making"} {
		o.must(os.WriteFile(filepath.Join(folder, name), []byte("half"), 0o600))
	}
	o.open(document.Scanner{})
	if files := o.files(); len(files) != 1 || files[0] != ".order" {
		t.Errorf("left %v", files)
	}
	if text, err := o.get(w, d.ID); err != nil || text != "order 1" {
		t.Errorf("%q, %v", text, err)
	}
	o.must(os.WriteFile(filepath.Join(folder, "note.txt"), nil, 0o600))
	if err := o.Recover(); err == nil {
		t.Error("a file of nobody is passed over")
	}
}

// Without its entry a document does not exist, and nothing of it stays.
func TestNoLedgerNoDocument(t *testing.T) {
	o := newOffice(t)
	w := o.warrant("PV-1")
	o.must(o.log.Close())
	if _, err := o.put(w, "order 1"); err == nil {
		t.Fatal("stored without a ledger")
	}
	o.must(o.Recover())
	if files := o.files(); len(files) != 0 {
		t.Errorf("left %v", files)
	}
}
