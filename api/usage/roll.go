package usage

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/register"
	"griffier/schema"
)

// RollInterval is how often buckets are rolled up into days. What has not changed
// is not read again.
const RollInterval = time.Hour

// chunkRefs is how many references are rolled up at once.
const chunkRefs = 4000

// registerOverlap is how far back changes of the register are looked at again: of
// two that were under way at once the older may become visible later. A change's
// version is the time at which it was made, or later.
const registerOverlap = 10 * time.Minute

// book is the part of the register that the roll-up reads ([register.Register]).
type book interface {
	Holdings(ctx context.Context, start, end time.Time, each func(register.Holding) error) error
}

// Roller rolls buckets of five minutes up into local days of each line's zone:
// the store of traffic knows neither lines nor zones, and buckets may not be kept
// for as long as a bill can be disputed. It reads the expiring views only.
//
// A day is summed anew, from all its buckets, whenever anything was stored for one
// of the UTC days that it touches or its line changed in the register, as long as
// all of its buckets can be read; the difference is written as a new version. So
// it does not matter how often or in which order anything comes, or when a run is
// cut short: the next one writes what is missing. A day of which buckets have
// expired stays as it is, and what is still stored for it is counted as late.
type Roller struct {
	reader  *Reader
	lines   book
	now     func() time.Time
	log     *slog.Logger
	metrics *rollMetrics
}

// NewRoller returns a roller that registers its metrics with registry.
func NewRoller(conn driver.Conn, lines book, registry prometheus.Registerer, now func() time.Time, log *slog.Logger) *Roller {
	return &Roller{NewReader(conn), lines, now, log, newRollMetrics(registry)}
}

// Run rolls up every [RollInterval] until ctx ends.
func (r *Roller) Run(ctx context.Context) {
	tick := time.NewTicker(RollInterval)
	defer tick.Stop()
	for {
		if _, err := r.Roll(ctx); err != nil && ctx.Err() == nil {
			r.log.LogAttrs(ctx, slog.LevelError, "usage not rolled up", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Rolled says what one run did.
type Rolled struct {
	Rows    int            // day rows written
	Days    int            // UTC days that were read
	Late    map[string]int // bucket rows that came after their day was rolled up, by what became of them
	Refused int            // lines in a zone that buckets cannot be cut in
}

// What becomes of bucket rows that come after their day was rolled up.
const (
	lateCounted = "counted"        // the day was summed anew
	latePartly  = "partly_elapsed" // of two local days one had lost buckets and stays as it is
	lateElapsed = "elapsed"        // buckets of the day had expired, so it stays as it is
)

// Roll runs once. One process at a time may.
func (r *Roller) Roll(ctx context.Context) (Rolled, error) {
	started := time.Now()
	done, err := r.roll(ctx)
	r.metrics.observe(done, err, time.Since(started), r.now())
	if err != nil {
		return done, fmt.Errorf("roll up usage: %w", err)
	}
	return done, nil
}

func (r *Roller) roll(ctx context.Context) (Rolled, error) {
	done := Rolled{Late: map[string]int{}}
	conn := r.reader.conn
	can, ok, err := r.readableNow(ctx)
	if err != nil || !ok {
		return done, err
	}
	now, err := schema.Now(ctx, conn)
	if err != nil {
		return done, err
	}
	through := now.Add(-reportingLag)
	days := Window{can.buckets, through.Truncate(utcDay).Add(utcDay)}
	if !days.Start.Before(days.End) {
		return done, nil // kept for too short to make a day of
	}
	// All marks first: what is stored from here on is seen by the next run.
	blocks, err := schema.UsageBlocks(ctx, conn)
	if err != nil {
		return done, err
	}
	registered := uint64(r.now().Add(-registerOverlap).UnixNano()) // versions are times
	marks, err := r.marks(ctx, days)
	if err != nil {
		return done, err
	}
	lines, err := r.read(ctx, days, &done)
	if err != nil {
		return done, err
	}
	stored, err := schema.UsageDayVersion(ctx, conn)
	if err != nil {
		return done, err
	}
	version := max(stored+1, uint64(r.now().UnixNano()))
	cover, err := r.reader.coverage(ctx, Window{days.Start.Add(-2 * utcDay), days.End})
	if err != nil {
		return done, err
	}
	todo := job{all: days, through: through, version: version, cover: cover}

	var dirty []Window
	oldest := registered
	for _, d := range days.Steps(utcDay) {
		mark, marked := marks[d.Start]
		if marked {
			oldest = min(oldest, mark.RegisterVersion)
		}
		newest, told := blocks[d.Start]
		same := marked && (told || len(blocks) > 0) && newest == mark.Blocks
		if !same || dayEnded(lines, d, mark.Through, through) {
			dirty = append(dirty, d)
		}
	}
	done.Days = len(dirty)
	var flipped []rollLine
	for _, region := range joined(dirty) {
		todo.region = region
		more, err := r.chunks(ctx, lines, todo, &done)
		if err != nil {
			return done, err
		}
		flipped = append(flipped, more...)
	}
	// Lines of which more than some days is to be looked at again.
	again := slices.Concat(flipped, slices.DeleteFunc(slices.Clone(lines), func(l rollLine) bool {
		return l.version <= oldest
	}))
	if len(marks) > 0 && len(again) > 0 {
		todo.region = days
		if _, err := r.chunks(ctx, again, todo, &done); err != nil {
			return done, err
		}
	}
	return done, r.note(ctx, days, dirty, blocks, marks, registered, through, version, &done)
}

// chunks rolls up lines, some thousand at a time.
func (r *Roller) chunks(ctx context.Context, lines []rollLine, j job, done *Rolled) (flipped []rollLine, err error) {
	ended := map[*time.Location]bool{} // zones in which a day that touches the region has
	lines = slices.DeleteFunc(slices.Clone(lines), func(l rollLine) bool {
		if _, known := ended[l.loc]; !known {
			ended[l.loc] = !daysTouching(j.region, l.loc)[0].End.After(j.through)
		}
		return !ended[l.loc]
	})
	for len(lines) > 0 {
		n, refs := 0, 0
		for n < len(lines) && (n == 0 || refs+len(lines[n].held) <= chunkRefs) {
			refs += len(lines[n].held)
			n++
		}
		j.token = fmt.Sprintf("usage-day-%d-%d-%d", j.version, j.region.Start.Unix(), done.Rows) + "-" + lines[0].held[0].Ref.String()
		written, more, err := r.chunk(ctx, lines[:n], j)
		if err != nil {
			return nil, err
		}
		done.Rows += written
		flipped = append(flipped, more...)
		lines = lines[n:]
	}
	return flipped, nil
}

// read returns the lines that can be rolled up.
func (r *Roller) read(ctx context.Context, days Window, done *Rolled) ([]rollLine, error) {
	reach := Window{days.Start.Add(-2 * utcDay), days.End.Add(2 * utcDay)}
	type zone struct {
		loc *time.Location
		err error
	}
	zones := map[string]zone{}
	var lines []rollLine
	var lineID string
	refused := false
	err := r.lines.Holdings(ctx, reach.Start, reach.End, func(h register.Holding) error {
		if h.LineID != lineID {
			z, known := zones[h.TimeZone]
			if !known {
				z.loc, z.err = time.LoadLocation(h.TimeZone)
				if z.err == nil {
					z.err = checkCuts(reach, z.loc)
				}
				if z.err != nil {
					r.log.LogAttrs(ctx, slog.LevelError, "lines not rolled up", slog.String("error", z.err.Error()))
				}
				zones[h.TimeZone] = z
			}
			lineID, refused = h.LineID, z.err != nil
			if refused {
				done.Refused++
			} else {
				lines = append(lines, rollLine{loc: z.loc, version: h.Version})
			}
		}
		if !refused {
			line := &lines[len(lines)-1]
			line.held = append(line.held, h.Held)
		}
		return nil
	})
	return lines, err
}

func (r *Roller) marks(ctx context.Context, days Window) (map[time.Time]schema.UsageDayMark, error) {
	found, err := schema.ReadUsageDayMarks(ctx, r.reader.conn, days.Start.Add(-30*utcDay), days.End)
	if err != nil {
		return nil, err
	}
	marks := make(map[time.Time]schema.UsageDayMark, len(found))
	for _, m := range found {
		marks[m.UTCDay] = m
	}
	return marks, nil
}

// note marks what was rolled up, and counts what came late.
func (r *Roller) note(ctx context.Context, days Window, dirty []Window, blocks map[time.Time]int64, marks map[time.Time]schema.UsageDayMark,
	registered uint64, through time.Time, version uint64, done *Rolled) error {
	can, ok, err := r.readableNow(ctx)
	if err != nil {
		return err
	}
	if !ok || can.buckets.After(days.Start) {
		return errExpired
	}
	isDirty := map[time.Time]bool{}
	var counted []Window // days whose rows are to be counted: they are over
	for _, d := range dirty {
		isDirty[d.Start] = true
		if !through.Before(d.End) {
			counted = append(counted, d)
		}
	}
	for d, mark := range marks {
		if newest, there := blocks[d]; d.Before(days.Start) && there && newest != mark.Blocks {
			counted = append(counted, Window{d, d.Add(utcDay)})
		}
	}
	rows := map[time.Time]uint64{}
	for _, w := range union(counted) {
		part, err := schema.UsageRows(ctx, r.reader.conn, w.Start, w.End)
		if err != nil {
			return err
		}
		maps.Copy(rows, part)
	}
	var notes []schema.UsageDayMark
	for _, d := range days.Steps(utcDay) {
		mark, marked := marks[d.Start]
		if !isDirty[d.Start] {
			if marked && mark.RegisterVersion != registered {
				mark.RegisterVersion = registered
				notes = append(notes, mark)
			}
			continue
		}
		became := lateCounted
		if d.Start.Equal(days.Start) {
			became = latePartly // a local day that began the day before
		}
		done.late(mark, rows[d.Start], became)
		notes = append(notes, schema.UsageDayMark{UTCDay: d.Start, Through: through, Blocks: blocks[d.Start],
			RegisterVersion: registered, BucketRows: rows[d.Start]})
	}
	for d, mark := range marks {
		if newest, there := blocks[d]; d.Before(days.Start) && there && newest != mark.Blocks {
			done.late(mark, rows[d], lateElapsed)
			mark.Blocks, mark.BucketRows = newest, rows[d]
			notes = append(notes, mark)
		}
	}
	return schema.WriteUsageDayMarks(ctx, r.reader.conn, version, notes)
}

// late counts what is more than a day's mark says, if that was made when the day
// was over.
func (d *Rolled) late(mark schema.UsageDayMark, rows uint64, became string) {
	if !mark.UTCDay.IsZero() && !mark.Through.Before(mark.UTCDay.Add(utcDay)) && rows > mark.BucketRows {
		d.Late[became] += int(rows - mark.BucketRows)
	}
}

// dayEnded tells whether a local day of some line that touches the UTC day d ended
// in (from, to].
func dayEnded(lines []rollLine, d Window, from, to time.Time) bool {
	seen := map[*time.Location]bool{}
	for _, line := range lines {
		if seen[line.loc] {
			continue
		}
		seen[line.loc] = true
		for _, local := range daysTouching(d, line.loc) {
			if local.End.After(from) && !local.End.After(to) {
				return true
			}
		}
	}
	return false
}

// joined joins windows that touch.
func joined(in []Window) (out []Window) {
	for _, w := range in {
		if n := len(out); n > 0 && out[n-1].End.Equal(w.Start) {
			out[n-1].End = w.End
			continue
		}
		out = append(out, w)
	}
	return out
}
