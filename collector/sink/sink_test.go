package sink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"griffier/collector/spool"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
	"griffier/schema/schematest"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleEnv); role {
	case "engine":
		os.Exit(serveEngine(os.Getenv(folderEnv)))
	case "collector":
		os.Exit(collectUntilKilled(os.Getenv(folderEnv)))
	}
	goleak.VerifyTestMain(m)
}

// day is when the tests' rows were made.
var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// usage is row n, told by its bytes.
func usage(n uint64) *schema.Usage {
	bucket := day.Add(time.Duration(n%288) * schema.BucketLength)
	return &schema.Usage{
		AccessRef: schema.AccessRef{0xa1, 0xb2, 0xc3}, CounterID: schema.ID{9}, CollectorID: "edge1",
		BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket.Add(time.Duration(n) * time.Millisecond),
		Direction: schema.Down, IPVersion: 6, Bytes: n, Packets: 1, CumulativeBytes: n, CumulativePackets: 1,
	}
}

func usages(from, to uint64) (out []schema.Record) {
	for n := from; n < to; n++ {
		out = append(out, usage(n))
	}
	return out
}

// one of each other kind.
func others() []schema.Record {
	return []schema.Record{
		&schema.Session{SessionID: schema.ID{1}, AccessRef: schema.AccessRef{2}, SessionStartedAt: day, StartedAt: day, EndedAt: day.Add(time.Hour),
			Version: 1, EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "bras1", CollectorID: "edge1"},
		&schema.Assignment{AssignmentID: schema.ID{3}, SessionID: schema.ID{1}, AccessRef: schema.AccessRef{2}, Prefix: netip.MustParsePrefix("192.0.2.9/32"),
			PortEnd: 65535, AssignmentStartedAt: day, StartedAt: day, EndedAt: day.Add(time.Hour), Version: 1, EndCause: schema.EndRelease,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"},
		&schema.Coverage{CoverageID: schema.ID{4}, CollectorID: "edge1", State: schema.Covered, StartedAt: day, EndedAt: day.Add(time.Hour), Version: 1, BootID: "b"},
	}
}

// rig is a spool, a store and a sink between them.
type rig struct {
	spool      *spool.Spool
	sink       *Sink
	registry   *prometheus.Registry
	logs       *lockedBuffer
	quarantine string
	socket     string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T, cfg spool.Config, socket string) *rig {
	t.Helper()
	cfg.Dir = filepath.Join(t.TempDir(), "spool")
	s, err := spool.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := &rig{spool: s, registry: prometheus.NewRegistry(), logs: &lockedBuffer{}, quarantine: filepath.Join(t.TempDir(), "quarantine"), socket: socket}
	r.sink, err = New(Config{
		Spool: s, Store: schema.Config{Socket: socket}, QuarantineDir: r.quarantine, Registerer: r.registry,
		Logger: slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Gather: time.Millisecond, InsertTimeout: 2 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the sink until the test ends or stop is called.
func (r *rig) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.sink.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (r *rig) append(t *testing.T, records ...schema.Record) {
	t.Helper()
	if err := r.spool.Append(t.Context(), spool.Batch{Records: records}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) waitEmpty(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); r.spool.Stats().PendingRows > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the spool does not empty: %+v\n%s", r.spool.Stats(), r.logs)
		}
	}
}

func newStore(t *testing.T) (driver.Conn, string) {
	t.Helper()
	d := schematest.Start(t)
	return openStore(t, d.Socket), d.Socket
}

func openStore(t *testing.T, socket string) driver.Conn {
	t.Helper()
	conn, err := schema.Open(t.Context(), schema.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	return conn
}

func count(t *testing.T, conn driver.Conn, query string) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func exec(t *testing.T, conn driver.Conn, statement string) {
	t.Helper()
	if err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func TestCarriesEveryKind(t *testing.T) {
	conn, socket := newStore(t)
	r := newRig(t, spool.Config{BlockRows: 100}, socket)
	r.append(t, append(others(), usages(1, 500)...)...)
	r.run(t)
	r.waitEmpty(t)
	for table, want := range map[string]uint64{"session_slice": 1, "assignment_slice": 1, "usage_bucket": 499, "coverage_slice": 1} {
		if got := count(t, conn, "SELECT count() FROM traffic."+table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
	if got := testutil.ToFloat64(r.sink.metrics.inserted.WithLabelValues("usage")); got != 499 {
		t.Errorf("inserted_rows_total{kind=usage} %v, want 499", got)
	}
	problems, err := testutil.GatherAndLint(r.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	r.append(t, usages(500, 501)...) // the sink waits for more
	r.waitEmpty(t)
	if got := count(t, conn, "SELECT sum(bytes) FROM traffic.usage_bucket"); got != 500*501/2 {
		t.Errorf("sum of bytes %d, want %d", got, 500*501/2)
	}
}

// TestInvalidRecords puts rows that can never be stored among others: they go
// to the side file, the others to the store.
func TestInvalidRecords(t *testing.T) {
	conn, socket := newStore(t)
	r := newRig(t, spool.Config{}, socket)
	badVersion, farFuture := usage(7_000_001), usage(7_000_002)
	badVersion.IPVersion = 5
	farFuture.SampledAt = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) // no JSON form either
	r.append(t, usage(1), badVersion, usage(2), farFuture, usage(3))
	r.run(t)
	r.waitEmpty(t)
	if got := count(t, conn, "SELECT sum(bytes) FROM traffic.usage_bucket"); got != 6 {
		t.Errorf("sum of bytes %d, want that of the three good rows, 6", got)
	}
	path := r.quarantineFile(t)
	h, records, err := readQuarantine(path)
	if err != nil || h.Reason != quarantineInvalid || len(records) != 2 ||
		*records[0].(*schema.Usage) != *badVersion || *records[1].(*schema.Usage) != *farFuture {
		t.Errorf("quarantine: %+v, %d rows, %v, want the two bad rows", h, len(records), err)
	}
	if got := testutil.ToFloat64(r.sink.metrics.quarantined.WithLabelValues(quarantineInvalid)); got != 2 {
		t.Errorf("quarantined_rows_total %v, want 2", got)
	}
	r.checkLogs(t, "7000001", "7000002")
}

func (r *rig) quarantineFile(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(r.quarantine)
	if err != nil || len(entries) != 1 {
		t.Fatalf("quarantine folder: %d files, %v, want 1", len(entries), err)
	}
	path := filepath.Join(r.quarantine, entries[0].Name())
	for p, want := range map[string]os.FileMode{r.quarantine: 0o700, path: 0o600} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %o", p, info.Mode(), err, want)
		}
	}
	return path
}

// checkLogs wants the loud line, and none of the rows' content.
func (r *rig) checkLogs(t *testing.T, content ...string) {
	t.Helper()
	logs := r.logs.String()
	if !strings.Contains(logs, `"level":"ERROR","msg":"rows quarantined"`) {
		t.Errorf("nothing loud in the log:\n%s", logs)
	}
	for _, c := range append(content, usage(0).AccessRef.String()) {
		if strings.Contains(logs, c) {
			t.Errorf("the log holds %q of a row:\n%s", c, logs)
		}
	}
}

// TestRefusedByStore lets the real store refuse a block by a constraint that
// schema.Validate does not know: the block goes aside after a few attempts,
// what follows is stored, and once the cause is mended the block goes in too.
func TestRefusedByStore(t *testing.T) {
	conn, socket := newStore(t)
	exec(t, conn, "ALTER TABLE traffic.usage_bucket ADD CONSTRAINT small CHECK toUInt64(bitShiftRight(byte_readings, 64)) - toUInt64(byte_readings) < 1000")
	r := newRig(t, spool.Config{BlockRows: 2}, socket)
	r.append(t, usage(1), usage(7_000_003), usage(2), usage(3))
	r.run(t)
	r.waitEmpty(t)
	if got := count(t, conn, "SELECT sum(bytes) FROM traffic.usage_bucket"); got != 5 {
		t.Errorf("sum of bytes %d, want that of the second block, 5", got)
	}
	if got := testutil.ToFloat64(r.sink.metrics.retries.WithLabelValues(retryContent)); got != contentAttempts-1 {
		t.Errorf("sink_retries_total{reason=content} %v, want %d", got, contentAttempts-1)
	}
	path := r.quarantineFile(t)
	if h, _, err := readQuarantine(path); err != nil || h.Code != 469 || h.Reason != quarantineRefused {
		t.Errorf("quarantine: %+v, %v, want VIOLATED_CONSTRAINT", h, err)
	}
	r.checkLogs(t, "7000003")

	exec(t, conn, "ALTER TABLE traffic.usage_bucket DROP CONSTRAINT small")
	if n, err := Requeue(t.Context(), path, r.spool); err != nil || n != 2 {
		t.Errorf("Requeue: %d, %v, want 2", n, err)
	}
	r.waitEmpty(t)
	if got := count(t, conn, "SELECT sum(bytes) FROM traffic.usage_bucket"); got != 7_000_009 {
		t.Errorf("sum of bytes %d, want 7000009", got)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestInsertedButNotAcknowledged dies, in effect, between the store's answer
// and the spool's: the rows go again, after more have come, and are there once.
func TestInsertedButNotAcknowledged(t *testing.T) {
	conn, socket := newStore(t)
	neverMerge(t, conn)
	r := newRig(t, spool.Config{BlockRows: 10}, socket)
	r.append(t, append(others(), usages(0, 3)...)...)
	block, err := r.spool.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Insert(t.Context(), conn, block.Token, block.Records); err != nil {
		t.Fatal(err)
	}
	r.append(t, usages(3, 30)...)
	r.run(t)
	r.waitEmpty(t)
	for table, want := range map[string]uint64{"session_slice": 1, "assignment_slice": 1, "usage_bucket": 30, "coverage_slice": 1} {
		if got := count(t, conn, "SELECT count() FROM traffic."+table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
}

// neverMerge keeps a row that arrived twice visible: a merge would hide it,
// since its keys are the same.
func neverMerge(t *testing.T, conn driver.Conn) {
	t.Helper()
	for _, table := range []string{"session_slice", "assignment_slice", "usage_bucket", "coverage_slice"} {
		exec(t, conn, "ALTER TABLE traffic."+table+" MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")
	}
}

// TestStoreNotMigrated waits for a store that has no tables yet.
func TestStoreNotMigrated(t *testing.T) {
	d := enginetest.Start(t)
	r := newRig(t, spool.Config{}, d.Socket)
	r.append(t, usages(1, 4)...)
	r.run(t)
	r.waitRetry(t, retryException)
	conn := openStore(t, d.Socket)
	r.waitEmpty(t)
	if got := count(t, conn, "SELECT count() FROM traffic.usage_bucket"); got != 3 {
		t.Errorf("%d rows, want 3", got)
	}
}

func (r *rig) waitRetry(t *testing.T, reason string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); testutil.ToFloat64(r.sink.metrics.retries.WithLabelValues(reason)) < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no retries for reason %s\n%s", reason, r.logs)
		}
	}
}

// TestStoreDown fills the spool while there is no store: the full spool pushes
// back, the lag grows, and once a store comes all that was accepted is there.
func TestStoreDown(t *testing.T) {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "engine.sock")
	r := newRig(t, spool.Config{MaxBytes: 16 << 10, SegmentBytes: 4 << 10}, socket)
	r.run(t)
	var accepted uint64
	for {
		err := r.spool.Append(t.Context(), spool.Batch{Records: usages(accepted, accepted+1)})
		if errors.Is(err, spool.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		accepted++
	}
	r.waitRetry(t, retryConnect)
	gauges, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gauges {
		if strings.HasSuffix(g.GetName(), "sink_lag_seconds") || strings.HasSuffix(g.GetName(), "spool_pending_bytes") {
			if v := g.GetMetric()[0].GetGauge().GetValue(); v <= 0 {
				t.Errorf("%s is %v while the store is down", g.GetName(), v)
			}
		}
	}
	e := startEngine(t, dir)
	conn := openStore(t, e.socket)
	r.waitEmpty(t)
	if err := r.spool.Checkpoint(t.Context(), nil); err != nil {
		t.Errorf("Checkpoint: %v", err)
	}
	r.append(t, usages(accepted, accepted+1)...)
	r.waitEmpty(t)
	if got := count(t, conn, "SELECT uniqExact(bytes) FROM traffic.usage_bucket"); got != accepted+1 {
		t.Errorf("%d rows, want the %d accepted", got, accepted+1)
	}
}

func TestStopsWhileStoreIsDown(t *testing.T) {
	r := newRig(t, spool.Config{}, filepath.Join(t.TempDir(), "none.sock"))
	r.append(t, usages(0, 1)...)
	stop := r.run(t)
	r.waitRetry(t, retryConnect)
	stop()
	if b, err := r.spool.Next(t.Context()); err != nil || len(b.Records) != 1 {
		t.Errorf("the block after Run: %d rows, %v, want it still there", len(b.Records), err)
	}
}

func TestRunEndsWithTheSpool(t *testing.T) {
	r := newRig(t, spool.Config{}, filepath.Join(t.TempDir(), "none.sock"))
	r.spool.Close()
	if err := r.sink.Run(t.Context()); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Run: %v, want ErrClosed", err)
	}
}

func TestNewRefuses(t *testing.T) {
	s, err := spool.Open(spool.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	good := Config{Spool: s, Store: schema.Config{Socket: "s"}, QuarantineDir: "q", Registerer: prometheus.NewRegistry()}
	for name, spoil := range map[string]func(*Config){
		"no spool":      func(c *Config) { c.Spool = nil },
		"no quarantine": func(c *Config) { c.QuarantineDir = "" },
		"no registry":   func(c *Config) { c.Registerer = nil },
		"no store":      func(c *Config) { c.Store = schema.Config{} },
		"two stores":    func(c *Config) { c.Store.DSN = "clickhouse://h" },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	if _, err := New(good); err == nil {
		t.Error("a second sink on one registry: accepted")
	}
}
