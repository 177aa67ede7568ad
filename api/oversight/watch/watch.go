// Package watch does package oversight's watching: it makes the keys of tags and
// destroys them, enters the tags of warrants and disclosures in the ledger, and
// counts what oversight must hear of.
package watch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/server"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
)

// lookInterval is how often a key to destroy is looked for.
const lookInterval = time.Hour

// keys makes and destroys keys ([keystore.Store]).
type keys interface {
	Ensure(id string) error
	Shred(id string) error
}

// staff tells which lines are employees' ([register.Register]).
type staff interface {
	StaffLine(ctx context.Context, lineID string) (bool, error)
}

// Config holds what a [Watch] needs.
type Config struct {
	Staff  staff
	Book   warrantrpc.Book
	Keys   keys
	State  *oversight.State // a fold of Book
	Limits oversight.Limits
	Now    func() time.Time
	// Leap refuses a clock that leapt ([clock.Leap]), before a key is destroyed by it. Nil:
	// none is known to.
	Leap func(now time.Time) error
	Log  *slog.Logger
}

// Watch is the watching over the legal work. It is safe for concurrent use.
type Watch struct {
	cfg     Config
	alarms  *prometheus.CounterVec
	refused *prometheus.CounterVec

	mu      sync.Mutex
	secrets oversight.Secrets
}

// New returns a watch. registry may be nil.
func New(cfg Config, registry prometheus.Registerer) *Watch {
	cfg.Limits = cfg.Limits.Filled()
	w := &Watch{cfg: cfg, secrets: oversight.Secrets{},
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "griffier_oversight_alarms_total",
			Help: "Alarms to oversight, by kind: disclosures about one line across warrants (linkage), neighbouring addresses across warrants (walk)."}, []string{"kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "griffier_oversight_limited_total",
			Help: "Warrants and tasks refused because there were too many, by limit."}, []string{"limit"})}
	for _, kind := range []string{alarmLinkage, alarmWalk} {
		w.alarms.WithLabelValues(kind)
	}
	for _, limit := range []oversight.LimitName{oversight.WarrantsOfAuthority, oversight.TasksOfOfficer} {
		w.refused.WithLabelValues(string(limit))
	}
	if registry != nil {
		registry.MustRegister(w.alarms, w.refused)
	}
	return w
}

// Kinds of alarm, as a metric names them.
const (
	alarmLinkage = "linkage"
	alarmWalk    = "walk"
)

// present returns the secrets that can be matched, with that of the present
// period, which it makes if there is none.
func (w *Watch) present(ctx context.Context, now time.Time) (oversight.Secrets, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.load(ctx); err != nil {
		return nil, "", err
	}
	id := oversight.TagKeyID(oversight.Period(now), 0)
	for n := 1; w.secrets[id] == nil && w.cfg.State.HasTagKey(id); n++ { // lost, by restoring keys of before
		id = oversight.TagKeyID(oversight.Period(now), n)
	}
	if w.secrets[id] == nil {
		if err := w.make(ctx, id); err != nil {
			return nil, "", err
		}
	}
	return maps.Clone(w.secrets), id, nil
}

// make enters the secret of a new key. mu is held.
func (w *Watch) make(ctx context.Context, id string) error {
	secret := make([]byte, oversight.SecretBytes)
	rand.Read(secret) // never fails
	if err := w.cfg.Keys.Ensure(id); err != nil {
		return reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("key of tags: %w", err))
	}
	_, err := w.cfg.Book.Decide(ctx, ledger.RequestID("oversight", "tag-key", id), func(time.Time) (ledger.Draft, error) {
		return oversight.MakeTagKey(id, secret), nil
	})
	if err != nil {
		return warrantrpc.LedgerError(err)
	}
	if err := w.load(ctx); err != nil { // what is in the ledger counts
		return err
	}
	if w.secrets[id] == nil {
		return reason.New(reason.UnknownOutcome, "")
	}
	return nil
}

// load reads the secrets that are not known yet, and forgets those that were
// destroyed or lost. mu is held.
func (w *Watch) load(ctx context.Context) error {
	there := oversight.Secrets{}
	for _, k := range w.cfg.State.TagKeys() {
		if known := w.secrets[k.ID]; known != nil {
			there[k.ID] = known
			continue
		}
		body, err := w.body(ctx, k.Index)
		if errors.Is(err, keystore.ErrShredded) || errors.Is(err, keystore.ErrNotFound) || errors.Is(err, keystore.ErrSealed) {
			continue
		}
		if err != nil {
			return err
		}
		if there[k.ID], err = oversight.SecretOf(body); err != nil {
			return err
		}
	}
	w.secrets = there
	return nil
}

func (w *Watch) body(ctx context.Context, index uint64) ([]byte, error) {
	entries, err := w.cfg.Book.Read(ctx, index, 1)
	if err != nil {
		return nil, warrantrpc.LedgerError(err)
	}
	if len(entries) != 1 || entries[0].Index != index {
		return nil, reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("entry %d cannot be read", index))
	}
	return w.cfg.Book.Body(entries[0])
}

// classKey makes the key of this month's entries about no one case.
func (w *Watch) classKey(now time.Time) (string, error) {
	key := server.ClassKey("oversight", now)
	if err := w.cfg.Keys.Ensure(key); err != nil {
		return "", reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("class key: %w", err))
	}
	return key, nil
}

// Conflict refuses with CONFLICT_OF_INTEREST what is about a line of staff, whoever
// of staff asks, unless somebody from outside approved the warrant. It does not say
// about which line, nor whose.
func (w *Watch) Conflict(ctx context.Context, of warrant.Warrant, _ warrant.Caller, lineIDs []string) error {
	if slices.ContainsFunc(of.Approvals, func(a warrant.Approval) bool { return a.Role == warrant.ExternalApprover }) {
		return nil
	}
	conflict := false
	for _, id := range lineIDs { // all of them, so that the time it takes does not tell which
		is, err := w.cfg.Staff.StaffLine(ctx, id)
		if err != nil {
			return reason.Wrap(reason.StoreUnavailable, err)
		}
		conflict = conflict || is
	}
	if conflict {
		return reason.New(reason.ConflictOfInterest, "")
	}
	return nil
}

// Resolved enters that a task is being answered about lines, and counts an alarm for
// each of which there were several disclosures. It never refuses for that; an error
// says that the ledger did not take the entries, and then nothing may leave.
func (w *Watch) Resolved(ctx context.Context, t warrant.Task, of warrant.Warrant, lineIDs []string) error {
	ctx = context.WithoutCancel(ctx) // it must be known what became of each entry
	now := w.cfg.Now()
	secrets, keyID, err := w.present(ctx, now)
	if err != nil {
		return err
	}
	class, err := w.classKey(now)
	if err != nil {
		return err
	}
	if _, err := w.cfg.Book.Append(ctx, oversight.RecipientDraft(of.ID, t.ID, of.KeyID, lineIDs)); err != nil {
		return warrantrpc.LedgerError(err)
	}
	for i, lineID := range lineIDs {
		tag := oversight.Tag{Domain: oversight.OfLine, WarrantID: of.ID, TaskID: t.ID, KeyID: keyID}.Seal(secrets[keyID], lineID)
		var link oversight.Link
		// Decided, so that of two at once the later sees the earlier.
		_, err = w.cfg.Book.Decide(ctx, ledger.RequestID("oversight", "linkage", fmt.Sprintf("%s/%d/%d", t.ID, t.Attempt, i)), func(at time.Time) (ledger.Draft, error) {
			link = w.cfg.State.Linked(at, tag, secrets, lineID)
			sealed := oversight.Link{}
			if link.Alarming() {
				sealed = link
			}
			return oversight.LinkageDraft(tag, sealed, class), nil
		})
		if err != nil {
			return warrantrpc.LedgerError(err)
		}
		if link.Alarming() {
			w.alarms.WithLabelValues(alarmLinkage).Inc()
		}
	}
	return nil
}

// Received enters a warrant that would be granted, or refuses it with RATE_LIMITED
// when its authority had too many entered. requestID is that of the client's request.
func (w *Watch) Received(ctx context.Context, by warrant.Caller, requestID, warrantID string, c warrant.Content) error {
	return w.intake(ctx, by, "intake", requestID, oversight.Intake{WarrantID: warrantID, Authority: c.Authority, Targets: c.Targets})
}

// Edited enters what a warrant was edited to ask about.
func (w *Watch) Edited(ctx context.Context, by warrant.Caller, requestID, warrantID string, c warrant.Content) error {
	return w.intake(ctx, by, "edit", requestID, oversight.Intake{WarrantID: warrantID, Authority: c.Authority, Targets: c.Targets, Edited: true})
}

func (w *Watch) intake(ctx context.Context, by warrant.Caller, act, requestID string, in oversight.Intake) error {
	now := w.cfg.Now()
	secrets, keyID, err := w.present(ctx, now)
	if err != nil {
		return err
	}
	class, err := w.classKey(now)
	if err != nil {
		return err
	}
	in.KeyID = keyID
	walk := w.cfg.State.Walk(now, in, secrets, w.cfg.Limits)
	_, err = warrantrpc.Decide(ctx, w.cfg.Book, ledger.RequestID(by.Actor, act, requestID), func(at time.Time) (ledger.Draft, *reason.Error) {
		return w.cfg.State.Receive(at, by, in, walk, secrets, w.cfg.Limits, class)
	})
	if reason.Of(err) == reason.RateLimited {
		return w.limited(ctx, by, oversight.WarrantsOfAuthority, err)
	}
	if err == nil && walk.Disclosures > 0 {
		w.alarms.WithLabelValues(alarmWalk).Inc()
	}
	return err
}

// MayAsk refuses with RATE_LIMITED when the officer made too many tasks.
func (w *Watch) MayAsk(ctx context.Context, by warrant.Caller) error {
	if refusal := w.cfg.State.MayAsk(w.cfg.Now(), by, w.cfg.Limits); refusal != nil {
		return w.limited(ctx, by, oversight.TasksOfOfficer, refusal)
	}
	return nil
}

// limited enters a refusal, unless the last is an hour old at most.
func (w *Watch) limited(ctx context.Context, by warrant.Caller, limit oversight.LimitName, refusal error) error {
	w.refused.WithLabelValues(string(limit)).Inc()
	if d, ok := w.cfg.State.Limited(w.cfg.Now(), by, limit); ok {
		if _, err := w.cfg.Book.Append(ctx, d); err != nil {
			return warrantrpc.LedgerError(err)
		}
	}
	return refusal
}

// Run destroys keys that nothing can be matched under any more, until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		if err := w.Rotate(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Log.LogAttrs(ctx, slog.LevelError, "a key of tags was not destroyed", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Rotate destroys what is due now, and enters it.
func (w *Watch) Rotate(ctx context.Context) error {
	now := w.cfg.Now()
	for _, k := range w.cfg.State.TagKeys() {
		until, ok := oversight.MatchableUntil(k.ID)
		if !ok || now.Before(until) {
			continue
		}
		if w.cfg.Leap != nil {
			// What was disclosed could no longer be linked, and would look like the first.
			if err := w.cfg.Leap(now); err != nil {
				return fmt.Errorf("destroy a key of tags: %w", err)
			}
		}
		if err := w.shred(k.ID); err != nil {
			return err
		}
		w.mu.Lock()
		delete(w.secrets, k.ID)
		w.mu.Unlock()
		if _, err := w.cfg.Book.Append(ctx, oversight.ShreddedTagKey(k.ID)); err != nil {
			return fmt.Errorf("destroy a key of tags: enter it: %w", err)
		}
	}
	return nil
}

func (w *Watch) shred(id string) error {
	if err := w.cfg.Keys.Shred(id); err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return fmt.Errorf("destroy a key of tags: %w", err)
	}
	return nil
}

// Repeat destroys again the keys that the ledger says are destroyed, and that a copy of
// the keys brought back.
func (w *Watch) Repeat() error {
	for _, id := range w.cfg.State.DestroyedTagKeys() {
		if err := w.shred(id); err != nil {
			return err
		}
	}
	return nil
}
