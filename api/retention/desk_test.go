package retention

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/signedfile"
	"griffier/schema"
)

// office is a house with a desk and the file on it.
type office struct {
	*house
	desk     *Desk
	path     string
	signer   note.Signer
	trusted  signedfile.Trusted
	log      *bytes.Buffer
	registry *prometheus.Registry
}

func newOffice(t *testing.T) *office {
	o := &office{house: newHouse(t), path: filepath.Join(t.TempDir(), "retention.yaml"), log: &bytes.Buffer{}}
	o.signer, o.trusted = testKey(t, "test.example/lawyer")
	o.restart(t)
	return o
}

// restart closes and opens the ledger, as a restart of griffierd does.
func (o *office) restart(t *testing.T) {
	t.Helper()
	if err := o.book.Close(); err != nil {
		t.Fatal(err)
	}
	o.open(t)
	o.registry = prometheus.NewRegistry()
	o.desk = NewDesk(o.path, o.trusted, o.keeper, o.conn, o.book, o.registry, slog.New(slog.NewTextHandler(o.log, nil)))
}

func (o *office) lay(t *testing.T, file []byte) {
	t.Helper()
	if err := os.WriteFile(o.path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (o *office) sign(t *testing.T, generation uint64, period string) []byte {
	t.Helper()
	file, err := Sign([]byte(variant(t, generation, period)), o.signer)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func (o *office) gauge(t *testing.T, name string) float64 {
	t.Helper()
	all, err := o.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// wantInForce compares table and ledger.
func (o *office) wantInForce(t *testing.T, what, period string) {
	t.Helper()
	policies, err := schema.ReadPolicy(t.Context(), o.conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if p.Class == schema.ClassUsage5m && p.Period != period {
			t.Errorf("%s: the table has %s in force, want %s", what, p.Period, period)
		}
	}
	f, ok := o.keeper.InForce()
	if r, _ := f.Rule(schema.ClassUsage5m); !ok || r.Period != period || len(policies) != len(schema.Classes) {
		t.Errorf("%s: the ledger has %q in force, want %s; %d classes in the table", what, r.Period, period, len(policies))
	}
}

// fullDisk is a store that takes nothing while it is full.
type fullDisk struct {
	driver.Conn
	full bool
}

func (f *fullDisk) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	if f.full {
		return nil, schema.ErrNoSpace
	}
	return f.Conn.PrepareBatch(ctx, query, opts...)
}

// TestTheStoreFollowsTheLedger: what the ledger has in force and the store does not, on
// a full disk or by somebody's hand, is in force in the store as soon as can be.
func TestTheStoreFollowsTheLedger(t *testing.T) {
	o := newOffice(t)
	o.lay(t, o.sign(t, 5, "P14D"))
	if err := o.desk.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	disk := &fullDisk{Conn: o.conn, full: true}
	o.desk.conn = disk
	o.lay(t, o.sign(t, 6, "P7D"))
	agree := func(want bool) {
		t.Helper()
		if agrees, err := o.keeper.Agrees(t.Context(), o.conn); err != nil || agrees != want {
			t.Errorf("Agrees = %t, %v; want %t", agrees, err, want)
		}
	}
	agree(true)
	if err := o.desk.Load(t.Context()); !errors.Is(err, schema.ErrNoSpace) {
		t.Fatalf("Load on a full disk = %v", err)
	}
	o.desk.look(t.Context())
	agree(false)
	if o.desk.Problem() == "" || o.gauge(t, "griffier_retention_policy_file_refused") != 1 {
		t.Errorf("problem %q while the disk is full", o.desk.Problem())
	}
	disk.full = false
	o.desk.look(t.Context())
	agree(true)
	o.wantInForce(t, "room again", "P7D")
	if o.desk.Problem() != "" || o.gauge(t, "griffier_retention_policy_file_refused") != 0 {
		t.Errorf("problem %q when there is room again", o.desk.Problem())
	}

	// A shorter period is taken on a full disk, with the room that is kept for that.
	o.keeper.Room = func() bool { was := disk.full; disk.full = false; return was }
	disk.full = true
	o.lay(t, o.sign(t, 7, "P6D"))
	if err := o.desk.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.wantInForce(t, "with the room that was kept", "P6D")

	// Somebody writes into the table.
	f, _ := o.keeper.InForce()
	other := f.Policies()
	for i := range other {
		other[i].Period = "P5D"
	}
	if err := schema.WritePolicy(t.Context(), o.conn, f.Jurisdiction, other); err != nil {
		t.Fatal(err)
	}
	agree(false)
	o.log.Reset()
	o.desk.look(t.Context())
	o.wantInForce(t, "by hand", "P6D")
	if !strings.Contains(o.log.String(), "level=WARN") {
		t.Errorf("nobody is told: %s", o.log)
	}
	o.log.Reset()
	o.desk.look(t.Context())
	if o.log.Len() > 0 || len(o.facts(t, KindPolicy)) != 3 {
		t.Errorf("a look that has nothing to do: %s, %d policies", o.log, len(o.facts(t, KindPolicy)))
	}
}

// TestWhatCannotBeTakenChangesNothing lays every kind of bad file on the desk,
// while griffierd runs and when it starts.
func TestWhatCannotBeTakenChangesNothing(t *testing.T) {
	o := newOffice(t)
	// Without a policy in force a bad file is an error of the start.
	o.lay(t, []byte(variant(t, 1, "P14D")))
	if err := o.desk.Start(t.Context()); !errors.As(err, new(*signedfile.FileError)) || !strings.Contains(err.Error(), o.path) {
		t.Fatalf("first start with an unsigned file: %v", err)
	}
	if n := len(o.facts(t, KindPolicy)); n != 0 {
		t.Errorf("%d policies in the ledger, want none", n)
	}
	good := o.sign(t, 5, "P14D")
	o.lay(t, good)
	if err := o.desk.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.wantInForce(t, "first", "P14D")
	if o.desk.Problem() != "" || o.gauge(t, "griffier_retention_policy_generation") != 5 || o.gauge(t, "griffier_retention_policy_file_refused") != 0 {
		t.Errorf("after the start: problem %q, generation %v", o.desk.Problem(), o.gauge(t, "griffier_retention_policy_generation"))
	}
	impostor, _ := testKey(t, "test.example/lawyer")
	forged, err := Sign([]byte(variant(t, 6, "P1D")), impostor)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"unsigned":     {[]byte(variant(t, 6, "P7D")), "no trusted key signed it"},
		"forged":       {forged, "no trusted key signed it"},
		"edited":       {bytes.Replace(good, []byte("P14D"), []byte("P10D"), 1), "is not of this text"},
		"empty":        {nil, "is empty"},
		"cut short":    {good[:len(good)/2], "is missing"},
		"no longer":    {o.sign(t, 4, "P7D"), "generation 4 and generation 5 is in force"},
		"same number":  {o.sign(t, 5, "P7D"), "generation 5 and generation 5 is in force"},
		"lengthens":    {o.sign(t, 6, "P15D"), "it lengthens [usage_5m]"},
		"unlawful":     {signed(t, strings.Replace(variant(t, 6, "P14D"), "P6M", "P9M", 1), o.signer), "longer than lawful"},
		"a megabyte":   {append(bytes.Clone(good), bytes.Repeat([]byte("#\n"), 1<<19)...), "longer than"},
		"not there":    {nil, "no such file"},
		"unknown":      {signed(t, strings.Replace(variant(t, 6, "P7D"), "class: coverage", "class: cover", 1), o.signer), `class "cover": unknown class`},
		"another zone": {signed(t, strings.Replace(variant(t, 6, "P7D"), "Europe/Amsterdam", "UTC", 1), o.signer), "it lengthens"},
	} {
		o.lay(t, c.file)
		if name == "not there" {
			os.Remove(o.path)
		}
		o.log.Reset()
		if err := o.desk.Load(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		o.wantInForce(t, name, "P14D")
		// It does not keep griffierd from starting, with the old one, loudly.
		o.restart(t)
		if err := o.desk.Start(t.Context()); err != nil {
			t.Errorf("%s: start: %v", name, err)
		}
		o.wantInForce(t, name+", restarted", "P14D")
		if !strings.Contains(o.desk.Problem(), c.want) || o.gauge(t, "griffier_retention_policy_file_refused") != 1 ||
			!strings.Contains(o.log.String(), "level=ERROR") || !strings.Contains(o.log.String(), "the policy in force stays in force") {
			t.Errorf("%s: problem %q, metric %v, log %s", name, o.desk.Problem(), o.gauge(t, "griffier_retention_policy_file_refused"), o.log)
		}
		if n := len(o.facts(t, KindPolicy)); n != 1 {
			t.Errorf("%s: %d policies in the ledger, want one", name, n)
		}
	}
	// A good file ends it.
	o.lay(t, o.sign(t, 6, "P7D"))
	if err := o.desk.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.wantInForce(t, "shortened", "P7D")
	if o.desk.Problem() != "" || o.gauge(t, "griffier_retention_policy_file_refused") != 0 || o.gauge(t, "griffier_retention_policy_generation") != 6 {
		t.Errorf("after a good file: problem %q", o.desk.Problem())
	}
}
