package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"griffier/collector/binding"
	"griffier/collector/datapath"
	"griffier/collector/lease"
	"griffier/collector/spool"
)

// A batch is what goes to the spool in one piece: the effects of some events, in
// the order in which the loop applied them, or a checkpoint of the state after
// all batches before it.
type batch struct {
	effects  binding.Effects
	requests []request    // whose observations are in it; answered once it is durable
	snapshot *snapshot    // in place of the above
	done     chan<- error // gets the outcome too, if not nil; has room for it
}

func (b *batch) empty() bool { return b.effects.Empty() && len(b.requests) == 0 }

// full says that no more should come in before the batch is handed over.
func (b *batch) full() bool {
	return len(b.requests) >= gather || len(b.effects.Records) >= batchRecords
}

// finish answers all that wait for the batch.
func (b *batch) finish(err error) {
	for _, r := range b.requests {
		r.done <- err
	}
	if b.done != nil {
		b.done <- err
	}
}

// writer makes batches durable, one after the other, and then performs them:
// while the disk syncs one, the loop applies the events of the next. Once a batch
// failed, which only the end or a broken spool makes it do, none after it is
// written, since its state would build on what is not there.
type writer struct {
	l       *loop
	batches chan *batch    // unbuffered: who sends knows that the one before is done with
	stuck   chan time.Time // since when the spool took nothing, once it does again; room for one
	failed  chan struct{}  // closed with the first failure
	failure error          // of the writer until failed is closed
}

func newWriter(l *loop) *writer {
	return &writer{l: l, stuck: make(chan time.Time, 1), failed: make(chan struct{})}
}

// begin lets batches be written apart from the caller, until the function that it
// returns is called. Before and after, write is called by the caller itself.
func (w *writer) begin(ctx context.Context) (end func()) {
	batches, ended := make(chan *batch), make(chan struct{})
	w.batches = batches
	go func() {
		defer close(ended)
		for b := range batches {
			b.finish(w.write(ctx, b))
		}
	}()
	return func() {
		close(batches)
		<-ended
		w.batches = nil
	}
}

// hand gives a batch to the writer and returns without waiting for its outcome.
func (w *writer) hand(ctx context.Context, b *batch) {
	if w.batches == nil {
		b.finish(w.write(ctx, b))
		return
	}
	w.batches <- b // taken in the end: write ends with ctx
}

// write makes a batch durable and then performs it. A full spool, or a file
// system that fails, is waited for: meanwhile no batch is taken and so nothing is
// acknowledged. Once ctx is done it does not wait any more and returns
// errStopping. A checkpoint that fails harms nothing.
func (w *writer) write(ctx context.Context, b *batch) error {
	if w.failure != nil {
		return w.failure
	}
	if b.snapshot != nil {
		return w.checkpoint(ctx, b.snapshot)
	}
	var stuckSince time.Time
	for records, first := b.effects.Records, true; first || len(records) > 0; first = false {
		piece := spool.Batch{Records: records}
		if len(records) > batchRecords {
			piece.Records = records[:batchRecords]
		} else {
			// Last, so that a crash in between repeats the whole event.
			piece.State = b.effects.Delta
		}
		if len(piece.Records) == 0 && len(piece.State) == 0 {
			break
		}
		records = records[len(piece.Records):]
		since, err := w.append(ctx, piece)
		if err != nil {
			w.failure = err
			close(w.failed)
			return err
		}
		if stuckSince.IsZero() {
			stuckSince = since
		}
	}
	w.perform(b.effects)
	if !stuckSince.IsZero() {
		w.l.log.Warn("the spool takes records again", slog.Duration("after", time.Since(stuckSince)))
		select {
		case w.stuck <- stuckSince:
		default: // an earlier one is yet to be declared, up to when it is
		}
	}
	return nil
}

func (w *writer) checkpoint(ctx context.Context, s *snapshot) error {
	var err error
	// Possibly ahead of what is durable, which does no harm.
	if s[radiusPart], err = w.l.radius(); err == nil {
		var state []byte
		if state, err = s.pack(); err == nil {
			err = w.l.spool.Checkpoint(context.WithoutCancel(ctx), state)
		}
	}
	if err != nil && !errors.Is(err, spool.ErrFull) {
		w.l.log.Error("checkpoint failed", slog.Any("error", err))
	}
	return err
}

// append stores one piece, however often that takes, and returns since when the
// spool did not take it, zero if it did at once.
func (w *writer) append(ctx context.Context, piece spool.Batch) (since time.Time, err error) {
	for {
		err := w.l.spool.Append(context.WithoutCancel(ctx), piece)
		switch {
		case err == nil:
			return since, nil
		case errors.Is(err, spool.ErrTooLarge), errors.Is(err, spool.ErrInvalid), errors.Is(err, spool.ErrClosed):
			return since, fmt.Errorf("collector: %w", err)
		}
		if since.IsZero() {
			since = time.Now()
			w.l.log.Error("the spool takes no records: nothing is acknowledged until it does", slog.Any("error", err))
		}
		w.l.metrics.stuck.Inc()
		w.l.alive()
		select {
		case <-ctx.Done():
			return since, errStopping
		case <-time.After(retrySpool):
		}
	}
}

// perform carries out datapath changes. An address that gets no counter counts
// as unattributed, is counted in the metrics, and is tried again later, but for one
// of a VPN.
func (w *writer) perform(e binding.Effects) {
	if w.l.datapath == nil {
		return
	}
	gone, _ := assignments(e.Unassign)
	for _, a := range gone {
		if err := w.l.datapath.Unassign(a.Key); err != nil {
			w.l.refuse(err)
		}
	}
	added, inVPN := assignments(e.Assign)
	w.l.metrics.refused.WithLabelValues("vpn").Add(float64(inVPN))
	for _, a := range added {
		if _, err := w.l.datapath.Assign(a.Key, a.Owner); err != nil {
			w.l.refuse(err)
		}
	}
}

// assignments are changes as the datapath takes them. Addresses of a VPN are left
// out and counted: the kernel could not tell them from another's.
func assignments(changes []binding.Change) (out []datapath.Assignment, inVPN int) {
	out = make([]datapath.Assignment, 0, len(changes))
	for _, c := range changes {
		if lease.InVPN(c.Scope) {
			inVPN++
			continue
		}
		out = append(out, datapath.Assignment{Key: datapath.Key{Prefix: c.Prefix, Scope: c.Scope}, Owner: c.AccessRef})
	}
	return out, inVPN
}
