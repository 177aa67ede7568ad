package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/keystore"
)

// Fold is a state that is computed from the log and nothing else.
//
// Apply is called once for each entry, in the order of the log, at start and
// after each append, never by two goroutines at once. It must be pure. It
// ignores what does not concern it; an error means that the log cannot be
// understood, and stops the ledger. Others read the state under Log.View.
type Fold interface {
	Apply(Entry) error
}

// Config says which log to open, and how.
type Config struct {
	Dir         string // the log's folder, made with mode 0700; one process owns it
	WitnessFile string // remembers the newest head; put it on another disk than Dir
	Key         *Key   // signs checkpoints
	Origin      string // the log's name, which must be that of Key; empty takes it from there
	Keys        *keystore.Store
	Folds       []Fold

	Now            func() time.Time // nil means time.Now
	ClockTolerance time.Duration    // how far the clock may fall behind the log; 0 means 2 s
	Limit          time.Duration    // after which an outcome is called unknown; 0 means 2 s
	Logger         *slog.Logger     // nil means slog.Default

	// Remotes are the witnesses and the second sink. At start each is asked for
	// RemoteWait at most (0 means 10 s); RemotesNeeded of them (0 means 1) must answer,
	// and all that do must agree.
	Remotes       []Remote
	RemoteWait    time.Duration
	RemotesNeeded int

	// AcceptWitnessLoss starts despite a disagreement with the witness file, or
	// although too few remotes answer, and enters in the ledger that it did (kind
	// KindWitnessLoss). For an operator who knows what was lost, and for one start.
	// It does not overrule a remote that disagrees: only who runs it can.
	AcceptWitnessLoss bool
}

// Kinds of entries that the ledger itself writes.
const (
	// KindWitnessLoss records that an operator started the ledger despite a
	// WitnessError. Facts: cause, log_size, witness_size, and where too few remotes
	// answered: remotes, needed, answered.
	KindWitnessLoss = "ledger.witness_loss_accepted"
)

const (
	batchMaxAge     = 250 * time.Microsecond // much longer than handing in all that waits takes
	batchMaxEntries = 256
	maxInFlight     = 4096
	closeLimit      = 10 * time.Second
)

// Log is an open ledger. All methods are safe for concurrent use.
type Log struct {
	cfg       Config
	origin    string
	verifiers note.Verifiers
	lock      *os.File

	appender *tessera.Appender
	stop     func() // tessera's goroutines; nothing may be on its way then

	submit  chan *submission // to the sequencer; unbuffered: received means taken
	inTree  chan *submission // handed to tessera, in order; to the folder
	idle    chan struct{}    // a hint that tessera, or everything, has nothing left to do
	closing chan struct{}
	running sync.WaitGroup

	published head // of the checkpoint file; owned by publishInTime after Open

	// view is held for writing while folds apply.
	view sync.RWMutex

	// Owned by the folder goroutine after Open.
	tree    *compact.Range // over all folded entries
	pending []foldedEntry  // folded, not yet acknowledged
	slots   witnessSlots

	mu         sync.Mutex
	changed    *sync.Cond // on any change of what follows
	inFlight   int        // claimed, not yet finished
	inTessera  int        // of these, those that tessera has not resolved
	settledAt  time.Time  // when inFlight last became 0
	overdue    map[*submission]struct{}
	resyncing  bool  // after a failed append: until the folder knows what is in the log
	broken     error // for good
	closed     bool
	acked      head // durable, folded and witnessed
	checkpoint string
	lastAt     time.Time
	requests   map[string]uint64 // of decisions

	cosigned []keptCosigned // see keepBest
}

// Open takes the folder, checks the whole log, holds it against the witness
// file, and folds it. Nothing is served from a log that fails: errors ErrLocked,
// ErrTampered, ErrWitness (a *WitnessError), which is also when too few remotes answer or
// one disagrees. The folds are valid only if Open succeeds. Close the log to give the folder back.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Dir == "" || cfg.WitnessFile == "" || cfg.Key == nil {
		return nil, errors.New("ledger: open: Dir, WitnessFile and Key are mandatory")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ClockTolerance == 0 {
		cfg.ClockTolerance = 2 * time.Second
	}
	if cfg.Limit == 0 {
		cfg.Limit = 2 * time.Second
	}
	if cfg.RemoteWait == 0 {
		cfg.RemoteWait = remoteWait
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if name := cfg.Key.Signer.Name(); cfg.Origin != "" && cfg.Origin != name {
		return nil, fmt.Errorf("ledger: open: origin is %q, but the signing key is for %q", cfg.Origin, name)
	}
	verifier, err := Verifier(cfg.Key.Public)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: open: %w", err)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("ledger: open: %w", err)
	}
	l := &Log{
		cfg: cfg, origin: cfg.Key.Signer.Name(), verifiers: note.VerifierList(verifier), lock: lock,
		submit:   make(chan *submission),
		inTree:   make(chan *submission, maxInFlight),
		idle:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		overdue:  map[*submission]struct{}{},
		requests: map[string]uint64{},
		slots:    witnessSlots{path: cfg.WitnessFile},
	}
	l.changed = sync.NewCond(&l.mu)
	lost, err := l.load(ctx)
	if err == nil {
		err = l.start()
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: open: %w", errors.Join(err, lock.Close()))
	}
	if lost != nil {
		facts := map[string]any{"cause": lost.Cause, "log_size": lost.LogSize, "witness_size": lost.WitnessSize}
		if lost.Answered < lost.Needed {
			facts["remotes"], facts["needed"], facts["answered"] = lost.Asked, lost.Needed, lost.Answered
		}
		if _, err := l.Append(ctx, Draft{Kind: KindWitnessLoss, Facts: facts}); err != nil {
			return nil, fmt.Errorf("ledger: open: record the accepted loss: %w", errors.Join(err, l.Close()))
		}
	}
	return l, nil
}

// load checks and folds what is on disk. It gives the disagreement with the
// witness that the configuration tells to accept, if there is one.
func (l *Log) load(ctx context.Context) (*WitnessError, error) {
	answers := l.askRemotes(ctx)
	in := inspector{dir: l.cfg.Dir, origin: l.origin, verifiers: l.verifiers, witnessPath: l.cfg.WitnessFile, remotes: answers.heads}
	found, err := in.run(ctx)
	if err != nil {
		return nil, err
	}
	if len(found.problems) > 0 {
		return nil, fmt.Errorf("%w: %s (%d findings; run `griffier ledger verify`)", ErrTampered, found.problems[0], len(found.problems))
	}
	if found.witness == nil || l.cfg.AcceptWitnessLoss { // else the file has told already
		remote := answers.compare(found.head.size, func(n uint64) []byte { return in.roots[n] })
		if remote != nil && (remote.Cause != WitnessUnreachable || !l.cfg.AcceptWitnessLoss) {
			return nil, remote
		}
		if found.witness == nil {
			found.witness = remote
		} else if remote != nil { // both are accepted, and entered
			found.witness.Asked, found.witness.Needed, found.witness.Answered = remote.Asked, remote.Needed, remote.Answered
		}
	}
	if found.witness != nil && !l.cfg.AcceptWitnessLoss {
		return nil, found.witness
	}
	if _, err := settleState(l.cfg.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // a new log has none
		return nil, err
	}
	l.tree, l.acked, l.published = found.tree, found.head, found.checkpoint
	err = readEntries(ctx, l.cfg.Dir, found.head.size, 0, found.head.size, func(index uint64, leaf []byte) error {
		e, err := decodeEntry(index, leaf)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrTampered, index, err)
		}
		return l.fold(e)
	})
	if err != nil {
		return nil, err
	}
	if l.checkpoint, err = signHead(l.acked, l.origin, l.cfg.Key.Signer); err != nil {
		return nil, err
	}
	if found.witness != nil {
		// The old file stays until the acceptance is in the log.
		return found.witness, nil
	}
	return nil, writeWitness(l.cfg.WitnessFile, l.acked, l.checkpoint)
}

// start starts tessera and the goroutines.
func (l *Log) start() (err error) {
	if l.appender, l.stop, err = openAppender(l.cfg.Dir, l.cfg.Key.Signer, l.cfg.Logger, batchMaxEntries, batchMaxAge); err != nil {
		return err
	}
	err = l.publish()
	if err == nil {
		err = removeDebris(l.cfg.Dir, l.acked.size)
	}
	if err != nil {
		l.stop()
		return err
	}
	q := &sequencer{log: l, stampedAt: l.LastAt()}
	l.running.Go(q.run)
	l.running.Go(l.foldInOrder)
	l.running.Go(l.publishInTime)
	return nil
}

// fold applies the folds to the next entry and notes its time and request.
func (l *Log) fold(e Entry) error {
	l.view.Lock()
	defer l.view.Unlock()
	for _, f := range l.cfg.Folds {
		if err := applyContained(f, e); err != nil {
			return fmt.Errorf("fold of entry %d: %w", e.Index, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastAt = e.Header.At
	if e.Header.Decided {
		l.requests[e.Header.RequestID] = e.Index
	}
	return nil
}

// View runs read while no fold applies, so that what it reads of the folds'
// states belongs together. It must not call Append, Decide or View.
func (l *Log) View(read func()) {
	l.view.RLock()
	defer l.view.RUnlock()
	read()
}

// LastAt gives the time of the newest entry, which is the floor below which no
// clock may be believed; zero for an empty log.
func (l *Log) LastAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastAt
}

// Size gives the number of entries that are acknowledged.
func (l *Log) Size() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked.size
}

// Err says why the ledger cannot take entries now: nil, or an error that is
// ErrUnavailable. For health checks.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unavailable()
}

// unavailable is Err with mu held.
func (l *Log) unavailable() error {
	switch {
	case l.closed:
		return ErrClosed
	case l.broken != nil:
		return fmt.Errorf("%w: stopped: %v", ErrUnavailable, l.broken)
	case l.resyncing:
		return fmt.Errorf("%w: an append failed, and the log is being read back", ErrUnavailable)
	case len(l.overdue) > 0:
		return fmt.Errorf("%w: an append takes more than %v", ErrUnavailable, l.cfg.Limit)
	}
	return nil
}

// breakFor stops the ledger for good: its memory no longer says what is on disk.
func (l *Log) breakFor(err error) {
	l.cfg.Logger.Error("ledger stopped", slog.String("error", err.Error()))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = err
	}
	l.changed.Broadcast()
}

// settleWitness leaves the witness file in its whole form, after the folder goroutine.
func (l *Log) settleWitness() {
	l.mu.Lock()
	h, checkpoint := l.acked, l.checkpoint
	l.mu.Unlock()
	if !l.slots.begun {
		return
	}
	if err := writeWitness(l.cfg.WitnessFile, h, checkpoint); err != nil { // the two halves are good, too
		l.cfg.Logger.Warn("ledger witness file left as it was", slog.String("error", err.Error()))
	}
}

// Close waits for what was handed in (a few seconds at most), publishes the last
// checkpoint and gives the folder back: nothing is written there afterwards. Closing
// twice is no error.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	close(l.closing)

	stopped := make(chan error, 1)
	go func() {
		l.running.Wait()
		l.settleWitness()
		stopped <- l.publish()
	}()
	defer l.stop()
	select {
	case err := <-stopped:
		if err := errors.Join(err, l.lock.Close()); err != nil {
			return fmt.Errorf("ledger: close: %w", err)
		}
		return nil
	case <-time.After(closeLimit):
		// Who writes has the folder, until the process ends.
		return errors.New("ledger: close: an append hangs; left behind")
	}
}
