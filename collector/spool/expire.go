package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"griffier/schema"
)

// Loss is what DropBefore removed although the store did not have it. The
// caller declares it as a coverage gap.
type Loss struct {
	Rows map[schema.Kind]uint64
	// Earliest and Latest bound the ends of the rows' intervals; zero if none
	// were lost.
	Earliest, Latest time.Time
}

// Total is the number of rows lost.
func (l Loss) Total() (n uint64) {
	for _, rows := range l.Rows {
		n += rows
	}
	return n
}

// DropBefore expunges from the sealed segments every unacknowledged row that
// has outlived its retention class: one whose interval ended before its class's
// limit. Classes without a limit keep all. Superseded state in those segments
// goes too. The ordinals, and so the blocks and tokens, of what remains do not
// change. The active segment is not touched: call Checkpoint first.
//
// This is the only call by which a row that the store does not have is lost.
// If it fails, what it returns has been lost all the same.
func (s *Spool) DropBefore(limits map[schema.Class]time.Time) (Loss, error) {
	loss := Loss{Rows: map[schema.Kind]uint64{}}
	s.readMu.Lock()
	defer s.readMu.Unlock()
	select {
	case <-s.stop:
		return loss, fmt.Errorf("spool drop: %w", ErrClosed)
	default:
	}
	s.mu.Lock()
	var sealed []uint64
	for _, g := range s.segments[:len(s.segments)-1] {
		sealed = append(sealed, g.number)
	}
	s.mu.Unlock()
	for _, number := range sealed {
		lost, err := s.expunge(number, limits)
		for k, n := range lost.Rows {
			loss.Rows[k] += n
		}
		loss.include(lost.Earliest)
		loss.include(lost.Latest)
		if err != nil {
			return loss, fmt.Errorf("spool drop: %w", err)
		}
	}
	return loss, nil
}

func (l *Loss) include(t time.Time) {
	if t.IsZero() {
		return
	}
	if l.Earliest.IsZero() || t.Before(l.Earliest) {
		l.Earliest = t
	}
	if t.After(l.Latest) {
		l.Latest = t
	}
}

// EndedAt is the end of the interval that a row's retention counts from.
func EndedAt(r schema.Record) time.Time {
	switch r := r.(type) {
	case *schema.Session:
		return r.EndedAt
	case *schema.Assignment:
		return r.EndedAt
	case *schema.Usage:
		return r.EndedAt
	case *schema.Coverage:
		return r.EndedAt
	}
	return time.Time{}
}

// expunge rewrites one segment if anything in it has to go. Holding filesMu
// keeps the segment from being collected meanwhile.
func (s *Spool) expunge(number uint64, limits map[schema.Class]time.Time) (Loss, error) {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	s.mu.Lock()
	var g *segment
	superseded := false
	for _, c := range s.segments {
		if c.number == number {
			g = c
		} else if c.number > number && c.snapshot {
			superseded = true
		}
	}
	s.mu.Unlock()
	if g == nil {
		return Loss{}, nil // collected since
	}
	loss, frames, changed, err := s.filter(g, limits, superseded)
	if err != nil || !changed {
		return Loss{}, err
	}
	next := *g
	f, err := createSegment(s.cfg.Dir, s.id, &next, frames)
	if err != nil {
		return Loss{}, err
	}
	f.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += next.size - g.size
	g.size = next.size
	g.rewrites++
	s.readSize = 0
	return loss, nil
}

// filter returns the frames of g without what has expired, and whether that
// is less than there was.
func (s *Spool) filter(g *segment, limits map[schema.Class]time.Time, superseded bool) (loss Loss, out []byte, changed bool, err error) {
	loss.Rows = map[schema.Kind]uint64{}
	f, err := os.Open(s.path(g))
	if err != nil {
		return loss, nil, false, err
	}
	defer f.Close()
	seed := s.id.seed(g.number)
	for off := int64(segmentHeadBytes); ; {
		h, body, next, err := readFrame(f, off, g.size, seed, nil)
		var bad *frameError
		switch {
		case err == io.EOF:
			return loss, out, changed, nil
		case errors.As(err, &bad):
			return loss, nil, false, &CorruptError{f.Name(), off, bad.reason}
		case err != nil:
			return loss, nil, false, err
		}
		switch {
		case h.typ == frameSnapshot && superseded:
			changed = changed || len(body) > 0
			body = nil
		case h.typ == frameGroup:
			var less bool
			if body, less, err = s.filterGroup(h, body, limits, superseded, &loss); err != nil {
				return loss, nil, false, &CorruptError{f.Name(), off, err.Error()}
			}
			changed = changed || less
		}
		out = appendFrame(out, seed, h, body)
		off = next
	}
}

// filterGroup encodes a group anew as one batch for each state delta.
func (s *Spool) filterGroup(h frameHead, body []byte, limits map[schema.Class]time.Time, superseded bool, loss *Loss) (out []byte, less bool, err error) {
	items, deltas, err := decodeGroup(body, h.records)
	if err != nil {
		return nil, false, err
	}
	if superseded {
		less = len(deltas) > 0
		deltas = nil
	}
	for _, d := range deltas {
		if out, err = appendBatch(out, Batch{State: d}); err != nil {
			return nil, false, err
		}
	}
	for i, it := range items {
		r := it.record
		if r == nil {
			continue
		}
		if limit, ok := limits[r.Class()]; !ok || !EndedAt(r).Before(limit) {
			continue
		}
		if h.firstRecord+uint64(i) >= s.cursor.acked {
			loss.Rows[r.Kind()]++
			loss.include(EndedAt(r))
		}
		items[i].record = nil
		less = true
	}
	out, err = appendItems(out, items)
	return out, less, err
}
