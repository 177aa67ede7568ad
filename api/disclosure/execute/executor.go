package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"griffier/api/disclosure"
	"griffier/api/hold/keep"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/schema"
)

// Book is the part of the ledger that execution uses ([ledger.Log]).
type Book interface {
	warrantrpc.Book
	Proof(ctx context.Context, index uint64) (ledger.Proof, error)
}

// traffic is what is read of the traffic store ([Traffic]), or of a hold in its place
// ([keep.Opened]).
type traffic interface {
	Limits(ctx context.Context) (map[schema.Class]schema.Limit, error)
	Coverage(ctx context.Context, collectors []string, from, to time.Time) ([]schema.Coverage, error)
	Assignments(ctx context.Context, p disclosure.Plan) ([]schema.Assignment, error)
	History(ctx context.Context, refs []schema.AccessRef, classes []schema.Class, from, to time.Time, limit int) (keep.History, error)
	Translated(ctx context.Context, inside []netip.Addr, from, to time.Time, limit int) ([]schema.Assignment, error)
}

// Register is what is read of the register ([register.Register]).
type Register interface {
	RangesOf(ctx context.Context, address netip.Addr, start, end time.Time) ([]register.Range, error)
	RangesIn(ctx context.Context, start, end time.Time) ([]register.Range, error)
	LinesOfRefs(ctx context.Context, refs []schema.AccessRef, start, end time.Time) ([]register.Held, error)
	RefsOfLine(ctx context.Context, lineID string, start, end time.Time) ([]register.Held, error)
	// Line returns a line's contract, or [register.ErrUnknownLine].
	Line(ctx context.Context, lineID string) (register.Line, error)
	// Identity returns the person of a line at an instant, or an error that is
	// [register.ErrUnknownLine] or [register.ErrErased].
	Identity(ctx context.Context, lineID string, instant time.Time) (register.Person, error)
	LinesOfIdentifier(ctx context.Context, id schema.Identifier, start, end time.Time) ([]register.Held, error)
	LinesOfSought(ctx context.Context, s register.Sought, limit int) ([]string, error)
}

// Lines is a register, or a hold in its place.
type Lines interface {
	Register
	// LinesOfTarget returns the lines that had the address that the hold is of.
	LinesOfTarget(ctx context.Context) ([]string, error)
}

// trust tells whether this host's clock can be believed (api/clock): nil, or a
// [reason.Error] with CLOCK_UNTRUSTED.
type trust interface{ Check() error }

// Config holds what an [Executor] needs.
type Config struct {
	Book    Book
	State   *warrant.State // a fold of Book
	Rules   *warrant.Rules
	Traffic traffic
	Lines   Register
	Signer  *disclosure.Signer
	Packing Packing
	// Holds keeps what is preserved. Nil: nothing can be, and no hold is known.
	Holds *keep.Keeper
	// Dir is the folder of sealed packages; one process owns it.
	Dir      string
	Software string // name and version, for manifests
	// ClockMargin is added to every stated uncertainty. Zero means
	// [disclosure.DefaultClockMargin].
	ClockMargin time.Duration
	// AnyClock believes what collectors saw by clocks that nothing kept, as a laboratory
	// does.
	AnyClock bool
	// Grace is how long after the last moment that a question is about it is not run
	// yet: rows may still be on their way (disclosure.md D-51). Zero means
	// [DefaultGrace], negative none.
	Grace time.Duration
	// AccountingInterval is as [disclosure.DefaultAccountingInterval], which zero means;
	// negative: none.
	AccountingInterval time.Duration
	// NeighbourMargin is how far outside of the uncertainty interval another holder of
	// the address is warned of. Zero means [disclosure.DefaultNeighbourMargin], negative
	// none.
	NeighbourMargin time.Duration
	// Country is where postcodes of targets are, ISO 3166-1 alpha-2. Empty: that of the
	// legal profile's zone, if it is known.
	Country string
	// Conflict is asked before records of lines are sealed, with who asked for them and
	// the warrant that others approved. It returns a [reason.Error] with
	// CONFLICT_OF_INTEREST, which names nobody, or nil. Nil: nobody has any.
	Conflict func(ctx context.Context, w warrant.Warrant, by warrant.Caller, lineIDs []string) error
	// Resolved is told, after that, of which lines a task's records are, so that oversight
	// sees how often a line is disclosed. An error is one of the ledger: nothing is
	// sealed then. Nil: nobody watches.
	Resolved func(ctx context.Context, t warrant.Task, w warrant.Warrant, lineIDs []string) error
	// MayAsk refuses a task of somebody who made too many. Nil: nobody has.
	MayAsk func(ctx context.Context, by warrant.Caller) error
	// Limit bounds one execution. Default 60 s.
	Limit time.Duration
	Now   func() time.Time
	// Clock is asked before anything is executed or handed over. Nil leaves it to
	// the ledger, which refuses a clock that stands behind it.
	Clock trust
	Log   *slog.Logger
}

// Executor carries out tasks. It is safe for concurrent use. Call [Executor.Recover]
// once before the first task, and keep [Executor.Run] running.
type Executor struct {
	cfg   Config
	shelf shelf

	mu      sync.Mutex
	running map[string]*run // by task
}

// run is the one execution, fetch or clean-up that holds a task.
type run struct {
	warrantID string
	cancel    context.CancelCauseFunc
	done      chan struct{}
}

// errEnded is the cause with which a run is cancelled when its warrant ended, or
// does not let it go on.
var errEnded = errors.New("the warrant ended")

// service is the actor of acts that nobody asked for.
var service = warrant.Caller{Actor: "griffierd", Roles: []warrant.Role{warrant.Executor}}

// DefaultGrace is how long rows may take to arrive, if the configuration does not
// say.
const DefaultGrace = 15 * time.Minute

// New returns an executor.
func New(cfg Config) (*Executor, error) {
	if cfg.Book == nil || cfg.State == nil || cfg.Rules == nil || cfg.Traffic == nil || cfg.Lines == nil || cfg.Signer == nil || cfg.Now == nil {
		return nil, errors.New("executor: Book, State, Rules, Traffic, Lines, Signer and Now are mandatory")
	}
	if cfg.ClockMargin == 0 {
		cfg.ClockMargin = disclosure.DefaultClockMargin
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.NeighbourMargin == 0 {
		cfg.NeighbourMargin = disclosure.DefaultNeighbourMargin
	}
	cfg.NeighbourMargin = max(0, cfg.NeighbourMargin)
	if cfg.AccountingInterval == 0 {
		cfg.AccountingInterval = disclosure.DefaultAccountingInterval
	}
	cfg.AccountingInterval = max(0, cfg.AccountingInterval)
	if cfg.Limit == 0 {
		cfg.Limit = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s, err := openShelf(cfg.Dir)
	if err != nil {
		return nil, err
	}
	x := &Executor{cfg: cfg, shelf: s, running: map[string]*run{}}
	if _, err := x.zone(); err != nil {
		return nil, err
	}
	return x, nil
}

// zone is the zone that instants are shown in beside UTC: of the legal profile that is
// in force now.
func (x *Executor) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(x.cfg.Rules.Law().Zone())
	if err != nil {
		return nil, fmt.Errorf("executor: zone of the legal-basis profile: %w", err)
	}
	return zone, nil
}

// country is that in which postcodes are sought.
func (x *Executor) country() string { return cmp.Or(x.cfg.Country, x.cfg.Rules.Law().Nation()) }

// hold takes a task for one goroutine, waiting for another that has it, and
// returns a context that ends when the warrant is ended.
func (x *Executor) hold(ctx context.Context, taskID, warrantID string) (context.Context, func(), error) {
	for {
		x.mu.Lock()
		other := x.running[taskID]
		if other == nil {
			ctx, cancel := context.WithCancelCause(ctx)
			r := &run{warrantID, cancel, make(chan struct{})}
			x.running[taskID] = r
			x.mu.Unlock()
			return ctx, func() {
				x.mu.Lock()
				delete(x.running, taskID)
				x.mu.Unlock()
				cancel(nil)
				close(r.done)
			}, nil
		}
		x.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// trustClock refuses while the clock cannot be believed: warrants and instants
// are judged by it.
func (x *Executor) trustClock() error {
	if x.cfg.Clock == nil {
		return nil
	}
	return x.cfg.Clock.Check()
}

// Execute runs a task, or returns what it came to when it was run before.
func (x *Executor) Execute(ctx context.Context, by warrant.Caller, taskID string, generation uint64) error {
	if err := x.trustClock(); err != nil {
		return err
	}
	t, w, ok := x.cfg.State.Task(taskID)
	if !ok {
		return reason.New(reason.NotFound, "")
	}
	// What is begun is finished: a caller who goes away must not leave an intent
	// without its result.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), x.cfg.Limit)
	defer stop()
	ctx, release, err := x.hold(ctx, taskID, w.ID)
	if err != nil {
		return err
	}
	defer release()
	if t, w, ok = x.cfg.State.Task(taskID); !ok {
		return reason.New(reason.NotFound, "")
	}
	if !t.ReleasedAt.IsZero() {
		if generation != t.Generation {
			return reason.New(reason.GenerationMismatch, "")
		}
		return nil
	}
	if t.Stored() == warrant.TaskRejected {
		return x.refused(ctx, t, generation)
	}
	if t.Stored() == warrant.TaskSealed && generation == t.Generation && !t.Void(&w, x.cfg.Now()) {
		if _, err := x.shelf.sealed(taskID, t.PackageSHA256); err == nil {
			// What waits for a person, or for an approval to be given again, stays
			// sealed: the data may have expired by then.
			if refusal := x.cfg.Rules.StillExecutable(x.cfg.State, x.cfg.Now(), taskID, generation); refusal != nil {
				return refusal
			}
			return x.release(ctx, by, t, w)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("execute: %w", err)
		}
	}
	if t.Stored() == warrant.TaskSealed || t.Stored() == warrant.TaskExecuting {
		// Nobody holds it, so it was left behind: by a ledger that did not answer.
		if err := x.abort(ctx, by, t, reason.Internal, true); err != nil {
			return err
		}
	}
	if refusal := x.cfg.Rules.StillExecutable(x.cfg.State, x.cfg.Now(), taskID, generation); refusal != nil {
		return refusal
	}
	return x.execute(ctx, by, t, w, generation)
}

func (x *Executor) execute(ctx context.Context, by warrant.Caller, t warrant.Task, w warrant.Warrant, generation uint64) error {
	question, err := warrantrpc.Question(ctx, x.cfg.Book, t)
	if err != nil {
		return err
	}
	content, err := warrantrpc.Content(ctx, x.cfg.Book, w)
	if err != nil {
		return err
	}
	if refusal := x.tooRecent(x.cfg.Now(), t.Category, question); refusal != nil {
		return refusal
	}
	// Only the query is cut off when the warrant ends. The steps around it are
	// judged by the decider, and their outcome must be known.
	steps := context.WithoutCancel(ctx)
	intent, err := warrantrpc.Decide(steps, x.cfg.Book, stepID(t.ID, "intent", t.Attempt+1), func(now time.Time) (ledger.Draft, *reason.Error) {
		return x.cfg.Rules.Begin(x.cfg.State, now, by, t.ID, generation, question)
	})
	if err != nil {
		return err
	}
	if t, w, _ = x.cfg.State.Task(t.ID); t.Stored() != warrant.TaskExecuting || t.IntentIndex != intent.Index {
		return reason.New(reason.UnknownOutcome, "")
	}
	outcome, err := x.answer(ctx, job{t: t, w: w, body: question, content: content, by: by})
	if err == nil {
		_, err = warrantrpc.Decide(steps, x.cfg.Book, stepID(t.ID, "result", t.Attempt), func(now time.Time) (ledger.Draft, *reason.Error) {
			if refusal := x.stillHeld(now, question, outcome.Answer); refusal != nil {
				return ledger.Draft{}, refusal
			}
			return x.cfg.Rules.Result(x.cfg.State, now, by, t.ID, generation, t.Attempt, outcome)
		})
	}
	if err != nil {
		return x.fail(ctx, by, t, err)
	}
	t, w, _ = x.cfg.State.Task(t.ID)
	return x.release(ctx, by, t, w)
}

// release proves the result, and lets the package go if the warrant still lasts
// at the entry's own time.
func (x *Executor) release(ctx context.Context, by warrant.Caller, t warrant.Task, w warrant.Warrant) error {
	steps := context.WithoutCancel(ctx) // as in execute
	question, err := warrantrpc.Question(steps, x.cfg.Book, t)
	if err == nil {
		err = x.writeReceipt(steps, t)
	}
	if err == nil {
		_, err = warrantrpc.Decide(steps, x.cfg.Book, stepID(t.ID, "release", t.Attempt), func(now time.Time) (ledger.Draft, *reason.Error) {
			if refusal := x.stillHeld(now, question, t.Answer); refusal != nil {
				return ledger.Draft{}, refusal
			}
			return x.cfg.Rules.Release(x.cfg.State, now, by, t.ID, w.Generation, t.Attempt)
		})
	}
	if err != nil {
		return x.fail(ctx, by, t, err)
	}
	return nil
}

func (x *Executor) writeReceipt(ctx context.Context, t warrant.Task) error {
	proof, err := x.cfg.Book.Proof(ctx, t.ResultIndex)
	if err != nil {
		return reason.Wrap(reason.LedgerUnavailable, err)
	}
	state, token, err := x.stampReceipt(ctx, proof.Checkpoint)
	if err != nil {
		return err
	}
	receipt, err := disclosure.NewReceipt(t.ID, t.PackageSHA256, proof, state, token)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return x.shelf.put(t.ID, receiptSuffix, receipt)
}

// fail leaves nothing behind but an abort entry, or that of a refusal for good, and
// returns why. When it is the ledger that failed, the outcome of the step is unknown:
// then everything stays as it is, a retry goes on from there, and nothing has left.
func (x *Executor) fail(ctx context.Context, by warrant.Caller, t warrant.Task, cause error) error {
	why := reason.Of(cause)
	switch why {
	case reason.UnknownOutcome, reason.LedgerUnavailable, reason.ClockUntrusted,
		reason.NoticePending: // sealed while the data is there; released when the notice is over
		return cause
	case reason.TimestampUnavailable:
		if t.Stored() == warrant.TaskSealed { // the package is whole; only its receipt waits
			return cause
		}
	case "":
		why = reason.Internal
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if warrant.Final(cause) && t.Stored() == warrant.TaskExecuting {
		return x.refuse(ctx, by, t, cause)
	}
	if err := x.abort(ctx, by, t, why, false); err != nil {
		x.cfg.Log.LogAttrs(ctx, slog.LevelError, "abort not entered", slog.String("task", t.ID), slog.String("reason", string(reason.Of(err))))
	}
	return cause
}

// refuse enters that the task is refused for good, and returns what its caller is told
// once that is entered: one who could not know it would ask the store again.
func (x *Executor) refuse(ctx context.Context, by warrant.Caller, t warrant.Task, cause error) error {
	_, err := warrantrpc.Decide(ctx, x.cfg.Book, stepID(t.ID, "refuse", t.Attempt), func(time.Time) (ledger.Draft, *reason.Error) {
		return x.cfg.Rules.Refuse(x.cfg.State, by, t.ID, t.Attempt, reason.From(cause))
	})
	if err == nil {
		err = x.shelf.destroy(t.ID)
	}
	if err != nil {
		return err
	}
	return cause
}

// refused returns the refusal that ended a task, as it was told the first time.
func (x *Executor) refused(ctx context.Context, t warrant.Task, generation uint64) error {
	if generation != t.Generation {
		return reason.New(reason.GenerationMismatch, "")
	}
	var b warrant.RefuseBody
	if err := warrantrpc.Body(ctx, x.cfg.Book, t.RefusedIndex, &b); err != nil {
		return err
	}
	return reason.New(t.Refusal, b.Detail)
}

// abort enters that the execution ended, and destroys what was sealed. Once the
// entry is folded nothing can be released; a file that a crash leaves is a stray.
func (x *Executor) abort(ctx context.Context, by warrant.Caller, t warrant.Task, why reason.Reason, restart bool) error {
	_, err := warrantrpc.Decide(ctx, x.cfg.Book, stepID(t.ID, "abort", t.Attempt), func(time.Time) (ledger.Draft, *reason.Error) {
		return x.cfg.Rules.Abort(x.cfg.State, by, t.ID, t.Attempt, why, restart)
	})
	if err != nil {
		return err
	}
	return x.shelf.destroy(t.ID)
}

// stepID names a step of an attempt, so that a retry finds the entry of the
// first try instead of making a second.
func stepID(taskID, step string, attempt uint32) string {
	return ledger.RequestID("executor", step, taskID+"/"+strconv.FormatUint(uint64(attempt), 10))
}
