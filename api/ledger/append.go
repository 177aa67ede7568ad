package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
)

// submission is one call of Append or Decide on its way through the log.
type submission struct {
	prepared  prepared
	decide    func(now time.Time) (Draft, error) // nil for Append
	requestID string                             // of Decide

	// claim settles the race between handing the entry to tessera, after which
	// its outcome is the log's to tell, and the caller's giving up.
	claim atomic.Int32

	leaf   []byte // encoded entry
	batch  uint64 // of tessera, in which it should be
	future tessera.IndexFuture

	// Set before done is closed.
	entry   Entry
	err     error
	earlier bool // entry.Index is that of an earlier entry of the same request
	done    chan struct{}
}

const (
	claimOpen int32 = iota
	claimHandedIn
	claimGivenUp
)

// giveUp is the caller's side of the claim; Log.claim is the other.
func (s *submission) giveUp() bool { return s.claim.CompareAndSwap(claimOpen, claimGivenUp) }

// Append appends an entry and returns when it is durable, folded and witnessed.
// Calls may be concurrent; the order of the log is the order of the folds.
//
// Errors: ErrUnavailable, ErrTooLarge, an error of the context or of the key
// store: nothing was appended. ErrUnknownOutcome: it may have been.
func (l *Log) Append(ctx context.Context, d Draft) (Entry, error) {
	p, err := prepare(d, false)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger: append: %w", err)
	}
	s := &submission{prepared: p, done: make(chan struct{})}
	e, err := l.run(ctx, s)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger: append: %w", err)
	}
	return e, nil
}

// Decide calls fn on the one goroutine that decides, when every earlier entry is
// durable and folded, and appends the draft that fn returns. A refusal by fn is
// returned as it is, and nothing is appended. If the log has a decision of this
// request id already, that entry is returned and fn is not called: make the id
// with RequestID, so that two callers cannot share one.
//
// fn must be pure, quick, and must not call the log; now is the time that the
// entry will carry. A panic in fn is returned as ErrPanic.
//
// Errors: as for Append, and ErrClock. If the context ends before the entry was
// handed in, nothing happens.
func (l *Log) Decide(ctx context.Context, requestID string, fn func(now time.Time) (Draft, error)) (Entry, error) {
	if requestID == "" || !requestIDForm.MatchString(requestID) {
		return Entry{}, errors.New("ledger: decide: request id is not 1 to 128 of A-Z a-z 0-9 . _ : / -")
	}
	s := &submission{decide: fn, requestID: requestID, done: make(chan struct{})}
	if index, ok := l.decided(requestID); ok {
		s.entry.Index, s.earlier = index, true
	} else if e, err := l.run(ctx, s); err != nil {
		var refusal refusalError
		if errors.As(err, &refusal) {
			return Entry{}, refusal.error
		}
		return Entry{}, fmt.Errorf("ledger: decide: %w", err)
	} else if !s.earlier {
		return e, nil
	}
	e, err := l.entry(ctx, s.entry.Index)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger: decide: read the earlier entry: %w", err)
	}
	return e, nil
}

// refusalError carries what fn returned through run, untouched.
type refusalError struct{ error }

func (r refusalError) Unwrap() error { return r.error }

// decided looks for an acknowledged decision of the request.
func (l *Log) decided(requestID string) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index, ok := l.requests[requestID]
	return index, ok && index < l.acked.size
}

// admit refuses at once what cannot be served now.
func (l *Log) admit(s *submission) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other := range l.overdue {
		if s.requestID != "" && other.requestID == s.requestID {
			return ErrUnknownOutcome
		}
	}
	return l.unavailable()
}

// run sends s on its way and waits for the outcome, for Config.Limit at most.
func (l *Log) run(ctx context.Context, s *submission) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	if err := l.admit(s); err != nil {
		return Entry{}, err
	}
	limit := time.NewTimer(l.cfg.Limit)
	defer limit.Stop()
	select {
	case l.submit <- s:
	case <-ctx.Done():
		return Entry{}, ctx.Err()
	case <-l.closing:
		return Entry{}, ErrClosed
	case <-limit.C:
		return Entry{}, fmt.Errorf("%w: not taken in %v", ErrUnavailable, l.cfg.Limit)
	}
	select {
	case <-s.done:
		return s.entry, s.err
	case <-ctx.Done():
		if s.giveUp() {
			return Entry{}, ctx.Err()
		}
		// Handed in: the outcome is near, and worth more than a quick answer.
		select {
		case <-s.done:
			return s.entry, s.err
		case <-limit.C:
		}
	case <-limit.C:
		if s.giveUp() {
			return Entry{}, fmt.Errorf("%w: not handed in within %v", ErrUnavailable, l.cfg.Limit)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-s.done:
		return s.entry, s.err
	default:
		l.overdue[s] = struct{}{}
		return Entry{}, ErrUnknownOutcome
	}
}

// finish tells the outcome of s.
func (l *Log) finish(s *submission, e Entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.entry, s.err = e, err
	delete(l.overdue, s)
	if s.claim.Load() == claimHandedIn {
		if l.inFlight--; l.inFlight == 0 {
			l.settledAt = time.Now()
			l.hint()
		}
	}
	close(s.done)
	l.changed.Broadcast()
}

// take stamps s, decides it if it is a decision, and seals it. An error, or
// s.earlier, means that there is nothing to hand in.
func (q *sequencer) take(s *submission) error {
	l := q.log
	if s.decide != nil {
		if err := q.waitUntilQuiet(); err != nil {
			return err
		}
		if index, ok := l.decided(s.requestID); ok {
			s.entry.Index, s.earlier = index, true
			return nil
		}
	}
	now := l.cfg.Now().UTC().Round(0)
	behind := q.stampedAt.Sub(now)
	if behind > 0 {
		now = q.stampedAt
	}
	if behind <= l.cfg.ClockTolerance {
		behind = 0
	} else if s.decide != nil {
		return fmt.Errorf("%w: by %v", ErrClock, behind.Round(time.Millisecond))
	}
	var err error
	if s.decide != nil {
		draft, err := callDecision(s.decide, now)
		if err != nil {
			return err
		}
		if draft.RequestID != "" && draft.RequestID != s.requestID {
			return errors.New("the draft has another request id")
		}
		draft.RequestID = s.requestID
		if s.prepared, err = prepare(draft, true); err != nil {
			return err
		}
	}
	if s.entry, s.leaf, err = l.seal(s.prepared, now, behind); err != nil {
		return err
	}
	if len(s.leaf) > MaxEntryBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(s.leaf), MaxEntryBytes)
	}
	q.stampedAt = now
	return nil
}

// callDecision calls fn and contains a panic.
func callDecision(fn func(time.Time) (Draft, error), now time.Time) (d Draft, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrPanic, p)
		}
	}()
	d, err = fn(now)
	if err != nil {
		return Draft{}, refusalError{err}
	}
	return d, nil
}

// prepared is what can be made of a draft before its time and place are known.
type prepared struct {
	header Header
	plain  []byte // the body, not sealed; nil without one
}

// prepare does what needs no order, so that callers do it side by side.
func prepare(d Draft, decided bool) (prepared, error) {
	h, err := d.header(decided)
	if err != nil || d.Body == nil {
		return prepared{header: h}, err
	}
	if d.KeyID == "" {
		return prepared{}, errors.New("a body without a key")
	}
	h.KeyID = d.KeyID
	plain, err := marshal(d.Body)
	if err != nil {
		return prepared{}, fmt.Errorf("body: %w", err)
	}
	if len(plain) > MaxEntryBytes {
		return prepared{}, fmt.Errorf("%w: body of %d bytes", ErrTooLarge, len(plain))
	}
	return prepared{header: h, plain: plain}, nil
}

// seal makes the entry, and its encoding.
func (l *Log) seal(p prepared, at time.Time, behind time.Duration) (Entry, []byte, error) {
	h := p.header
	h.At, h.ClockBehindMillis = at, behind.Milliseconds()
	form := h
	if p.plain != nil {
		form.BodySHA256 = "0" // goes with the key
	}
	if err := checkForms(form); err != nil {
		return Entry{}, nil, err
	}
	var body []byte
	if p.plain != nil {
		if l.cfg.Keys == nil {
			return Entry{}, nil, errors.New("a body without a key store")
		}
		context := sha256.Sum256(appendHeader(make([]byte, 0, 1024), h)) // as bodyContext
		var err error
		if body, err = l.cfg.Keys.Seal(h.KeyID, p.plain, context[:]); err != nil {
			return Entry{}, nil, fmt.Errorf("body: %w", err)
		}
		h.BodySHA256 = hexSHA256(body)
	}
	e := Entry{Header: h, Body: body}
	return e, appendEntry(make([]byte, 0, 512+len(h.Facts)+2*len(body)), e), nil
}
