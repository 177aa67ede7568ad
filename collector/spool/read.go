package spool

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"griffier/schema"
)

// A Block is what the store is given at a time, in the order of the log.
type Block struct {
	// Token names the block's place in the log. It is the same, for the same
	// rows, however often and by whichever process the block is delivered.
	Token   string
	Records []schema.Record
	// AppendedAt is when the block's oldest row was appended.
	AppendedAt time.Time
	// More says that further rows are waiting behind the block.
	More bool
}

// reader is where Next stands. Its fields are guarded by Spool.readMu.
type reader struct {
	file     *os.File
	number   uint64 // of the open segment
	rewrites int    // its rewrites when it was opened
	offset   int64  // of the frame after the decoded one
	next     uint64 // ordinal of the first row at offset
	first    uint64 // ordinal of items[0]
	items    []item // rows of the frame last decoded
	at       time.Time
	newest   time.Time // when the last row of the delivered block was appended
	buf      []byte
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
	*r = reader{}
}

func (s *Spool) path(g *segment) string { return filepath.Join(s.cfg.Dir, segmentName(g.number)) }

// Next waits for rows that the store does not have and returns the oldest block
// of them. Until it is acknowledged, Next returns the same block. Errors: the
// context's, [ErrClosed], a [*CorruptError], or the file system's, after which
// a later call succeeds once the cause is gone.
func (s *Spool) Next(ctx context.Context) (Block, error) {
	for {
		s.mu.Lock()
		changed, closed := s.changed, s.closed
		end := s.segments[len(s.segments)-1].endRecord
		s.mu.Unlock()
		if closed {
			return Block{}, fmt.Errorf("spool next: %w", ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return Block{}, err
		}
		block, ok, err := s.tryNext(end)
		if err != nil {
			var corrupt *CorruptError
			if errors.As(err, &corrupt) {
				return Block{}, err
			}
			return Block{}, fmt.Errorf("spool next: %w", err)
		}
		if ok {
			return block, nil
		}
		select {
		case <-changed:
		case <-s.stop:
		case <-ctx.Done():
		}
	}
}

// tryNext delivers the recorded block, or records one of the rows up to end.
func (s *Spool) tryNext(end uint64) (b Block, ok bool, err error) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	select {
	case <-s.stop:
		return b, false, nil
	default:
	}
	for s.cursor.acked < end {
		pos := s.cursor.position
		recorded := pos.blockEnd > pos.acked
		limit := end
		if recorded {
			limit = pos.blockEnd
		}
		b, stop, err := s.collectBlock(pos.acked, limit, recorded)
		if err != nil {
			return b, false, err
		}
		if !recorded {
			if err := s.cursor.set(position{pos.acked, stop}); err != nil {
				return b, false, err
			}
		}
		b.Token, b.More = s.token(s.cursor.position), stop < end
		if len(b.Records) > 0 {
			return b, true, nil
		}
		// Every row of it has been expunged: nothing to deliver.
		if err := s.acknowledge(); err != nil {
			return b, false, err
		}
	}
	return b, false, nil
}

func (s *Spool) token(p position) string {
	return fmt.Sprintf("%s-%d-%d", hex.EncodeToString(s.id[:]), p.acked, p.blockEnd)
}

// collectBlock reads rows from ordinal from up to limit, or, unless exact, up
// to the size of a block. It returns the ordinal at which it stopped.
func (s *Spool) collectBlock(from, limit uint64, exact bool) (b Block, stop uint64, err error) {
	r := &s.reader
	if from < r.first || (r.file == nil && len(r.items) == 0) || s.stale() {
		if err := s.seek(from); err != nil {
			return b, 0, err
		}
	}
	bytes := 0
	for stop = from; stop < limit; stop++ {
		for stop >= r.first+uint64(len(r.items)) {
			if err := s.readGroup(); err != nil {
				r.close() // start again from a known place
				return b, 0, err
			}
		}
		it := r.items[stop-r.first]
		if !exact && stop > from && (stop-from >= uint64(s.cfg.BlockRows) || bytes+it.bytes > s.cfg.BlockBytes) {
			break
		}
		bytes += it.bytes
		if b.AppendedAt.IsZero() {
			b.AppendedAt = r.at
		}
		r.newest = r.at
		if it.record != nil {
			b.Records = append(b.Records, it.record)
		}
	}
	return b, stop, nil
}

// stale says whether the reader's segment has been rewritten under it.
func (s *Spool) stale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.number == s.reader.number {
			return g.rewrites != s.reader.rewrites
		}
	}
	return true
}

// seek puts the reader at the start of the segment that holds row ordinal.
func (s *Spool) seek(ordinal uint64) error {
	s.mu.Lock()
	var g segment
	for _, c := range s.segments {
		if c.endRecord > ordinal {
			g = *c
			break
		}
	}
	s.mu.Unlock()
	if g.number == 0 || g.firstRecord > ordinal {
		return fmt.Errorf("row %d is in no segment", ordinal)
	}
	return s.openAt(&g)
}

func (s *Spool) openAt(g *segment) error {
	r := &s.reader
	buf := r.buf
	r.close()
	f, err := os.Open(s.path(g))
	if err != nil {
		return err
	}
	*r = reader{file: f, number: g.number, rewrites: g.rewrites, offset: segmentHeadBytes, next: g.firstRecord, first: g.firstRecord, buf: buf}
	return nil
}

// readGroup decodes the next group frame, going on to the next segment at the
// end of one. The caller knows that there is one.
func (s *Spool) readGroup() error {
	r := &s.reader
	for {
		s.mu.Lock()
		var here, after segment
		for _, g := range s.segments {
			switch g.number {
			case r.number:
				here = *g
			case r.number + 1:
				after = *g
			}
		}
		s.mu.Unlock()
		if here.number == 0 {
			return fmt.Errorf("segment %d is gone", r.number)
		}
		h, body, next, err := readFrame(r.file, r.offset, here.size, s.id.seed(r.number), r.buf)
		var bad *frameError
		switch {
		case err == io.EOF && after.number == 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			if err := s.openAt(&after); err != nil {
				return err
			}
			continue
		case errors.As(err, &bad):
			return &CorruptError{r.file.Name(), r.offset, bad.reason}
		case err != nil:
			return err
		}
		r.buf = body[:0]
		if h.typ == frameSnapshot || h.records == 0 {
			r.offset = next
			continue
		}
		items, _, err := decodeGroup(body, h.records)
		if err != nil {
			return &CorruptError{r.file.Name(), r.offset, err.Error()}
		}
		r.items, r.first, r.at = items, h.firstRecord, h.appendedAt
		r.offset, r.next = next, h.firstRecord+uint64(h.records)
		return nil
	}
}

// Ack says that the store has the block last returned by Next. It returns once
// that is durable; if it fails, the block is delivered again. Segments that are
// no longer needed are deleted.
func (s *Spool) Ack(token string) error {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	select {
	case <-s.stop:
		return fmt.Errorf("spool ack: %w", ErrClosed)
	default:
	}
	if p := s.cursor.position; p.blockEnd == p.acked || token != s.token(p) {
		return fmt.Errorf("spool ack: %w", ErrNotOutstanding)
	}
	if err := s.acknowledge(); err != nil {
		return fmt.Errorf("spool ack: %w", err)
	}
	return nil
}

// acknowledge moves the cursor past the outstanding block. The caller holds
// readMu.
func (s *Spool) acknowledge() error {
	end := s.cursor.blockEnd
	if err := s.cursor.set(position{end, end}); err != nil {
		return err
	}
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = end
	s.readSize = 0
	for _, g := range s.segments {
		if g.number == s.reader.number && g.rewrites == s.reader.rewrites && end > g.firstRecord && end < g.endRecord {
			s.readSize = s.reader.offset
		}
	}
	if end == s.segments[len(s.segments)-1].endRecord {
		s.pendingAt = time.Time{}
	} else {
		s.pendingAt = s.reader.newest
	}
	s.collect()
	return nil
}

// Recover returns the last snapshot and the state deltas after it, oldest
// first. Both are empty in a new spool. Call it after Open, before the first
// Append.
func (s *Spool) Recover() (snapshot []byte, deltas [][]byte, err error) {
	s.filesMu.Lock() // no segment may go while it is read
	defer s.filesMu.Unlock()
	s.mu.Lock()
	from := 0
	for i, g := range s.segments {
		if g.snapshot {
			from = i
		}
	}
	var todo []segment
	for _, g := range s.segments[from:] {
		todo = append(todo, *g)
	}
	s.mu.Unlock()
	for _, g := range todo {
		if err := s.recoverSegment(&g, &snapshot, &deltas); err != nil {
			var corrupt *CorruptError
			if errors.As(err, &corrupt) {
				return nil, nil, err
			}
			return nil, nil, fmt.Errorf("spool recover: %w", err)
		}
	}
	return snapshot, deltas, nil
}

func (s *Spool) recoverSegment(g *segment, snapshot *[]byte, deltas *[][]byte) error {
	f, err := os.Open(s.path(g))
	if err != nil {
		return err
	}
	defer f.Close()
	for off := int64(segmentHeadBytes); ; {
		h, body, next, err := readFrame(f, off, g.size, s.id.seed(g.number), nil)
		var bad *frameError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &bad):
			return &CorruptError{f.Name(), off, bad.reason}
		case err != nil:
			return err
		case h.typ == frameSnapshot:
			*snapshot = body
		default:
			_, ds, err := decodeGroup(body, h.records)
			if err != nil {
				return &CorruptError{f.Name(), off, err.Error()}
			}
			*deltas = append(*deltas, ds...)
		}
		off = next
	}
}
