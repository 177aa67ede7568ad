package statistics

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// KindReleased is the ledger's entry of a published day.
const KindReleased = "statistics.released"

// DefaultDelay is how long after its end a day is published: what a collector
// has to deliver late is there by then, and later is left out.
const DefaultDelay = 48 * time.Hour

// interval is how often the job looks for a day to publish.
const interval = time.Hour

// Hour is what is published of one hour: a partition of the network, or no cell
// at all when even the whole network is too small.
type Hour struct {
	StartedAt time.Time
	Cells     []Cell
}

// book is the part of the ledger that a release needs ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// trust tells whether a time can be believed ([clock.Leap]).
type trust interface{ Check(t time.Time) error }

// releasedFacts is what the ledger keeps of a day.
type releasedFacts struct {
	Day      string `json:"day"` // UTC, as 2026-11-20
	MinLines uint64 `json:"min_lines"`
	Cells    int    `json:"cells"`
	Withheld int    `json:"withheld_hours"` // hours with traffic of which nothing could be published
	SHA256   string `json:"sha256"`         // of the published rows
}

// Releases knows which days were published: a fold over the ledger. Its methods
// are safe for concurrent use.
type Releases struct {
	mu   sync.Mutex
	days map[string]bool
}

// Apply implements [ledger.Fold].
func (r *Releases) Apply(e ledger.Entry) error {
	if e.Header.Kind != KindReleased {
		return nil
	}
	var f releasedFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, KindReleased, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.days == nil {
		r.days = map[string]bool{}
	}
	r.days[f.Day] = true
	return nil
}

func (r *Releases) has(day time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.days[day.Format(time.DateOnly)]
}

// Publisher publishes each UTC day once, [Publisher.Delay] after its end.
type Publisher struct {
	Store    *Store
	Book     book
	Releases *Releases
	MinLines uint64        // at least [MinLines]
	Delay    time.Duration // 0: [DefaultDelay]
	// Clock is asked first, since what is published once is never made anew; nil: every
	// time is believed.
	Clock trust
	Now   func() time.Time
	Log   *slog.Logger
}

// Run publishes what is due, now and every hour, until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := p.Once(ctx); err != nil && ctx.Err() == nil {
			p.Log.LogAttrs(ctx, slog.LevelError, "statistics not published", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Once publishes every day that is due, was not published, and is still wholly
// readable. It stops at the first error; what it has published stays.
func (p *Publisher) Once(ctx context.Context) error {
	delay := p.Delay
	if delay == 0 {
		delay = DefaultDelay
	}
	now := p.Now().UTC()
	if p.Clock != nil {
		if err := p.Clock.Check(now); err != nil {
			return fmt.Errorf("statistics: %w", err)
		}
	}
	from, err := p.Store.wholeFrom(ctx, now)
	if err != nil {
		return err
	}
	for day1 := from; !day1.Add(day + delay).After(now); day1 = day1.Add(day) {
		if p.Releases.has(day1) {
			continue
		}
		if err := p.publish(ctx, day1, now); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes one day: rows first, as one block, and the ledger's entry
// after. Rows without an entry are what a crash left; they are entered as they
// are and never made anew, since late data may have come since.
func (p *Publisher) publish(ctx context.Context, start, now time.Time) error {
	hours, found, err := p.Store.published(ctx, start)
	if err != nil {
		return err
	}
	withheld := 0
	if !found {
		cells, err := p.Store.cells(ctx, start)
		if err != nil {
			return err
		}
		if len(cells) == 0 {
			return nil // looked at again, while it is readable: what was never published can still be
		}
		for at := start; at.Before(start.Add(day)); at = at.Add(time.Hour) {
			merged := Merge(cells[at], p.Store.segments.Region, max(p.MinLines, MinLines))
			if len(merged) == 0 {
				continue
			}
			h := Hour{StartedAt: at}
			for _, c := range merged {
				h.Cells = append(h.Cells, c.rounded())
			}
			hours = append(hours, h)
		}
		withheld = len(cells) - len(hours)
		if err := p.Store.put(ctx, start, hours, now); err != nil {
			return err
		}
	}
	text, err := json.Marshal(hours)
	if err != nil {
		return fmt.Errorf("statistics: %w", err)
	}
	sum := sha256.Sum256(text)
	facts := releasedFacts{Day: start.Format(time.DateOnly), MinLines: max(p.MinLines, MinLines), Withheld: withheld, SHA256: hex.EncodeToString(sum[:])}
	for _, h := range hours {
		facts.Cells += len(h.Cells)
	}
	if _, err := p.Book.Append(ctx, ledger.Draft{Kind: KindReleased, Role: "system", Facts: facts}); err != nil {
		return fmt.Errorf("statistics: enter the release: %w", err)
	}
	return nil
}

// wholeFrom returns the first UTC day of which no usage can have expired.
func (s *Store) wholeFrom(ctx context.Context, now time.Time) (time.Time, error) {
	limits, _, err := schema.Limits(ctx, s.conn)
	if err != nil {
		return time.Time{}, fmt.Errorf("statistics: %w", err)
	}
	from := now // without a policy nothing is readable
	if limit := limits[schema.ClassUsage5m]; limit.Present {
		if from, err = limit.Policy.ReadableFrom(now); err != nil {
			return time.Time{}, fmt.Errorf("statistics: %w", err)
		}
		if limit.ReadableFrom.After(from) { // by the store's own time, or under an earlier policy
			from = limit.ReadableFrom
		}
	}
	return from.UTC().Truncate(day).Add(day), nil
}

// put stores a day as one block, which is there whole or not at all.
func (s *Store) put(ctx context.Context, start time.Time, hours []Hour, now time.Time) error {
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO statistics.segment_hour (day, hour, segments, lines, bytes_up, bytes_down, packets_up, packets_down, released_at)")
	if err != nil {
		return fmt.Errorf("statistics: store: %w", err)
	}
	defer batch.Close()
	add := func(hour time.Time, c Cell) error {
		return batch.Append(start, hour, c.Segments, c.Lines, c.BytesUp, c.BytesDown, c.PacketsUp, c.PacketsDown, now)
	}
	if err := add(start, Cell{}); err != nil {
		return fmt.Errorf("statistics: store: %w", err)
	}
	for _, h := range hours {
		for _, c := range h.Cells {
			if err := add(h.StartedAt, c); err != nil {
				return fmt.Errorf("statistics: store: %w", err)
			}
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("statistics: store: %w", err)
	}
	return nil
}

// published returns what was published of the UTC day that starts at start, and
// whether it was.
func (s *Store) published(ctx context.Context, start time.Time) (hours []Hour, found bool, err error) {
	hours, err = s.read(ctx, start, start.Add(day), func() { found = true })
	return hours, found, err
}

// ErrTooMany is returned for hours with more cells than were asked for.
var ErrTooMany = errors.New("statistics: too many cells")

// Hours returns what was published of the hours that start in [start, end),
// oldest first, if that is most cells or fewer. An hour of which nothing was published
// is absent. Error: [ErrTooMany].
func (s *Store) Hours(ctx context.Context, start, end time.Time, most uint64) ([]Hour, error) {
	var cells uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM statistics.segment_hour WHERE "+started, instant("start", start), instant("end", end)).Scan(&cells); err != nil {
		return nil, fmt.Errorf("statistics: read: %w", err)
	}
	if cells > most {
		return nil, ErrTooMany
	}
	return s.read(ctx, start, end, func() {})
}

// started are the hours that start in [start, end).
const started = "day >= toDate({start:DateTime64(3)}, 'UTC') AND hour >= {start:DateTime64(3)} AND hour < {end:DateTime64(3)}"

func (s *Store) read(ctx context.Context, start, end time.Time, day func()) (hours []Hour, err error) {
	rows, err := s.conn.Query(ctx, `SELECT hour, segments, lines, bytes_up, bytes_down, packets_up, packets_down FROM statistics.segment_hour
		WHERE `+started+` ORDER BY hour, segments`, instant("start", start), instant("end", end))
	if err != nil {
		return nil, fmt.Errorf("statistics: read: %w", err)
	}
	defer func(rows driver.Rows) { rows.Close() }(rows)
	for rows.Next() {
		var at time.Time
		var c Cell
		if err := rows.Scan(&at, &c.Segments, &c.Lines, &c.BytesUp, &c.BytesDown, &c.PacketsUp, &c.PacketsDown); err != nil {
			return nil, fmt.Errorf("statistics: read: %w", err)
		}
		at = at.UTC()
		if len(c.Segments) == 0 {
			day()
			continue
		}
		if n := len(hours); n == 0 || !hours[n-1].StartedAt.Equal(at) {
			hours = append(hours, Hour{StartedAt: at})
		}
		last := &hours[len(hours)-1]
		last.Cells = append(last.Cells, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("statistics: read: %w", err)
	}
	return hours, nil
}
