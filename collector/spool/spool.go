package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"griffier/schema"
)

// Config says where a spool is and how large it may grow. Zero fields take the
// defaults.
type Config struct {
	// Dir is made with mode 0700 if it does not exist.
	Dir string
	// MaxBytes bounds the files together; beyond it Append returns ErrFull.
	// Default 1 GiB.
	MaxBytes int64
	// SegmentBytes is the size at which a new segment is begun. Default 64 MiB.
	SegmentBytes int64
	// BlockRows and BlockBytes bound a block. Defaults 50,000 and 8 MiB.
	BlockRows  int
	BlockBytes int
	// Now dates what is written. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("spool: no folder given")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.BlockRows == 0 {
		c.BlockRows = 50_000
	}
	if c.BlockBytes == 0 {
		c.BlockBytes = 8 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxBytes < 4096 || c.SegmentBytes < 1024 || c.BlockRows < 1 || c.BlockBytes < 1 {
		return c, errors.New("spool: max_bytes must be at least 4096, segment bytes 1024, block rows and bytes 1")
	}
	return c, nil
}

// A Batch is appended whole or not at all: rows for the store, and what they
// change in the collector's state, opaque to the spool.
type Batch struct {
	State   []byte
	Records []schema.Record
}

// Torn reports what was cut off at the end of the last segment when the spool
// was opened: a write that a crash interrupted before it was acknowledged.
type Torn struct {
	File   string // empty if nothing was cut off
	Offset int64
	Bytes  int64
}

// Stats is a moment's view for metrics.
type Stats struct {
	Bytes           int64     // size of all segments
	PendingBytes    int64     // of those, not yet acknowledged by the store
	PendingRows     uint64    // rows not yet acknowledged by the store
	SinceCheckpoint int64     // bytes after the last snapshot
	Segments        int       // files
	OldestPendingAt time.Time // when the oldest such row was appended, at the latest known; zero if none
}

// Spool is an open spool. Append, Checkpoint and Stats may be called
// concurrently; Next, Ack and DropBefore may too, but only one reader makes sense.
type Spool struct {
	cfg  Config
	id   spoolID
	lock *os.File
	torn Torn

	// filesMu orders what removes or replaces segment files.
	filesMu sync.Mutex

	mu        sync.Mutex // guards what follows
	closed    bool
	queue     []*request
	segments  []*segment // by number; the last is the active one
	bytes     int64      // sum of their sizes
	acked     uint64     // copy of the cursor's, for Stats and collection
	pendingAt time.Time  // when the oldest pending row was appended; zero if none
	readSize  int64      // bytes of the reader's segment that are acknowledged
	changed   chan struct{}

	work chan struct{} // tells the committer of the queue
	stop chan struct{}
	done sync.WaitGroup

	// active and the fields after it belong to the committer.
	active  *os.File
	suspect bool // active may hold more than it should: begin a new segment
	buf     []byte

	readMu sync.Mutex
	cursor *cursor
	reader reader
}

// Open locks the folder, checks every segment, cuts off a torn end and starts
// the committer. The caller closes the spool. Errors: [ErrLocked], a
// [*CorruptError], or the file system's.
func Open(cfg Config) (_ *Spool, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := os.Chmod(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := syncDir(filepath.Dir(cfg.Dir)); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{
		cfg:     cfg,
		changed: make(chan struct{}),
		work:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
	defer func() {
		if err != nil {
			s.closeFiles()
		}
	}()
	if err := s.takeLock(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		var corrupt *CorruptError
		if errors.As(err, &corrupt) {
			return nil, err // says spool and file already
		}
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s.acked = s.cursor.acked
	s.pendingAt = s.firstPendingAt()
	s.done.Go(s.commitLoop)
	return s, nil
}

func (s *Spool) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	s.lock = f
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("open spool %s: %w", s.cfg.Dir, ErrLocked)
		}
		return fmt.Errorf("open spool: lock: %w", err)
	}
	return nil
}

// load finds cursor and segments, or makes them in an empty folder.
func (s *Spool) load() error {
	names, err := s.segmentFiles()
	if err != nil {
		return err
	}
	path := filepath.Join(s.cfg.Dir, "cursor")
	s.cursor, err = openCursor(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && len(names) == 0:
		var id spoolID
		rand.Read(id[:])
		if s.cursor, err = createCursor(s.cfg.Dir, path, id); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist):
		return &CorruptError{File: path, Detail: "cursor is missing although there are segments"}
	case err != nil:
		return err
	}
	s.id = s.cursor.id
	if len(names) == 0 {
		if s.cursor.position != (position{}) {
			return &CorruptError{File: path, Detail: "cursor is past the start although there are no segments"}
		}
		g := &segment{number: 1}
		if s.active, err = createSegment(s.cfg.Dir, s.id, g, nil); err != nil {
			return err
		}
		s.segments, s.bytes = []*segment{g}, g.size
		return nil
	}
	return s.loadSegments(names)
}

// segmentFiles lists segment files by number and removes what a crash left
// under a temporary name.
func (s *Spool) segmentFiles() ([]string, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), temporarySuffix):
			if err := os.Remove(filepath.Join(s.cfg.Dir, e.Name())); err != nil {
				return nil, err
			}
		case strings.HasSuffix(e.Name(), segmentSuffix):
			names = append(names, filepath.Join(s.cfg.Dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// loadSegments reads the headers, then every frame, since where a segment ends
// is said by the header of the next.
func (s *Spool) loadSegments(names []string) error {
	for i, name := range names {
		g, err := s.loadHead(name)
		if err != nil {
			return err
		}
		if i > 0 && g.number != s.segments[i-1].number+1 {
			return &CorruptError{File: name, Detail: "the segment before this one is missing"}
		}
		s.segments = append(s.segments, g)
	}
	last := len(names) - 1
	for i, g := range s.segments {
		var sealedAt uint64
		flag := os.O_RDONLY
		if i < last {
			sealedAt = s.segments[i+1].firstFrame
		} else {
			flag = os.O_RDWR
		}
		f, err := os.OpenFile(names[i], flag, 0)
		if err != nil {
			return err
		}
		if i == last {
			s.active = f
		}
		torn, err := g.scan(f, s.id, sealedAt, nil)
		if err == nil && i < last && g.endRecord != s.segments[i+1].firstRecord {
			err = &CorruptError{File: names[i+1], Detail: "rows before this segment are missing"}
		}
		if err == nil && torn > 0 {
			s.torn = Torn{File: names[i], Offset: g.size, Bytes: torn}
			if err = f.Truncate(g.size); err == nil {
				err = f.Sync()
			}
		}
		if i < last {
			f.Close()
		}
		if err != nil {
			return err
		}
		s.bytes += g.size
	}
	return s.checkEnds(names)
}

func (s *Spool) loadHead(name string) (*segment, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, segmentHeadBytes)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	id, g, err := parseSegmentHead(b[:n], name)
	if err != nil {
		return nil, err
	}
	if id != s.id || filepath.Base(name) != segmentName(g.number) {
		return nil, &CorruptError{File: name, Detail: "segment belongs to another spool or place"}
	}
	return g, nil
}

// checkEnds checks the log's two ends against the cursor and each other: what
// was cut off must not have been delivered, and what is gone must have been.
func (s *Spool) checkEnds(names []string) error {
	first, last := s.segments[0], s.segments[len(s.segments)-1]
	if s.cursor.blockEnd > last.endRecord {
		return &CorruptError{names[len(names)-1], last.size, "rows that were acknowledged are missing at the end"}
	}
	if first.firstRecord > s.cursor.acked {
		return &CorruptError{File: names[0], Detail: "rows that the store does not have are missing before this segment"}
	}
	if first.number > 1 && !slices.ContainsFunc(s.segments, func(g *segment) bool { return g.snapshot }) {
		return &CorruptError{File: names[0], Detail: "the segment with the last snapshot is missing"}
	}
	return nil
}

// Torn reports what Open cut off.
func (s *Spool) Torn() Torn { return s.torn }

// Stats returns a moment's view.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Bytes: s.bytes, Segments: len(s.segments), OldestPendingAt: s.pendingAt}
	last := s.segments[len(s.segments)-1]
	if last.endRecord > s.acked {
		st.PendingRows = last.endRecord - s.acked
	}
	found := false
	for _, g := range s.segments {
		if g.snapshot {
			st.SinceCheckpoint = 0
		}
		st.SinceCheckpoint += g.size
		if g.endRecord > s.acked {
			st.PendingBytes += g.size
			if !found {
				st.PendingBytes -= s.readSize
				found = true
			}
		}
	}
	return st
}

// firstPendingAt is an approximation at start: the time of the first segment
// that has pending rows.
func (s *Spool) firstPendingAt() time.Time {
	for _, g := range s.segments {
		if g.endRecord > s.acked {
			return g.firstAt
		}
	}
	return time.Time{}
}

// Close refuses what is queued, waits for what is being written and releases
// the folder. It may be called twice.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	s.done.Wait()
	s.readMu.Lock()
	defer s.readMu.Unlock()
	return s.closeFiles()
}

func (s *Spool) closeFiles() error {
	var errs []error
	s.reader.close()
	if s.active != nil {
		errs = append(errs, s.active.Close())
	}
	if s.cursor != nil {
		errs = append(errs, s.cursor.f.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
