package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
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
	// gather is how many requests go into one batch at most, and so into one fsync.
	gather = 1024
	// stride is how many are applied before it is seen whether the disk waits.
	stride = 64
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
// other goroutines; the writer uses log, spool, datapath, metrics and alive.
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
	ranges     []binding.Range      // likewise
	nextStatic time.Time            // when one of them begins or ends; zero if none does

	fresh        chan []schema.Policy
	lines        chan lines
	requests     chan request
	drainEvery   time.Duration
	checkpointAt int64 // bytes after which a checkpoint is due
	retryAt      int64 // bytes after which one that failed is tried again; 0 if none failed

	writer        *writer
	open          *batch     // applied, not yet handed to the writer
	checkpointing chan error // outcome of the checkpoint under way; nil if none is

	plausible plausibility
	drainedAt time.Time
	drops     uint64 // of the punt ring, as last seen
	dropsSeen bool
	refused   atomic.Int64 // when an address last got no counter, in Unix nanoseconds; 0 if all have one
}

func newLoop(log *slog.Logger, s *spool.Spool, checkpointAt int64, drainEvery time.Duration, r prometheus.Registerer) *loop {
	l := &loop{
		log: log, spool: s, metrics: newMetrics(r), requests: make(chan request, gather),
		fresh: make(chan []schema.Policy), lines: make(chan lines), open: &batch{}, plausible: plausibility{balanced: true},
		drainEvery: drainEvery, checkpointAt: checkpointAt, alive: func() {}, blocks: cgnat.NewBlocks(cgnat.BlocksConfig{}),
	}
	l.writer = newWriter(l)
	return l
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
	end := l.writer.begin(ctx)
	defer func() {
		end()
		l.open.finish(errStopping) // of what was not handed over nothing is durable
		l.open = &batch{}
	}()
	for {
		err := l.next(ctx, ticker.C, drain, expire.C)
		if errors.Is(err, errStopping) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// next deals with one event or hands what was applied to the writer, which comes
// first if that waits for it.
func (l *loop) next(ctx context.Context, tick <-chan time.Time, drain *time.Timer, expire <-chan time.Time) error {
	requests, frames := l.requests, l.frames
	var free chan<- *batch
	if !l.open.empty() {
		select {
		case l.writer.batches <- l.open:
			return l.handed(ctx)
		default:
			free = l.writer.batches
		}
	}
	if l.open.full() {
		requests, frames = nil, nil
	}
	select {
	case <-ctx.Done():
		if err := l.stop(ctx); err != nil {
			return err
		}
		return errStopping
	case <-l.writer.failed:
		return l.writer.failure
	case free <- l.open:
		return l.handed(ctx)
	case since := <-l.writer.stuck:
		return l.declare(ctx, since)
	case err := <-l.checkpointing:
		l.checkpointed(err)
	case r := <-requests:
		l.take(r)
	case f, ok := <-frames:
		if !ok {
			l.frames = nil
			return nil
		}
		l.follow(f)
	case <-tick:
		return l.tick(ctx)
	case <-drain.C:
		err := l.drain(ctx, false)
		drain.Reset(l.untilDrain(time.Now()))
		return err
	case r := <-l.lines:
		return l.provisioned(ctx, r)
	case l.policies = <-l.fresh:
		l.expire(ctx, time.Now())
	case <-expire:
		l.expire(ctx, time.Now())
	}
	return nil
}

// untilDrain is how long it is to the next multiple of the drain interval.
func (l *loop) untilDrain(now time.Time) time.Duration {
	return now.Truncate(l.drainEvery).Add(l.drainEvery).Sub(now)
}

// take applies an observation and some of those queued behind it.
func (l *loop) take(first request) {
	l.takeOne(first)
	for n := 1; n < stride && !l.open.full(); n++ {
		select {
		case r := <-l.requests:
			l.takeOne(r)
		default:
			return
		}
	}
}

func (l *loop) takeOne(r request) {
	l.open.requests = append(l.open.requests, r)
	l.open.effects.Add(l.apply(r.observation))
	l.metrics.observations.WithLabelValues(string(r.observation.Source)).Inc()
}

// follow applies a control frame and some of those queued behind it.
func (l *loop) follow(first datapath.PuntFrame) {
	l.lease(first, &l.open.effects)
	for n := 1; n < stride && !l.open.full(); n++ {
		select {
		case f, ok := <-l.frames:
			if !ok {
				l.frames = nil
				return
			}
			l.lease(f, &l.open.effects)
		default:
			return
		}
	}
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
	l.metrics.observe(l.binding, l.blocks.Stats(), clock)
	if refused := l.refused.Load(); l.datapath != nil && refused != 0 && now.Sub(time.Unix(0, refused)) >= resyncInterval {
		l.sync(now)
	}
	if l.spool.Stats().SinceCheckpoint >= l.checkpointAt {
		l.retryAt = 0 // if one is overdue
	}
	l.checkpointIfDue(ctx)
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

// commit makes effects durable and performs them, after all that was applied
// before. It returns once that is done; the address table is then what the
// binding says.
func (l *loop) commit(ctx context.Context, e binding.Effects) error {
	l.flush(ctx)
	done := make(chan error, 1)
	l.writer.hand(ctx, &batch{effects: e, done: done})
	if err := <-done; err != nil {
		return err
	}
	l.checkpointIfDue(ctx)
	select {
	case since := <-l.writer.stuck:
		return l.declare(ctx, since)
	default:
		return nil
	}
}

// flush hands over what was applied, without waiting for its outcome.
func (l *loop) flush(ctx context.Context) {
	if !l.open.empty() {
		l.writer.hand(ctx, l.open)
		l.open = &batch{}
	}
}

// handed begins a new batch, the last one having been handed over.
func (l *loop) handed(ctx context.Context) error {
	l.open = &batch{}
	l.checkpointIfDue(ctx)
	return nil
}

// declare makes a gap of the time in which the spool took nothing.
func (l *loop) declare(ctx context.Context, since time.Time) error {
	now := time.Now()
	return l.commit(ctx, l.gap(now, since, now, binding.GapSpoolFull))
}

func (l *loop) refuse(err error) {
	reason := refusal(err)
	l.metrics.refused.WithLabelValues(reason).Inc()
	if l.refused.Swap(time.Now().UnixNano()) == 0 {
		l.log.Error("an address could not be given a counter", slog.String("reason", reason))
	}
}

// sync makes the datapath's table exactly what the binding says, all of which is
// durable: it follows a commit.
func (l *loop) sync(now time.Time) {
	want, _ := assignments(l.binding.Installed())
	removed, added, err := l.datapath.Sync(want)
	if err != nil {
		l.refuse(err)
		return
	}
	l.refused.Store(0)
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
