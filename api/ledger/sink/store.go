package sink

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"griffier/api/durable"
	"griffier/api/ledger"
)

// The files of a store, in its folder.
const (
	entriesFile = "entries" // appended to, never rewritten: a length of 2 bytes and the entry, again and again
	headFile    = "head"    // how much of it counts, and the checkpoint over that
	lockFile    = "lock"

	headlessFile = "entries.headless-*" // what was found without a head
)

// sparseEvery is for every how many entries their place in the file is kept in
// memory.
const sparseEvery = 256

// headRecord is the head file.
type headRecord struct {
	Size       uint64 `json:"size"`  // entries
	Bytes      int64  `json:"bytes"` // of the entries file that they take
	Checkpoint string `json:"checkpoint"`
}

// BehindError says that a batch does not begin where the store ends.
type BehindError struct{ Size uint64 }

func (e *BehindError) Error() string { return fmt.Sprintf("sink: it has %d entries", e.Size) }

var (
	// ErrRefused says that a batch and what the store has do not give the root
	// that the checkpoint is signed over, or that the signature is not the log's.
	ErrRefused = errors.New("sink: not an extension of this ledger")
	// ErrDamaged says that the store's files are not what was written.
	ErrDamaged = errors.New("sink: damaged")
)

// Store is a copy of one ledger in a folder. It is safe for concurrent use; one
// process owns the folder.
type Store struct {
	dir, publicKey string
	lock, entries  *os.File

	mu     sync.RWMutex
	head   headRecord
	tree   *compact.Range
	places []int64 // of every sparseEvery-th entry
	broken error   // see failed
}

// Open opens the folder, making it if there is none, reads all entries and checks
// them against the checkpoint. What a crash left behind them is cut off.
func Open(dir, publicKey string) (*Store, error) {
	if _, err := ledger.Verifier(publicKey); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	s := &Store{dir: dir, publicKey: publicKey, tree: newRange()}
	var err error
	if s.lock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	if s.entries, err = os.OpenFile(filepath.Join(dir, entriesFile), os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		err = s.load()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sink: open %s: %w", dir, err), s.Close())
	}
	return s, nil
}

// lockFolder takes a folder for this process, until the file is closed.
func lockFolder(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("sink: %s is in use by another process: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// load reads head and entries.
func (s *Store) load() error {
	text, err := os.ReadFile(filepath.Join(s.dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s.setAside()
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.head); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, headFile, err)
	}
	if again, err := json.Marshal(s.head); err != nil || string(again)+"\n" != string(text) {
		return fmt.Errorf("%w: %s: not as it was written", ErrDamaged, headFile)
	}
	info, err := s.entries.Stat()
	if err != nil {
		return err
	}
	if info.Size() < s.head.Bytes {
		return fmt.Errorf("%w: %s has %d bytes, not %d", ErrDamaged, entriesFile, info.Size(), s.head.Bytes)
	}
	if err := s.entries.Truncate(s.head.Bytes); err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.entries, 0, s.head.Bytes), 1<<20)
	at := int64(0)
	for at < s.head.Bytes {
		leaf, err := readLeaf(r)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrDamaged, s.tree.End(), err)
		}
		s.place(at)
		if err := s.tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			return err
		}
		at += 2 + int64(len(leaf))
	}
	if s.tree.End() != s.head.Size {
		return fmt.Errorf("%w: %d entries, not %d", ErrDamaged, s.tree.End(), s.head.Size)
	}
	if err := s.covers(s.head.Checkpoint, s.tree); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return durable.SyncFolder(s.dir) // a kill may have come between the head's rename and this
}

// setAside begins anew beside entries of which no head says how many count: a crash
// left them before the first batch was whole, or somebody took the head away. They may
// be all that there is of the ledger, so they are kept, for a person to look at.
func (s *Store) setAside() error {
	info, err := s.entries.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	aside, err := os.CreateTemp(s.dir, headlessFile)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, entriesFile)
	if err := errors.Join(aside.Close(), os.Rename(path, aside.Name()), s.entries.Close()); err != nil {
		return err
	}
	if s.entries, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	return durable.SyncFolder(s.dir)
}

// Headless gives the files of entries that were set aside because no head was beside
// them: somebody should look at them.
func (s *Store) Headless() ([]string, error) {
	return filepath.Glob(filepath.Join(s.dir, headlessFile))
}

// place notes where the next entry begins. With mu held.
func (s *Store) place(at int64) {
	if s.tree.End()%sparseEvery == 0 {
		s.places = append(s.places, at)
	}
}

// covers checks that a checkpoint is the log's and is over exactly this tree.
func (s *Store) covers(checkpoint string, tree *compact.Range) error {
	h, err := ledger.OpenCheckpoint(checkpoint, s.publicKey)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	root, err := rootOf(tree)
	if err != nil {
		return err
	}
	if h.Size != tree.End() || !bytes.Equal(h.Root, root) {
		return fmt.Errorf("%w: the checkpoint over %d entries has another root than the %d entries here", ErrRefused, h.Size, tree.End())
	}
	return nil
}

// Append adds entries from index from on, which must be Size, if the checkpoint
// is over all entries that there are then. It returns when they are on disk.
// Errors: *BehindError, ErrRefused; nothing was added.
func (s *Store) Append(from uint64, leaves [][]byte, checkpoint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if from != s.head.Size {
		return &BehindError{s.head.Size}
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	next, err := f.NewRange(0, s.tree.End(), append([][]byte(nil), s.tree.Hashes()...))
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		if len(leaf) == 0 || len(leaf) > ledger.MaxEntryBytes {
			return fmt.Errorf("%w: an entry of %d bytes", ErrRefused, len(leaf))
		}
		if err := next.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			return err
		}
	}
	if err := s.covers(checkpoint, next); err != nil {
		return err
	}
	data := appendLeaves(nil, leaves)
	head := headRecord{Size: next.End(), Bytes: s.head.Bytes + int64(len(data)), Checkpoint: checkpoint}
	if _, err := s.entries.WriteAt(data, s.head.Bytes); err != nil {
		return s.failed(err)
	}
	if err := s.entries.Sync(); err != nil {
		return s.failed(err)
	}
	text, err := json.Marshal(head)
	if err == nil {
		err = durable.Write(filepath.Join(s.dir, headFile), append(text, '\n'))
	}
	if err != nil {
		return s.failed(err)
	}
	at := s.head.Bytes
	for _, leaf := range leaves {
		s.place(at)
		if err := s.tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			return s.failed(err)
		}
		at += 2 + int64(len(leaf))
	}
	s.head = head
	return nil
}

// failed tells why a batch was not written. Where there is no room, that is all: what
// was written of it does not count, and is written again with the next. After anything
// else, everything is refused until the store is opened again, which finds out what is
// on disk: what a failed sync left there is anybody's guess. With mu held.
func (s *Store) failed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("sink: there is no room: %w", err)
	}
	s.broken = fmt.Errorf("sink: cannot be written, start it again: %w", err)
	return s.broken
}

// Head gives the checkpoint over all entries; empty if there are none.
func (s *Store) Head() (size uint64, checkpoint string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head.Size, s.head.Checkpoint
}

// Read gives entries from index from on: at most n, and no more than fit into an
// answer; none past the end.
func (s *Store) Read(from uint64, n int) ([][]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if from >= s.head.Size || n <= 0 {
		return nil, nil
	}
	start := s.places[from/sparseEvery]
	r := bufio.NewReaderSize(io.NewSectionReader(s.entries, start, s.head.Bytes-start), 1<<18)
	var leaves [][]byte
	total := 0
	for index := from - from%sparseEvery; index < s.head.Size && len(leaves) < min(n, maxBatchEntries) && total < maxBatchBytes; index++ {
		leaf, err := readLeaf(r)
		if err != nil {
			return nil, fmt.Errorf("sink: entry %d: %w", index, err)
		}
		if index >= from {
			leaves = append(leaves, leaf)
			total += 2 + len(leaf)
		}
	}
	return leaves, nil
}

// Close gives the folder back.
func (s *Store) Close() error {
	var errs []error
	for _, f := range []*os.File{s.entries, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Forget sets a copy aside, so that the ledger ships itself again from the
// beginning: for a ledger that went on without entries that are lost for good. It
// gives the folder's new name. It is refused while a server runs on it.
func Forget(dir string, now time.Time) (string, error) {
	lock, err := lockFolder(dir)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	aside := filepath.Clean(dir) + ".forgotten-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(dir, aside); err != nil {
		return "", fmt.Errorf("sink: forget: %w", err)
	}
	return aside, durable.SyncFolder(filepath.Dir(aside))
}

func readLeaf(r io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	leaf := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(r, leaf)
	return leaf, err
}

func newRange() *compact.Range {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return f.NewEmptyRange(0)
}

func rootOf(r *compact.Range) ([]byte, error) {
	if r.End() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return r.GetRootHash(nil)
}
