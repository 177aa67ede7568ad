package spool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// groupBytes is where a group commit stops taking more batches, so that one
// waits for no more than about this much writing.
const groupBytes = 8 << 20

// request is one batch or snapshot that waits to be committed.
type request struct {
	body     []byte
	records  int
	snapshot bool
	taken    bool // by the committer; guarded by Spool.mu
	done     chan error
}

// Append stores a batch and returns once it is durable. Concurrent callers
// share one fsync; batches are stored in the order in which Append was called.
//
// On any error but [ErrUnknownOutcome] the batch is not acknowledged: [ErrFull],
// [ErrTooLarge], [ErrInvalid], [ErrClosed], the context's error, or the file
// system's, after which a later Append succeeds once the cause is gone. (A
// batch whose fsync failed can still turn up after a crash, as one whose
// outcome is unknown can.)
func (s *Spool) Append(ctx context.Context, batch Batch) error {
	body, err := appendBatch(nil, batch)
	if err != nil {
		return fmt.Errorf("spool append: %w: %w", ErrInvalid, err)
	}
	if len(body) > maxGroupBytes || len(batch.Records) > math.MaxInt32 {
		return fmt.Errorf("spool append: batch of %d bytes, limit %d: %w", len(body), maxGroupBytes, ErrTooLarge)
	}
	if err := s.submit(ctx, &request{body: body, records: len(batch.Records)}); err != nil {
		return fmt.Errorf("spool append: %w", err)
	}
	return nil
}

// Checkpoint starts a new segment headed by state, which must be the whole of
// what all batches appended so far amount to: the caller has no Append under
// way. It returns once the snapshot is durable; errors are those of Append.
// Segments that only recovery still needed are deleted.
func (s *Spool) Checkpoint(ctx context.Context, state []byte) error {
	if len(state) > maxFrameBytes-frameHeadBytes {
		return fmt.Errorf("spool checkpoint: state of %d bytes, limit %d: %w", len(state), maxFrameBytes, ErrTooLarge)
	}
	if err := s.submit(ctx, &request{body: state, snapshot: true}); err != nil {
		return fmt.Errorf("spool checkpoint: %w", err)
	}
	return nil
}

func (s *Spool) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan error, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	select {
	case s.work <- struct{}{}:
	default: // the committer has been told already
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.taken {
		for i, q := range s.queue {
			if q == r {
				s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
				break
			}
		}
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
}

// commitLoop is the only writer.
func (s *Spool) commitLoop() {
	for {
		select {
		case <-s.work:
			for group := s.take(); len(group) > 0; group = s.take() {
				s.commit(group)
				// Let the callers just answered append again: they then share
				// the next fsync instead of waiting for the one after it.
				runtime.Gosched()
			}
		case <-s.stop:
			s.mu.Lock()
			refused := s.queue
			s.queue = nil
			s.mu.Unlock()
			finish(refused, ErrClosed)
			return
		}
	}
}

func finish(group []*request, err error) {
	for _, r := range group {
		r.done <- err
	}
}

// take removes the next group from the queue: a snapshot alone, or batches up
// to the first snapshot or groupBytes. A batch that does not fit MaxBytes is
// refused here.
func (s *Spool) take() (group []*request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
		return nil
	default:
	}
	// The worst case is that the group also begins a segment.
	size := s.bytes + frameOverhead + frameHeadBytes + segmentHeadBytes
	n, bytes := 0, 0
	for _, r := range s.queue {
		if len(group) > 0 && (r.snapshot || bytes+len(r.body) > groupBytes) {
			break
		}
		n++
		r.taken = true
		free := int64(0)
		if r.snapshot {
			free = s.collectable(true)
		}
		if size+int64(bytes)+int64(len(r.body))-free > s.cfg.MaxBytes {
			r.done <- ErrFull
			continue
		}
		group = append(group, r)
		bytes += len(r.body)
		if r.snapshot {
			break
		}
	}
	s.queue = s.queue[n:]
	if len(s.queue) == 0 {
		s.queue = nil
	}
	return group
}

// collectable is the size of the segments that could be deleted now, or once
// another snapshot is written. The caller holds mu.
func (s *Spool) collectable(withSnapshot bool) (bytes int64) {
	for _, g := range s.segments[:s.collectableCount(withSnapshot)] {
		bytes += g.size
	}
	return bytes
}

func (s *Spool) collectableCount(withSnapshot bool) int {
	keep := 0 // the segment that recovery starts from
	for i, g := range s.segments {
		if g.snapshot {
			keep = i
		}
	}
	if withSnapshot {
		keep = len(s.segments)
	}
	for i, g := range s.segments[:keep] {
		if g.endRecord > s.acked {
			return i
		}
	}
	return keep
}

// commit makes a group durable and answers its callers.
func (s *Spool) commit(group []*request) {
	err := s.write(group)
	if err != nil && errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("disk is full: %w", err)
	}
	finish(group, err)
}

func (s *Spool) write(group []*request) error {
	s.mu.Lock()
	g := s.segments[len(s.segments)-1]
	s.mu.Unlock()
	h := frameHead{typ: frameGroup, frame: g.endFrame, firstRecord: g.endRecord, appendedAt: s.cfg.Now()}
	bodies := make([][]byte, len(group))
	for i, r := range group {
		bodies[i] = r.body
		h.records += uint32(r.records)
	}
	if group[0].snapshot {
		h.typ = frameSnapshot
		return s.begin(g, h, bodies[0])
	}
	if s.suspect || g.size >= s.cfg.SegmentBytes {
		if err := s.begin(g, h, nil); err != nil {
			return err
		}
		s.mu.Lock()
		g = s.segments[len(s.segments)-1]
		s.mu.Unlock()
	}
	s.buf = appendFrame(s.buf[:0], s.id.seed(g.number), h, bodies...)
	if cap(s.buf) > 2*groupBytes {
		defer func() { s.buf = nil }()
	}
	if _, err := s.active.WriteAt(s.buf, g.size); err != nil {
		// Nothing of it counts; if it cannot be cut off, the next segment's
		// header says so.
		s.suspect = s.active.Truncate(g.size) != nil
		return err
	}
	if err := unix.Fdatasync(int(s.active.Fd())); err != nil {
		// After a failed fsync the kernel takes the pages for clean: never
		// build on this file again.
		s.suspect = true
		return &os.PathError{Op: "fdatasync", Path: s.active.Name(), Err: err}
	}
	s.committed(g, h, int64(len(s.buf)))
	return nil
}

// begin starts the segment after g, headed by a snapshot unless h is a group's.
// A segment that holds nothing yet is replaced.
func (s *Spool) begin(g *segment, h frameHead, snapshot []byte) error {
	next := &segment{number: g.number + 1, firstFrame: h.frame, firstRecord: h.firstRecord, endFrame: h.frame, endRecord: h.firstRecord}
	if g.empty() {
		next.number = g.number
	}
	var first []byte
	if h.typ == frameSnapshot {
		first = appendFrame(nil, s.id.seed(next.number), h, snapshot)
		next.snapshot, next.firstAt = true, h.appendedAt
		next.endFrame++
	}
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	f, err := createSegment(s.cfg.Dir, s.id, next, first)
	if err != nil {
		// The file may be there all the same, and would say that g ends here:
		// nothing more may go into g.
		s.suspect = true
		return err
	}
	s.active.Close()
	s.active, s.suspect = f, false
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.number == g.number {
		s.bytes -= g.size
		s.segments = s.segments[:len(s.segments)-1]
	}
	s.segments = append(s.segments, next)
	s.bytes += next.size
	if next.snapshot {
		s.collect()
	}
	return nil
}

// committed publishes a frame of n bytes that is durable.
func (s *Spool) committed(g *segment, h frameHead, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.empty() {
		g.firstAt = h.appendedAt
	}
	if h.records > 0 && s.pendingAt.IsZero() {
		s.pendingAt = h.appendedAt
	}
	g.size += n
	g.endFrame++
	g.endRecord += uint64(h.records)
	s.bytes += n
	close(s.changed)
	s.changed = make(chan struct{})
}

// collect deletes the segments that neither store nor recovery needs. The
// caller holds filesMu and mu. A file that cannot be removed is tried again
// with the next one: segments go in order, so no hole appears.
func (s *Spool) collect() {
	n := s.collectableCount(false)
	for i, g := range s.segments[:n] {
		if err := os.Remove(s.path(g)); err != nil && !errors.Is(err, os.ErrNotExist) {
			n = i
			break
		}
		s.bytes -= g.size
	}
	s.segments = append([]*segment(nil), s.segments[n:]...)
}
