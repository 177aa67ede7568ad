package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/spool"
	"griffier/schema"
)

// Bounds of the wait before an attempt is made again.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 30 * time.Second
)

// contentAttempts is how often the store must refuse a block's content in a row
// before it is believed.
const contentAttempts = 3

// pinned are the settings that an answer to an insert rests on, whatever the DSN or
// the server's profile says: it means that the rows are on disk, of all shards, and
// that they are recognised, also by views fed from the table, if they come again.
var pinned = map[string]any{
	"async_insert":                  0,
	"insert_deduplicate":            1,
	"distributed_foreground_insert": 1,
	"deduplicate_blocks_in_dependent_materialized_views": 1,
}

// Config says what a sink reads and where it writes. Spool, Store,
// QuarantineDir and Registerer are required.
type Config struct {
	Spool *spool.Spool
	Store schema.Config
	// QuarantineDir takes the rows that the store can never take. It is made
	// with mode 0700 when first needed.
	QuarantineDir string
	Registerer    prometheus.Registerer
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Gather is how long rows gather between blocks when few come, so that the
	// store is not given a thousand tiny ones. Default 1 s.
	Gather time.Duration
	// InsertTimeout bounds one attempt. Default 1 min.
	InsertTimeout time.Duration
	// Now and Jitter (in [0,1)) default to the clock and to chance.
	Now    func() time.Time
	Jitter func() float64
}

// Sink carries blocks from one spool to one store.
type Sink struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	conn    driver.Conn // nil until the store has answered once
}

// New checks the configuration and registers the metrics. It does not touch
// the store.
func New(cfg Config) (*Sink, error) {
	if cfg.Spool == nil || cfg.QuarantineDir == "" || cfg.Registerer == nil {
		return nil, errors.New("sink: spool, quarantine folder and metrics registry are required")
	}
	if (cfg.Store.Socket == "") == (cfg.Store.DSN == "") {
		return nil, errors.New("sink: store: want either a socket or a DSN")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Gather == 0 {
		cfg.Gather = time.Second
	}
	if cfg.InsertTimeout == 0 {
		cfg.InsertTimeout = time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	settings := maps.Clone(cfg.Store.Settings)
	if settings == nil {
		settings = map[string]any{}
	}
	maps.Copy(settings, pinned)
	cfg.Store.Settings = settings
	s := &Sink{cfg: cfg, log: cfg.Logger}
	s.metrics = s.newMetrics()
	if err := s.metrics.register(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return s, nil
}

// Run carries blocks until ctx ends, which is not an error, or the spool is
// closed, which is. A block under way when ctx ends is left unacknowledged and
// goes again, under its token, next time. Run is called once.
func (s *Sink) Run(ctx context.Context) error {
	defer func() {
		if s.conn != nil {
			s.conn.Close()
		}
	}()
	for failures := 0; ; {
		block, err := s.cfg.Spool.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, spool.ErrClosed):
			return fmt.Errorf("sink: %w", err)
		case err != nil:
			s.wait(ctx, &failures, retrySpool, err)
			continue
		}
		failures = 0
		if !s.carry(ctx, block) {
			return nil
		}
		if !block.More {
			s.sleep(ctx, s.cfg.Gather)
		}
	}
}

// carry brings one block to the store and acknowledges it, however long that
// takes. It returns false if ctx ended first.
func (s *Sink) carry(ctx context.Context, block spool.Block) bool {
	good, bad := divide(block.Records)
	if !s.try(ctx, func() (string, error) {
		return retrySideFile, s.quarantine(block.Token, quarantineInvalid, 0, bad)
	}) {
		return false
	}
	if !s.deliver(ctx, block.Token, good) {
		return false
	}
	return s.try(ctx, func() (string, error) { return retrySpool, s.cfg.Spool.Ack(block.Token) })
}

// divide separates the rows that the store can hold from those it cannot. It is
// a function of the rows alone, so that a repeated block is divided likewise.
func divide(records []schema.Record) (good, bad []schema.Record) {
	for _, r := range records {
		if schema.Validate(r) == nil {
			good = append(good, r)
		} else {
			bad = append(bad, r)
		}
	}
	return good, bad
}

// deliver inserts rows under token, or quarantines them if the store refuses
// their content again and again. It returns false if ctx ended first.
func (s *Sink) deliver(ctx context.Context, token string, records []schema.Record) bool {
	if len(records) == 0 {
		return true
	}
	refused := 0
	var last error
	delivered := s.try(ctx, func() (string, error) {
		err := s.insert(ctx, token, records)
		if err == nil {
			return "", nil
		}
		reason := classify(err)
		if reason != retryContent {
			refused = 0
			return reason, err
		}
		if refused++; refused < contentAttempts {
			return reason, err
		}
		last = err
		return "", nil
	})
	if !delivered || last == nil {
		return delivered
	}
	var code int32
	var exception *clickhouse.Exception
	if errors.As(last, &exception) {
		code = exception.Code
	}
	return s.try(ctx, func() (string, error) {
		return retrySideFile, s.quarantine(token, quarantineRefused, code, records)
	})
}

func (s *Sink) insert(ctx context.Context, token string, records []schema.Record) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	if s.conn == nil {
		conn, err := schema.Open(ctx, s.cfg.Store)
		if err != nil {
			return err
		}
		s.conn = conn
	}
	started := s.cfg.Now()
	if err := schema.Insert(ctx, s.conn, token, records); err != nil {
		return err
	}
	took := s.cfg.Now().Sub(started)
	s.metrics.seconds.Observe(took.Seconds())
	for _, r := range records {
		s.metrics.inserted.WithLabelValues(string(r.Kind())).Inc()
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "block inserted", slog.String("token", token), slog.Int("rows", len(records)), slog.Duration("took", took))
	return nil
}

// quarantine moves rows aside, durably and loudly. Without rows it does nothing.
func (s *Sink) quarantine(token, reason string, code int32, records []schema.Record) error {
	if len(records) == 0 {
		return nil
	}
	h := quarantineHeader{Token: token, Reason: reason, Code: code, At: s.cfg.Now().UTC()}
	if err := writeQuarantine(s.cfg.QuarantineDir, h, records); err != nil {
		return err
	}
	s.metrics.quarantined.WithLabelValues(reason).Add(float64(len(records)))
	s.log.LogAttrs(context.Background(), slog.LevelError, "rows quarantined", slog.String("token", token), slog.String("reason", reason),
		slog.Int("clickhouse_code", int(code)), slog.Int("rows", len(records)), slog.String("folder", s.cfg.QuarantineDir))
	return nil
}

// try calls attempt until it returns no error, waiting ever longer in between.
// It returns false if ctx ended first.
func (s *Sink) try(ctx context.Context, attempt func() (reason string, err error)) bool {
	for failures := 0; ; {
		reason, err := attempt()
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case !s.wait(ctx, &failures, reason, err):
			return false
		}
	}
}

// wait counts and logs a failure and waits before the next attempt.
func (s *Sink) wait(ctx context.Context, failures *int, reason string, err error) bool {
	pause := backoff(*failures, s.cfg.Jitter())
	*failures++
	s.metrics.retries.WithLabelValues(reason).Inc()
	level := slog.LevelWarn
	if reason == retrySpool || reason == retrySideFile {
		level = slog.LevelError // this host's own disk
	}
	text := describe(err)
	var path *os.PathError
	if level == slog.LevelError && errors.As(err, &path) {
		text = path.Error()
	}
	s.log.LogAttrs(ctx, level, "sink waits", slog.String("reason", reason), slog.String("error", text),
		slog.Int("failures", *failures), slog.Duration("pause", pause))
	return s.sleep(ctx, pause)
}

// backoff is the wait after failures earlier ones: doubling from retryFirst to
// retryMost, of which jitter in [0,1) takes away up to half.
func backoff(failures int, jitter float64) time.Duration {
	d := retryMost
	if failures < 20 {
		d = min(retryMost, retryFirst<<failures)
	}
	return d - time.Duration(jitter*float64(d)/2)
}

func (s *Sink) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
