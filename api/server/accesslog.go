package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// KindAccessDigest is the ledger entry that seals one closed hour of the access log.
const KindAccessDigest = "access_log.digest"

// AccessLog records customers' reads of their own data in the store, since they
// are too many for the ledger, and seals each closed hour with one ledger entry:
// the count and the SHA-256 over the hour's rows in the order of their key. It
// is a fold over the ledger, to know what is sealed, and safe for concurrent use.
type AccessLog struct {
	conn driver.Conn
	now  func() time.Time

	mu     sync.Mutex
	sealed time.Time // hours before this one are sealed
}

// NewAccessLog returns the access log in the store.
func NewAccessLog(conn driver.Conn, now func() time.Time) *AccessLog {
	return &AccessLog{conn: conn, now: now, sealed: time.Unix(0, 0).UTC()}
}

type digestFacts struct {
	Hour   time.Time `json:"hour"`
	Count  uint64    `json:"count"`
	SHA256 string    `json:"sha256"`
}

// Apply implements [ledger.Fold].
func (a *AccessLog) Apply(e ledger.Entry) error {
	if e.Header.Kind != KindAccessDigest {
		return nil
	}
	var f digestFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, KindAccessDigest, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if end := f.Hour.Add(time.Hour); end.After(a.sealed) {
		a.sealed = end
	}
	return nil
}

// Record implements selfReads. It returns once the row is durable.
func (a *AccessLog) Record(ctx context.Context, at time.Time, actor, role, method string) error {
	row := &schema.AccessLogEntry{
		HappenedAt: at.UTC().Truncate(time.Millisecond), Actor: actor, Role: role, Action: method, Outcome: "admitted",
	}
	rand.Read(row.EntryID[:])
	if err := schema.Insert(ctx, a.conn, row.EntryID.String(), []schema.Record{row}); err != nil {
		return fmt.Errorf("access log: %w", err)
	}
	return nil
}

// settle is how long after the end of an hour it is sealed: longer than any
// call may take to write its row.
const settle = 2 * time.Minute

// Seal appends the digest of every closed hour that has rows and none yet, each
// minute until ctx ends. A failure is logged and tried again.
func (a *AccessLog) Seal(ctx context.Context, b book, log *slog.Logger) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := a.sealClosed(ctx, b); err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelError, "access log not sealed", slog.String("error", operations(err)))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *AccessLog) sealClosed(ctx context.Context, b book) error {
	a.mu.Lock()
	from := a.sealed
	a.mu.Unlock()
	until := a.now().Add(-settle).UTC().Truncate(time.Hour)
	rows, err := a.conn.Query(ctx, `SELECT toStartOfHour(happened_at) AS hour FROM traffic.access_log_entry
		WHERE happened_at >= {from:DateTime64(3)} AND happened_at < {until:DateTime64(3)} GROUP BY hour ORDER BY hour`,
		millis("from", from), millis("until", until))
	if err != nil {
		return fmt.Errorf("closed hours: %w", err)
	}
	var hours []time.Time
	for rows.Next() {
		var h time.Time
		if err := rows.Scan(&h); err != nil {
			rows.Close()
			return fmt.Errorf("closed hours: %w", err)
		}
		hours = append(hours, h.UTC())
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return fmt.Errorf("closed hours: %w", err)
	}
	for _, hour := range hours {
		f, err := a.digest(ctx, hour)
		if err != nil {
			return err
		}
		if _, err := b.Append(ctx, ledger.Draft{Kind: KindAccessDigest, Role: "system", Facts: f}); err != nil {
			return fmt.Errorf("seal hour: %w", err)
		}
	}
	return nil
}

// digest hashes an hour's rows. It reads the base table: what expired within
// the hour still counts in its seal.
func (a *AccessLog) digest(ctx context.Context, hour time.Time) (digestFacts, error) {
	rows, err := a.conn.Query(ctx, `SELECT hex(entry_id), toUnixTimestamp64Milli(happened_at), actor, role, action, outcome
		FROM traffic.access_log_entry FINAL
		WHERE happened_at >= {from:DateTime64(3)} AND happened_at < {until:DateTime64(3)} ORDER BY happened_at, entry_id`,
		millis("from", hour), millis("until", hour.Add(time.Hour)))
	if err != nil {
		return digestFacts{}, fmt.Errorf("digest hour: %w", err)
	}
	defer rows.Close()
	f, sum := digestFacts{Hour: hour}, sha256.New()
	for rows.Next() {
		var id, actor, role, action, outcome string
		var at int64
		if err := rows.Scan(&id, &at, &actor, &role, &action, &outcome); err != nil {
			return digestFacts{}, fmt.Errorf("digest hour: %w", err)
		}
		fmt.Fprintf(sum, "%s\t%d\t%s\t%s\t%s\t%s\n", id, at, actor, role, action, outcome)
		f.Count++
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, rows.Err()
}

func millis(name string, t time.Time) any {
	return clickhouse.DateNamed(name, t.UTC(), clickhouse.MilliSeconds)
}
