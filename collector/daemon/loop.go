package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/cgnat/natlog"
	"griffier/collector/datapath"
	"griffier/collector/lease"
	"griffier/collector/spool"
	"griffier/schema"
)

const (
	tickInterval = time.Second
	// gather is how many events go into one batch at most, and so into one fsync.
	gather = 1024
	// batchRecords bounds the records of one batch well below the spool's limit.
	batchRecords = 20_000
	// retrySpool is how long to wait before a batch is tried again.
	retrySpool = 200 * time.Millisecond
	// resyncInterval is how often addresses that got no counter are tried again.
	resyncInterval = time.Minute
)

// errStopping means that the end came before a batch was durable.
var errStopping = errors.New("stopping")

// request is an observation whose source waits for it to be durable.
type request struct {
	observation binding.Observation
	done        chan error // has room for one
}

// loop owns the binding and the lease follower. Only handle may be called by
// other goroutines.
type loop struct {
	log   *slog.Logger
	spool *spool.Spool
	// quarantine is where the sink puts what the store can never take.
	quarantine string
	binding    *binding.Binding
	leases     *lease.Follower
	blocks     *cgnat.Blocks
	flows      *cgnat.Listener        // nil without cgnat.conntrack
	natlog     *natlog.Receiver       // nil without cgnat.log
	radius     func() ([]byte, error) // the RADIUS tracker's snapshot
	datapath   *datapath.Datapath     // nil without interfaces
	frames     <-chan datapath.PuntFrame
	metrics    *metrics
	alive      func()
	policies   []schema.Policy // retention, as last read; none until then

	static     []binding.StaticLine // as configured
	nextStatic time.Time            // when one of them begins or ends; zero if none does

	fresh        chan []schema.Policy
	lines        chan lines
	requests     chan request
	drainEvery   time.Duration
	checkpointAt int64 // bytes after which a checkpoint is due
	retryAt      int64 // bytes after which one that failed is tried again; 0 if none failed

	drainedAt time.Time
	drops     uint64 // of the punt ring, as last seen
	dropsSeen bool
	refused   time.Time // when an address last got no counter; zero if all have one
}

func newLoop(log *slog.Logger, s *spool.Spool, checkpointAt int64, drainEvery time.Duration, r prometheus.Registerer) *loop {
	return &loop{
		log: log, spool: s, metrics: newMetrics(r), requests: make(chan request, gather),
		fresh: make(chan []schema.Policy), lines: make(chan lines),
		drainEvery: drainEvery, checkpointAt: checkpointAt, alive: func() {}, blocks: cgnat.NewBlocks(cgnat.BlocksConfig{}),
	}
}

// handle makes an observation durable; it is the RADIUS server's handler.
func (l *loop) handle(ctx context.Context, o binding.Observation) error {
	r := request{o, make(chan error, 1)}
	select {
	case l.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run is the loop. At the end it reads the counters once more and declares how
// far it came.
func (l *loop) run(ctx context.Context) error {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	drain := time.NewTimer(l.untilDrain(time.Now()))
	defer drain.Stop()
	expire := time.NewTicker(expireInterval)
	defer expire.Stop()
	frames := l.frames
	for {
		var err error
		select {
		case <-ctx.Done():
			return l.stop(ctx)
		case r := <-l.requests:
			err = l.take(ctx, r)
		case f, ok := <-frames:
			if !ok {
				frames = nil
				continue
			}
			err = l.follow(ctx, f)
		case <-ticker.C:
			err = l.tick(ctx)
		case <-drain.C:
			err = l.drain(ctx, false)
			drain.Reset(l.untilDrain(time.Now()))
		case r := <-l.lines:
			err = l.provisioned(ctx, r)
		case l.policies = <-l.fresh:
			l.expire(ctx, time.Now())
		case <-expire.C:
			l.expire(ctx, time.Now())
		}
		if errors.Is(err, errStopping) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// untilDrain is how long it is to the next multiple of the drain interval.
func (l *loop) untilDrain(now time.Time) time.Duration {
	return now.Truncate(l.drainEvery).Add(l.drainEvery).Sub(now)
}

// take applies an observation and those queued behind it, as one batch.
func (l *loop) take(ctx context.Context, first request) error {
	taken := []request{first}
	var e binding.Effects
	e.Add(l.apply(first.observation))
more:
	for len(taken) < gather {
		select {
		case r := <-l.requests:
			taken = append(taken, r)
			e.Add(l.apply(r.observation))
		default:
			break more
		}
	}
	err := l.commit(ctx, e)
	for _, r := range taken {
		r.done <- err
	}
	l.metrics.observations.WithLabelValues(string(schema.SourceRADIUS)).Add(float64(len(taken)))
	return err
}

// follow applies a control frame and those queued behind it, as one batch.
func (l *loop) follow(ctx context.Context, first datapath.PuntFrame) error {
	var e binding.Effects
	l.lease(first, &e)
	for range gather {
		select {
		case f, ok := <-l.frames:
			if ok {
				l.lease(f, &e)
				continue
			}
		default:
		}
		break
	}
	return l.commit(ctx, e)
}

func (l *loop) lease(f datapath.PuntFrame, e *binding.Effects) {
	if f.Interface == "" {
		l.metrics.frames.WithLabelValues(string(lease.NoneOfThem), "interface").Inc()
		return
	}
	direction := schema.Up
	if f.Direction == bpf.Down {
		direction = schema.Down
	}
	result, protocol := l.leases.Apply(lease.Frame{At: f.At, Interface: f.Interface, Direction: direction, Data: f.Frame})
	l.metrics.frames.WithLabelValues(string(protocol), frameReason(result.Reason)).Inc()
	for _, o := range result.Observations {
		e.Add(l.apply(o))
		l.metrics.observations.WithLabelValues(string(o.Source)).Inc()
	}
}

func (l *loop) tick(ctx context.Context) error {
	now := time.Now()
	l.alive()
	clock := readClock()
	if !l.nextStatic.IsZero() && !now.Before(l.nextStatic) {
		if err := l.commit(ctx, l.configured(l.static, now)); err != nil {
			return err
		}
	}
	if err := l.logged(ctx, now); err != nil {
		return err
	}
	e, err := l.pass(now, clock)
	if err != nil {
		return err
	}
	if err := l.commit(ctx, e); err != nil {
		return err
	}
	l.metrics.observe(l.binding, clock)
	if l.datapath != nil && !l.refused.IsZero() && now.Sub(l.refused) >= resyncInterval {
		l.sync(now)
	}
	if l.spool.Stats().SinceCheckpoint >= l.checkpointAt {
		l.checkpoint(ctx) // if one is overdue
	}
	return nil
}

// stop is the orderly end.
func (l *loop) stop(ctx context.Context) error {
	if err := l.drain(ctx, true); err != nil && !errors.Is(err, errStopping) {
		return err
	}
	now := time.Now()
	err := l.logged(ctx, now)
	if err == nil {
		err = l.commit(ctx, l.end(now, readClock()))
	}
	if err != nil {
		if errors.Is(err, errStopping) {
			return nil
		}
		return err
	}
	l.checkpoint(ctx)
	return nil
}

// commit makes effects durable and then performs them. A full spool, or a file
// system that fails, is waited for: meanwhile nothing is taken in, so nothing is
// acknowledged, and the time is declared as a gap. Once ctx is done it does not
// wait any more and returns errStopping.
func (l *loop) commit(ctx context.Context, e binding.Effects) error {
	var stuckSince time.Time
	for records, first := e.Records, true; first || len(records) > 0; first = false {
		batch := spool.Batch{Records: records}
		if len(records) > batchRecords {
			batch.Records = records[:batchRecords]
		} else {
			// Last, so that a crash in between repeats the whole event.
			batch.State = e.Delta
		}
		if len(batch.Records) == 0 && len(batch.State) == 0 {
			break
		}
		records = records[len(batch.Records):]
		since, err := l.append(ctx, batch)
		if err != nil {
			return err
		}
		if stuckSince.IsZero() {
			stuckSince = since
		}
	}
	l.perform(e)
	// At once and not at the next tick: what lies after the last checkpoint cannot
	// be freed, and must never come to fill the spool.
	if since := l.spool.Stats().SinceCheckpoint; since >= l.checkpointAt && since >= l.retryAt {
		if !l.checkpoint(ctx) {
			l.retryAt = since + l.checkpointAt/8
		} else {
			l.retryAt = 0
		}
	}
	if stuckSince.IsZero() {
		return nil
	}
	now := time.Now()
	l.log.Warn("the spool takes records again", slog.Duration("after", now.Sub(stuckSince)))
	return l.commit(ctx, l.gap(now, stuckSince, now, binding.GapSpoolFull))
}

// append stores one batch, however often that takes, and returns since when the
// spool did not take it, zero if it did at once.
func (l *loop) append(ctx context.Context, batch spool.Batch) (since time.Time, err error) {
	for {
		err := l.spool.Append(context.WithoutCancel(ctx), batch)
		switch {
		case err == nil:
			return since, nil
		case errors.Is(err, spool.ErrTooLarge), errors.Is(err, spool.ErrInvalid), errors.Is(err, spool.ErrClosed):
			return since, fmt.Errorf("collector: %w", err)
		}
		if since.IsZero() {
			since = time.Now()
			l.log.Error("the spool takes no records: nothing is acknowledged until it does", slog.Any("error", err))
		}
		l.metrics.stuck.Inc()
		l.alive()
		select {
		case <-ctx.Done():
			return since, errStopping
		case <-time.After(retrySpool):
		}
	}
}

// perform carries out datapath changes. An address that gets no counter counts
// as unattributed, is counted in the metrics, and is tried again later.
func (l *loop) perform(e binding.Effects) {
	if l.datapath == nil {
		return
	}
	for _, c := range e.Unassign {
		if err := l.datapath.Unassign(datapath.Key{Prefix: c.Prefix, Scope: c.Scope}); err != nil {
			l.refuse(err)
		}
	}
	for _, c := range e.Assign {
		if _, err := l.datapath.Assign(datapath.Key{Prefix: c.Prefix, Scope: c.Scope}, c.AccessRef); err != nil {
			l.refuse(err)
		}
	}
}

func (l *loop) refuse(err error) {
	reason := refusal(err)
	l.metrics.refused.WithLabelValues(reason).Inc()
	if l.refused.IsZero() {
		l.log.Error("an address could not be given a counter", slog.String("reason", reason))
	}
	l.refused = time.Now()
}

// sync makes the datapath's table exactly what the binding says.
func (l *loop) sync(now time.Time) {
	installed := l.binding.Installed()
	want := make([]datapath.Assignment, 0, len(installed))
	for _, c := range installed {
		want = append(want, datapath.Assignment{Key: datapath.Key{Prefix: c.Prefix, Scope: c.Scope}, Owner: c.AccessRef})
	}
	removed, added, err := l.datapath.Sync(want)
	if err != nil {
		l.refuse(err)
		l.refused = now
		return
	}
	l.refused = time.Time{}
	if removed > 0 || added > 0 {
		l.log.Info("addresses brought in line", slog.Int("removed", removed), slog.Int("added", added))
	}
}

// refusal names why an address got no counter, for a metric.
func refusal(err error) string {
	for reason, target := range map[string]error{
		"no_slot": datapath.ErrNoSlot, "prefix": datapath.ErrPrefix, "keys_full": bpf.ErrKeysFull, "lengths": bpf.ErrLengths,
	} {
		if errors.Is(err, target) {
			return reason
		}
	}
	return "kernel"
}

func frameReason(r lease.Reason) string {
	if r == "" {
		return "used"
	}
	return string(r)
}
