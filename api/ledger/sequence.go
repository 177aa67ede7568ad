package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"golang.org/x/sys/unix"
)

// sequencer is the goroutine that stamps, decides, seals and hands in: the one
// place where the order of the log is made.
//
// Tessera syncs batch after batch, and closes a batch a fixed time after its
// first entry. On a slow disk that makes a queue of small batches, each with its
// own syncs. So the sequencer hands in only what can join the open batch, and
// holds the rest until tessera is idle: batches then grow as the disk slows.
//
// A batch's files cost the same whether it has one entry or all. So when tessera is
// idle, the callers of the batch before are given a moment to come back with their
// next entries: while the witness file is written for them, and gatherGrace after
// that. One caller alone waits for nobody.
type sequencer struct {
	log       *Log
	stampedAt time.Time     // of the newest sealed entry
	held      []*submission // sealed, in order, not handed in
	batchEnds time.Time     // until when what is handed in joins the open batch
	batches   uint64        // begun
	batch     int           // entries of the open batch, or of the last one
	expected  int           // how many entries are worth waiting for; 0 while tessera works
	idleAt    time.Time     // when that was last found idle
}

const (
	gatherGrace = time.Millisecond     // for callers to come back; a batch takes longer
	gatherMost  = 5 * time.Millisecond // for all of it, whatever the witness file's disk does
)

// run runs until the log is closed.
func (q *sequencer) run() {
	l := q.log
	defer close(l.inTree)
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		if wait := q.handIn(true); wait > 0 {
			again.Reset(wait)
		}
		submit := l.submit
		if len(q.held) >= batchMaxEntries {
			submit = nil
		}
		select {
		case <-l.closing:
			for _, s := range q.held {
				l.finish(s, Entry{}, ErrClosed)
			}
			return
		case <-l.idle:
		case <-again.C:
		case s := <-submit:
			err := q.take(s)
			switch {
			case err != nil, s.earlier:
				l.finish(s, s.entry, err)
			default:
				q.held = append(q.held, s)
			}
		}
	}
}

// handIn hands what is held to tessera, if it can join the open batch or begin
// one. With gather it may hold it a little longer, and gives how long at most.
func (q *sequencer) handIn(gather bool) time.Duration {
	l := q.log
	for {
		l.mu.Lock()
		idle, unsettled, settledAt := l.inTessera == 0, l.inFlight > 0, l.settledAt
		l.mu.Unlock()
		now := time.Now()
		if idle && q.batch > 0 && q.expected == 0 {
			q.expected, q.idleAt = len(q.held)+q.batch, now
		}
		if len(q.held) == 0 {
			q.held = nil // gives the array back
			return 0
		}
		switch {
		case idle && gather:
			if wait := q.gather(now, unsettled, settledAt); wait > 0 {
				return wait
			}
			fallthrough
		case idle:
			q.batchEnds, q.batch, q.expected = now.Add(batchMaxAge), 0, 0
			q.batches++
		case !now.Before(q.batchEnds):
			return 0
		}
		q.batch++
		s := q.held[0]
		q.held = q.held[1:]
		ok, err := l.claimFor(s, q.batch == 1)
		if !ok {
			l.finish(s, Entry{}, err)
			continue
		}
		// Without the caller's context: tessera appends an abandoned entry anyway.
		s.batch = q.batches
		s.future = l.appender.Add(context.Background(), tessera.NewEntry(s.leaf))
		if q.batch == 1 {
			l.running.Go(keepTime)
		}
		l.inTree <- s
		l.mu.Lock()
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}

// gather gives how long to wait for more entries before a batch begins: 0 if all
// that are worth waiting for are here, or too late.
func (q *sequencer) gather(now time.Time, unsettled bool, settledAt time.Time) time.Duration {
	if len(q.held) >= min(q.expected, batchMaxEntries) {
		return 0
	}
	until := settledAt.Add(gatherGrace)
	if last := q.idleAt.Add(gatherMost); unsettled || last.Before(until) {
		until = last
	}
	return max(0, until.Sub(now))
}

// claimFor makes the outcome of s the log's to tell, unless the caller gave up
// or the log takes nothing in. first is for the first entry of a batch.
func (l *Log) claimFor(s *submission, first bool) (bool, error) {
	if first {
		// Tessera panics when it cannot open this file to lock it, as on a file system
		// that an error made read-only, or out of file descriptors: do not let it come
		// to that.
		lock, err := os.OpenFile(filepath.Join(l.cfg.Dir, treeLockPath), os.O_RDWR, 0)
		if err == nil {
			err = lock.Close()
		}
		if err != nil {
			return false, fmt.Errorf("%w: the log cannot be written: %w; nothing was appended", ErrUnavailable, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil || l.resyncing {
		return false, fmt.Errorf("%w; nothing was appended", l.unavailable())
	}
	if !s.claim.CompareAndSwap(claimOpen, claimHandedIn) {
		return false, ErrUnavailable // nobody reads this
	}
	l.inFlight++
	l.inTessera++
	return true, nil
}

// keepTime sees to it that tessera's timer closes a batch in time. A Go program in
// which nothing runs sleeps in whole milliseconds: batchMaxAge would be four times as
// long, which is a quarter of one writer's wait. The kernel's own sleep is exact, and
// the runtime looks at every timer after it.
func keepTime() {
	rest := unix.NsecToTimespec(batchMaxAge.Nanoseconds())
	for unix.Nanosleep(&rest, &rest) == unix.EINTR {
	}
}

// waitUntilQuiet hands in what is held and waits until all is acknowledged. A
// caller that does not want to wait so long gives up by itself.
func (q *sequencer) waitUntilQuiet() error {
	l := q.log
	for {
		q.handIn(false)
		l.mu.Lock()
		// What is held waits for tessera; when nothing is held, for the rest.
		for (len(q.held) > 0 && l.inTessera > 0 || len(q.held) == 0 && l.inFlight > 0 || l.resyncing) && l.broken == nil && !l.closed {
			l.changed.Wait()
		}
		quiet := len(q.held) == 0
		err := error(nil)
		if l.closed || l.broken != nil {
			quiet, err = true, l.unavailable()
		}
		l.mu.Unlock()
		if quiet {
			return err
		}
	}
}
