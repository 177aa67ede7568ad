package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"griffier/api/durable"
	"griffier/api/ledger"
)

// Witness signs checkpoints of the logs that it knows. It is safe for concurrent
// use.
type Witness struct {
	dir  string
	lock *os.File // nil when it is only looked at
	key  *ledger.CosignerKey
	now  func() time.Time
	logs map[string]*watched // by origin
}

// watched is one log.
type watched struct {
	publicKey string
	path      string // of the newest cosigned checkpoint

	mu       sync.Mutex // held from the comparison to the answer: one at a time
	head     ledger.Head
	note     string // the newest cosigned checkpoint; empty before the first
	loggedAt time.Time
}

// historyEvery is how often a cosigned checkpoint is kept for good.
const historyEvery = time.Hour

// Config says whom to watch, and with what.
type Config struct {
	Dir  string // of what is remembered, mode 0700
	Key  *ledger.CosignerKey
	Logs []string // public keys (ledger.Key.Public), each of one log
	Now  func() time.Time
	// ReadOnly looks at the memory of a witness that may be running, and signs nothing.
	ReadOnly bool
}

// Open takes the folder and reads what is remembered. An unreadable memory is an
// error: a witness that forgot would sign anything.
func Open(cfg Config) (*Witness, error) {
	if cfg.Key == nil || cfg.Now == nil || len(cfg.Logs) == 0 {
		return nil, errors.New("witness: Key, Now and Logs are mandatory")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	w := &Witness{dir: cfg.Dir, key: cfg.Key, now: cfg.Now, logs: map[string]*watched{}}
	if !cfg.ReadOnly { // two that sign could sign two histories
		var err error
		if w.lock, err = lockFolder(cfg.Dir); err != nil {
			return nil, err
		}
	}
	if err := w.load(cfg.Logs); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// lockFolder takes a folder for this process, until the file is closed.
func lockFolder(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("witness: %s is in use by another process: %w", dir, err), lock.Close())
	}
	return lock, nil
}

// Close gives the folder back.
func (w *Witness) Close() error {
	if w.lock == nil {
		return nil
	}
	return w.lock.Close()
}

func (w *Witness) load(publicKeys []string) error {
	for _, public := range publicKeys {
		v, err := ledger.Verifier(public)
		if err != nil {
			return fmt.Errorf("witness: %w", err)
		}
		if w.logs[v.Name()] != nil {
			return fmt.Errorf("witness: two keys for the log %s", v.Name())
		}
		l := &watched{publicKey: public, path: memoryOf(w.dir, v.Name())}
		text, err := os.ReadFile(l.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("witness: %w", err)
		default:
			l.note = string(text)
			if l.head, err = ledger.OpenCheckpoint(l.note, public); err != nil {
				return fmt.Errorf("witness: memory of %s in %s: %w; it signs nothing until that is put right", v.Name(), l.path, err)
			}
			if signed, err := (ledger.Cosigned{Checkpoint: l.note}).Cosigners(w.key.Public); err != nil || len(signed) != 1 {
				return fmt.Errorf("witness: memory of %s in %s is not signed by this witness (%v)", v.Name(), l.path, err)
			}
		}
		w.logs[v.Name()] = l
	}
	return nil
}

// memoryOf is the file with the newest cosigned checkpoint of a log.
func memoryOf(dir, origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(dir, hex.EncodeToString(sum[:8])+".checkpoint")
}

// Refusals of a checkpoint.
var (
	errUnknownLog   = errors.New("no such log here")
	errNotSigned    = errors.New("not signed by the log's key")
	errBackwards    = errors.New("the old size is beyond the checkpoint")
	errInconsistent = errors.New("the checkpoint does not extend what was signed before")
)

// add checks a checkpoint against what is remembered, remembers it durably, and
// gives the signature line.
func (w *Witness) add(req addCheckpoint) (string, error) {
	origin, _, _ := strings.Cut(req.checkpoint, "\n")
	l := w.logs[origin]
	if l == nil {
		return "", errUnknownLog
	}
	next, err := ledger.OpenCheckpoint(req.checkpoint, l.publicKey)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotSigned, err)
	}
	if req.old > next.Size {
		return "", errBackwards
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case req.old != l.head.Size:
		return "", &ConflictError{l.head.Size}
	case req.old == next.Size && l.note != "" && !bytes.Equal(next.Root, l.head.Root):
		return "", &ConflictError{l.head.Size}
	case req.old == 0 && len(req.proof) > 0:
		return "", fmt.Errorf("%w: a proof from nothing", errInconsistent)
	case req.old > 0:
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, req.old, next.Size, req.proof, l.head.Root, next.Root); err != nil {
			return "", fmt.Errorf("%w: %w", errInconsistent, err)
		}
	}
	if w.lock == nil {
		return "", errors.New("witness: opened to be looked at only")
	}
	at := w.now()
	line, err := w.key.Cosign(req.checkpoint, at)
	if err != nil {
		return "", err
	}
	// The log's signature and ours; what others signed is not ours to pass on.
	own, err := onlyOf(req.checkpoint, origin)
	if err != nil {
		return "", err
	}
	note := own + line
	if err := durable.Write(l.path, []byte(note)); err != nil {
		return "", err
	}
	l.head, l.note = next, note
	if at.Sub(l.loggedAt) >= historyEvery {
		if err := w.record(l, at); err != nil {
			return "", err
		}
		l.loggedAt = at
	}
	return line, nil
}

// onlyOf gives a note with the signature lines of one name.
func onlyOf(checkpoint, name string) (string, error) {
	text, signatures, ok := strings.Cut(checkpoint, "\n\n")
	if !ok {
		return "", errNotSigned
	}
	out := text + "\n\n"
	for line := range strings.Lines(signatures) {
		if strings.HasPrefix(line, "— "+name+" ") {
			out += line
		}
	}
	return out, nil
}

// Past is a line of a log's history: a checkpoint that the witness signed once.
type Past struct {
	At         time.Time `json:"at"`
	Size       uint64    `json:"size"`
	Checkpoint string    `json:"checkpoint"` // cosigned
}

// ParsePast reads a line of a history, as it was written and not otherwise. Whether it
// is signed is for ledger.Verify.
func ParsePast(line []byte) (Past, error) {
	var p Past
	if err := json.Unmarshal(line, &p); err != nil {
		return Past{}, fmt.Errorf("witness: history: %w", err)
	}
	if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, line) {
		return Past{}, errors.New("witness: history: not as it was written")
	}
	return p, nil
}

// record appends the newest checkpoint to the log's history: one JSON object a
// line, by which entries can be dated years later.
func (w *Witness) record(l *watched, at time.Time) error {
	line, err := json.Marshal(Past{at.UTC().Truncate(time.Second), l.head.Size, l.note})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(strings.TrimSuffix(l.path, ".checkpoint")+".history", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	end, err := endOfLines(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), end)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// maxPastBytes bounds a line of a history.
const maxPastBytes = 256 << 10

// endOfLines gives where the last whole line of a history ends. What a crash or a full
// disk left after it is none, and would spoil the next.
func endOfLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	from := max(0, info.Size()-maxPastBytes)
	tail := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return 0, err
	}
	last := bytes.LastIndexByte(tail, '\n')
	if last < 0 && from > 0 {
		return 0, fmt.Errorf("witness: history: no line in its last %d bytes", maxPastBytes)
	}
	return from + int64(last) + 1, nil
}

// remembered gives the newest cosigned checkpoint of a log; empty before the first.
func (w *Witness) remembered(origin string) (string, error) {
	l := w.logs[origin]
	if l == nil {
		return "", errUnknownLog
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.note, nil
}

// Forget sets what dir remembers of a log aside, so that a witness of it signs
// whatever comes next: for when entries are lost for good, and never before that
// is certain. It gives the file's new name. It is refused while a witness runs there,
// which would go on from what it has in memory.
func Forget(dir, origin string, now time.Time) (string, error) {
	lock, err := lockFolder(dir)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	path := memoryOf(dir, origin)
	aside := path + ".forgotten-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("witness: forget: %w", err)
	}
	return aside, durable.SyncFolder(dir)
}

// Memory is what a witness remembers of one log.
type Memory struct {
	Origin   string    `json:"origin"`
	Size     uint64    `json:"entries"`
	Root     string    `json:"root"` // base64, as in the checkpoint
	SignedAt time.Time `json:"signed_at"`
	Note     string    `json:"checkpoint"`
}

// Memory gives what is remembered of each log that ever showed a checkpoint, by
// origin.
func (w *Witness) Memory() []Memory {
	var out []Memory
	for _, origin := range slices.Sorted(maps.Keys(w.logs)) {
		l := w.logs[origin]
		l.mu.Lock()
		m := Memory{Origin: origin, Size: l.head.Size, Root: base64.StdEncoding.EncodeToString(l.head.Root), Note: l.note}
		l.mu.Unlock()
		if m.Note == "" {
			continue
		}
		// It was checked when it was read or written.
		if signed, err := (ledger.Cosigned{Checkpoint: m.Note}).Cosigners(w.key.Public); err == nil && len(signed) > 0 {
			m.SignedAt = signed[0].At
		}
		out = append(out, m)
	}
	return out
}
