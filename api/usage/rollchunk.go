package usage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"griffier/api/register"
	"griffier/schema"
)

// rollLine is a line as the roll-up sees it: a zone and references.
type rollLine struct {
	loc     *time.Location
	version uint64 // of its newest change in the register
	held    []register.Held
}

// job is what is to be rolled up of a chunk of lines.
type job struct {
	region  Window    // whole UTC days
	all     Window    // those that can be read, of which region is a part
	through time.Time // local days that have ended by then
	version uint64    // of the rows that it writes
	token   string    // names its inserts
	cover   map[string][]Window
}

// readable is what may be read at some instant.
type readable struct {
	buckets time.Time // UTC days from here on are whole
	days    time.Time // day rows that ended later
}

// whole tells whether all that a window's sum depends on can be read: every bucket
// of the UTC days that it touches, since by those it is judged who counts.
func (r readable) whole(w Window) bool {
	return !w.utcDays().Start.Before(r.buckets) && w.End.After(r.days)
}

// rollMargin is how long before buckets expire they are no longer relied on, so
// that none expires while it is summed.
const rollMargin = 30 * time.Minute

// readableNow asks the store. Nothing is rolled up while a class has no policy.
func (r *Roller) readableNow(ctx context.Context) (readable, bool, error) {
	buckets, ok5m, err := schema.ReadableSince(ctx, r.reader.conn, schema.ClassUsage5m)
	if err != nil {
		return readable{}, false, err
	}
	days, okDay, err := schema.ReadableSince(ctx, r.reader.conn, schema.ClassUsageDay)
	if err != nil {
		return readable{}, false, err
	}
	return readable{buckets.Add(rollMargin + utcDay).Truncate(utcDay), days.Add(rollMargin)}, ok5m && okDay, nil
}

// lineTiles are the tiles of one reference of one line to be computed.
type lineTiles struct {
	line    int
	ref     schema.AccessRef
	compute []tile
}

// chunk rolls up some lines and returns how many rows it wrote, and which of the
// lines are now counted by another collector of a redundant pair than before.
func (r *Roller) chunk(ctx context.Context, lines []rollLine, j job) (written int, flipped []rollLine, err error) {
	can, ok, err := r.readableNow(ctx)
	if err != nil || !ok {
		return 0, nil, err
	}
	refs := refsOf(lines)
	stored, err := r.reader.dayTiles(ctx, refs, Window{j.region.Start.Add(-2 * utcDay), j.region.End.Add(2 * utcDay)})
	if err != nil {
		return 0, nil, err
	}
	var out []*schema.UsageDay
	var todo []lineTiles
	for i, line := range lines {
		for ref, held := range heldWindows(line.held) {
			p := planTiles(held, line.loc, j.region, bare(stored[ref]), j.through, can.whole)
			if len(p.compute) > 0 {
				todo = append(todo, lineTiles{i, ref, p.compute})
			}
			for _, gone := range p.withdraw {
				out = append(out, withdrawn(ref, find(stored[ref], gone.Window), j.version)...)
			}
		}
	}
	sums, verdicts, err := r.sums(ctx, lines, todo)
	if err != nil {
		return 0, nil, err
	}
	if err := r.stillReadable(ctx, todo); err != nil {
		return 0, nil, err
	}
	for i, t := range todo {
		for n, tile := range t.compute {
			rows := sums[i][n]
			fillGaps(rows, tile.Window, j.cover)
			was := find(stored[t.ref], tile.Window)
			out = append(out, changes(t.ref, tile, was, rows, j.version)...)
		}
	}
	if flipped, err = r.flipped(ctx, lines, verdicts, j.all); err != nil {
		return 0, nil, err
	}
	return len(out), flipped, r.insert(ctx, j.token, out)
}

// errExpired ends a run whose sums may lack what expired meanwhile.
var errExpired = errors.New("buckets expired while they were summed; the next run goes on")

// stillReadable fails if some of what was summed could be read no more by the end of
// it: a policy that was shortened meanwhile waits for no margin, and a day is never
// counted down by it.
func (r *Roller) stillReadable(ctx context.Context, todo []lineTiles) error {
	since, ok, err := schema.ReadableSince(ctx, r.reader.conn, schema.ClassUsage5m)
	if err != nil {
		return err
	}
	for _, t := range todo {
		for _, tile := range t.compute {
			if !ok || since.After(tile.utcDays().Start) {
				return errExpired
			}
		}
	}
	return nil
}

// flipped returns the lines of which days were summed under another verdict on who
// of a redundant pair counts than holds now: a byte would be in two days or none.
func (r *Roller) flipped(ctx context.Context, lines []rollLine, verdicts map[schema.AccessRef]verdict, all Window) (out []rollLine, err error) {
	var pairs []schema.AccessRef
	for ref, v := range verdicts {
		if len(v.skip) > 0 {
			pairs = append(pairs, ref)
		}
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	stored, err := r.reader.dayTiles(ctx, pairs, all)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		if slices.ContainsFunc(line.held, func(h register.Held) bool { return slices.ContainsFunc(stored[h.Ref], verdicts[h.Ref].other) }) {
			out = append(out, line)
		}
	}
	return out, nil
}

// insertRows is about how many rows one insert has.
const insertRows = 200_000

func (r *Roller) insert(ctx context.Context, token string, rows []*schema.UsageDay) error {
	slices.SortFunc(rows, func(a, b *schema.UsageDay) int {
		return cmp.Or(bytes.Compare(a.AccessRef[:], b.AccessRef[:]), a.StartedAt.Compare(b.StartedAt))
	})
	for n := 0; len(rows) > 0; n++ {
		size := wholeTiles(rows, insertRows)
		records := make([]schema.Record, size)
		for i, row := range rows[:size] {
			records[i] = row
		}
		if err := schema.Insert(ctx, r.reader.conn, fmt.Sprintf("%s-%d", token, n), records); err != nil {
			return err
		}
		rows = rows[size:]
	}
	return nil
}

// wholeTiles returns how many of the first rows to insert at once: about most, and
// never a part of a tile, which readers would take for all of it.
func wholeTiles(rows []*schema.UsageDay, most int) int {
	n := min(most, len(rows))
	for n < len(rows) && rows[n].AccessRef == rows[n-1].AccessRef && rows[n].StartedAt.Equal(rows[n-1].StartedAt) {
		n++
	}
	return n
}

// sums counts every tile of todo.
func (r *Roller) sums(ctx context.Context, lines []rollLine, todo []lineTiles) ([][]map[dayKey]dayValue, map[schema.AccessRef]verdict, error) {
	out := make([][]map[dayKey]dayValue, len(todo))
	if len(todo) == 0 {
		return out, nil, nil
	}
	var asked []schema.AccessRef
	bounds := map[int64]bool{}
	var span Window
	for i, t := range todo {
		out[i] = make([]map[dayKey]dayValue, len(t.compute))
		for n, tile := range t.compute {
			out[i][n] = map[dayKey]dayValue{}
			bounds[tile.Start.Unix()], bounds[tile.End.Unix()] = true, true
			span = span.hull(tile.utcDays())
		}
		asked = append(asked, refsOf(lines[t.line:t.line+1])...) // all of the line: any may have been counted by a kernel
	}
	slices.SortFunc(asked, func(a, b schema.AccessRef) int { return bytes.Compare(a[:], b[:]) })
	asked = slices.Compact(asked)
	for _, d := range span.Steps(utcDay) {
		bounds[d.Start.Unix()], bounds[d.End.Unix()] = true, true
	}
	for _, line := range lines {
		for _, h := range line.held {
			for _, at := range []time.Time{bucketsOf(h).Start, bucketsOf(h).End} {
				if at.After(span.Start) && at.Before(span.End) {
					bounds[at.Unix()] = true
				}
			}
		}
	}
	cuts := make([]time.Time, 0, len(bounds))
	for _, at := range slices.Sorted(maps.Keys(bounds)) {
		cuts = append(cuts, time.Unix(at, 0).UTC())
	}
	counted, err := r.reader.counts(ctx, asked, cuts)
	if err != nil {
		return nil, nil, err
	}
	byRef := map[schema.AccessRef][]count{}
	foreign := map[schema.AccessRef]bool{}
	for _, c := range counted {
		byRef[c.ref] = append(byRef[c.ref], c)
		foreign[c.ref] = foreign[c.ref] || c.foreign()
	}
	var told []schema.AccessRef
	for ref, by := range foreign {
		if by {
			told = append(told, ref)
		}
	}
	var verdicts map[schema.AccessRef]verdict
	if len(told) > 0 {
		if verdicts, err = r.reader.repeated(ctx, told); err != nil {
			return nil, nil, err
		}
	}
	for i, t := range todo {
		var kernel map[time.Time]bool
		if foreign[t.ref] {
			kernel = kernelCounted(lines[t.line], byRef)
		}
		for n, tile := range t.compute {
			for _, c := range byRef[t.ref] {
				if c.at.Before(tile.Start) || !c.at.Before(tile.End) {
					continue
				}
				left := c.foreign() && (kernel[c.at.Truncate(utcDay)] || slices.Contains(verdicts[t.ref].skip, c.counter))
				addCount(out[i][n], c, left)
			}
		}
	}
	return out, verdicts, nil
}

// kernelCounted returns the UTC days on which a kernel counted anything for the line.
func kernelCounted(line rollLine, byRef map[schema.AccessRef][]count) map[time.Time]bool {
	days := map[time.Time]bool{}
	for _, h := range line.held {
		w := bucketsOf(h)
		for _, c := range byRef[h.Ref] {
			if !c.foreign() && !c.at.Before(w.Start) && c.at.Before(w.End) {
				days[c.at.Truncate(utcDay)] = true
			}
		}
	}
	return days
}

// addCount adds a count to the rows of a tile, or a row of zero if it is left out.
func addCount(rows map[dayKey]dayValue, c count, leftOut bool) {
	for _, d := range []struct {
		direction      schema.Direction
		bytes, packets uint64
	}{{schema.Up, c.volume.BytesUp, c.volume.PacketsUp}, {schema.Down, c.volume.BytesDown, c.volume.PacketsDown}} {
		k := dayKey{d.direction, c.ipVersion, c.source, c.collector}
		v := rows[k]
		if !leftOut {
			v.bytes, v.packets = v.bytes+d.bytes, v.packets+d.packets
		}
		rows[k] = v
	}
}

// fillGaps notes in every row how much of w none of the rows' collectors covered.
func fillGaps(rows map[dayKey]dayValue, w Window, cover map[string][]Window) {
	var covered []Window
	for k := range rows {
		covered = append(covered, cover[k.collector]...)
	}
	var gap time.Duration
	for _, g := range w.Gaps(covered) {
		gap += g.End.Sub(g.Start)
	}
	for k, v := range rows {
		v.gapSeconds = uint32(gap / time.Second)
		rows[k] = v
	}
}

// changes returns the rows to write so that what is stored of a tile is rows.
func changes(ref schema.AccessRef, t tile, was dayTile, rows map[dayKey]dayValue, version uint64) (out []*schema.UsageDay) {
	version = max(version, was.version+1)
	write := func(k dayKey, v dayValue) {
		out = append(out, &schema.UsageDay{AccessRef: ref, Day: t.day, Zone: t.zone, StartedAt: t.Start, EndedAt: t.End,
			Direction: k.direction, IPVersion: k.ipVersion, Source: k.source, CollectorID: k.collector,
			Bytes: v.bytes, Packets: v.packets, GapSeconds: v.gapSeconds, Version: version})
	}
	for k, v := range rows {
		if stored, ok := was.rows[k]; !ok || stored != v || was.zone != t.zone || !was.day.Equal(t.day) {
			write(k, v)
		}
	}
	for k, stored := range was.rows {
		if _, ok := rows[k]; !ok && stored != (dayValue{}) {
			write(k, dayValue{}) // not counted any more
		}
	}
	return out
}

// withdrawn returns the rows that take a stored tile away.
func withdrawn(ref schema.AccessRef, was dayTile, version uint64) (out []*schema.UsageDay) {
	for k := range was.rows {
		out = append(out, &schema.UsageDay{AccessRef: ref, Day: was.day, Zone: was.zone, StartedAt: was.Start, EndedAt: was.End,
			Direction: k.direction, IPVersion: k.ipVersion, Source: k.source, CollectorID: k.collector, Withdrawn: true, Version: max(version, was.version+1)})
	}
	return out
}

// heldWindows returns the whole buckets in which each reference is the line's.
func heldWindows(held []register.Held) map[schema.AccessRef][]Window {
	out := map[schema.AccessRef][]Window{}
	for _, h := range spans(held) {
		if w := bucketsOf(h); w.Start.Before(w.End) {
			out[h.Ref] = append(out[h.Ref], w)
		}
	}
	return out
}

func refsOf(lines []rollLine) (refs []schema.AccessRef) {
	for _, line := range lines {
		for _, h := range spans(line.held) {
			if n := len(refs); n == 0 || refs[n-1] != h.Ref {
				refs = append(refs, h.Ref)
			}
		}
	}
	return refs
}

func bare(stored []dayTile) []tile {
	out := make([]tile, len(stored))
	for i, d := range stored {
		out[i] = d.tile
	}
	return out
}

func find(stored []dayTile, w Window) dayTile {
	for _, d := range stored {
		if d.Start.Equal(w.Start) && d.End.Equal(w.End) {
			return d
		}
	}
	return dayTile{}
}

// hull returns the smallest window that holds both; the zero window holds nothing.
func (w Window) hull(o Window) Window {
	if w == (Window{}) {
		return o
	}
	if o.Start.Before(w.Start) {
		w.Start = o.Start
	}
	if o.End.After(w.End) {
		w.End = o.End
	}
	return w
}
