package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
)

// foldedEntry is an entry that is durable and folded, and not yet witnessed. s is nil
// if nobody waits for it.
type foldedEntry struct {
	s     *submission
	entry Entry
}

const (
	resyncPause  = 250 * time.Millisecond // between attempts to read the log back
	witnessPause = 100 * time.Millisecond // between attempts to write the witness file
)

// foldInOrder is the folder goroutine. Tessera resolves in the order in which
// entries were handed in, so waiting for them in that order costs nothing. The witness
// file is written once for a batch, while tessera may have begun the next.
func (l *Log) foldInOrder() {
	batch := uint64(0)
	for s := range l.inTree {
		if s.batch != batch {
			l.acknowledge()
			batch = s.batch
		}
		index, err := s.future()
		l.resolved()
		if err == nil && index.Index != l.tree.End() {
			err = fmt.Errorf("index %d where %d is next", index.Index, l.tree.End())
		}
		if err != nil {
			l.cfg.Logger.Warn("ledger append failed; reading the log back", slog.String("error", err.Error()))
			l.resync(s)
			continue
		}
		l.mu.Lock()
		broken := l.broken
		l.mu.Unlock()
		if broken == nil {
			s.entry.Index = index.Index
			broken = l.foldNext(s, s.entry, s.leaf)
			if broken != nil {
				l.breakFor(broken)
			}
		}
		if broken != nil {
			l.finish(s, Entry{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, broken))
		}
		if len(l.inTree) == 0 {
			l.acknowledge()
		}
	}
	l.acknowledge()
}

// acknowledge records the head of what was folded in the witness file, and only then
// tells the callers.
func (l *Log) acknowledge() {
	if len(l.pending) == 0 {
		return
	}
	err := l.witness()
	for _, f := range l.pending {
		switch {
		case f.s == nil:
		case err != nil:
			l.finish(f.s, Entry{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
		default:
			l.finish(f.s, f.entry, nil)
		}
	}
	l.pending = nil
}

// resolved notes that tessera is done with one entry.
func (l *Log) resolved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inTessera--
	l.changed.Broadcast()
	if l.inTessera == 0 {
		l.hint()
	}
}

// hint wakes the sequencer: there may be something to hand in.
func (l *Log) hint() {
	select {
	case l.idle <- struct{}{}:
	default: // one hint is enough
	}
}

// foldNext folds an entry that is durable at the end of the tree.
func (l *Log) foldNext(s *submission, e Entry, leaf []byte) error {
	if err := l.fold(e); err != nil {
		return err
	}
	if err := l.tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
		return err
	}
	l.pending = append(l.pending, foldedEntry{s: s, entry: e})
	return nil
}

// resync finds out, after a failed append, what is in the log. A failure may
// have come after the entry was stored, so that only the log itself can tell.
// Nothing new is handed in meanwhile.
func (l *Log) resync(failed *submission) {
	l.mu.Lock()
	l.resyncing = true
	l.mu.Unlock()
	l.acknowledge()
	waiting := l.drain(failed)
	for {
		err := l.readBack(&waiting)
		if err == nil {
			break
		}
		if errors.Is(err, ErrTampered) {
			l.breakFor(err)
		}
		l.mu.Lock()
		broken := l.broken
		l.mu.Unlock()
		if broken != nil {
			err = broken
		} else {
			select {
			case <-l.closing:
			case <-time.After(resyncPause):
				continue
			}
		}
		for _, s := range waiting {
			l.finish(s, Entry{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
		}
		return
	}
	// Before the callers are told, so that their retry is not refused.
	l.mu.Lock()
	l.resyncing = false
	l.changed.Broadcast()
	l.mu.Unlock()
	for _, s := range waiting {
		l.finish(s, Entry{}, fmt.Errorf("%w: the log could not be written; nothing was appended", ErrUnavailable))
	}
}

// drain waits until everything that was handed in is either acknowledged or
// waiting for resync, and gives the latter, in order.
func (l *Log) drain(failed *submission) []*submission {
	waiting := []*submission{failed}
	for {
		l.mu.Lock()
		for len(l.inTree) == 0 && l.inFlight > len(waiting) {
			l.changed.Wait()
		}
		done := l.inFlight == len(waiting)
		l.mu.Unlock()
		if done {
			return waiting
		}
		s := <-l.inTree
		_, _ = s.future() // whatever it says, the log is read back
		l.resolved()
		waiting = append(waiting, s)
	}
}

// readBack folds what the log has beyond the tree in memory, and takes from
// waiting those it finds. ErrTampered means that it never can.
func (l *Log) readBack(waiting *[]*submission) error {
	state, err := settleState(l.cfg.Dir)
	if err != nil {
		return err
	}
	if state.size < l.tree.End() {
		return fmt.Errorf("%w: it shrank from %d to %d entries", ErrTampered, l.tree.End(), state.size)
	}
	defer l.acknowledge()
	err = readEntries(context.Background(), l.cfg.Dir, state.size, l.tree.End(), state.size, func(index uint64, leaf []byte) error {
		e, err := decodeEntry(index, leaf)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrTampered, index, err)
		}
		var s *submission
		for i, w := range *waiting {
			if bytes.Equal(w.leaf, leaf) {
				s = w
				*waiting = append((*waiting)[:i:i], (*waiting)[i+1:]...)
				break
			}
		}
		if err := l.foldNext(s, e, leaf); err != nil {
			return fmt.Errorf("%w: %w", ErrTampered, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	root, err := rootOf(l.tree)
	if err != nil {
		return err
	}
	if !bytes.Equal(root, state.root) {
		return fmt.Errorf("%w: the entries do not give the root of the tree state", ErrTampered)
	}
	published, err := readLimited(filepath.Join(l.cfg.Dir, checkpointPath), maxNoteBytes)
	if err != nil {
		return err
	}
	checkpoint, _, err := openHead(published, l.verifiers)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTampered, err)
	}
	return removeDebris(l.cfg.Dir, state.size, checkpoint.size)
}

// witness writes the witness file, again and again until it succeeds or the log
// is closed. Until then nothing is acknowledged, and callers learn by the limit.
func (l *Log) witness() error {
	root, err := l.tree.GetRootHash(nil)
	if err != nil {
		l.breakFor(err)
		return err
	}
	h := head{size: l.tree.End(), root: root}
	checkpoint, err := signHead(h, l.origin, l.cfg.Key.Signer)
	if err != nil {
		l.breakFor(err)
		return err
	}
	for told := false; ; told = true {
		if err = l.slots.write(h, checkpoint); err == nil {
			break
		}
		if !told {
			l.cfg.Logger.Error("ledger witness file cannot be written", slog.String("error", err.Error()))
		}
		select {
		case <-l.closing:
			return err
		case <-time.After(witnessPause):
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked, l.checkpoint = h, checkpoint
	return nil
}
