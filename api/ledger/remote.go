package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/transparency-dev/formats/log"
)

// Remote remembers the log's head on another machine: a witness, or the second
// sink. What it says is believed only as far as the log's own signature goes, so
// that a broken remote can withhold but not invent.
type Remote interface {
	Name() string
	// Head gives the newest checkpoint of the log that it has, with the log's
	// signature and perhaps others; empty if it never had one.
	Head(ctx context.Context) (string, error)
}

// remoteHead is what one remote remembers.
type remoteHead struct {
	name string
	head head
}

const (
	remoteWait  = 10 * time.Second       // for a remote, at start
	remotePause = 250 * time.Millisecond // between attempts
)

// remoteAnswers is what the remotes said.
type remoteAnswers struct {
	asked, needed int
	heads         []remoteHead // of those that answered
	failed        error        // why the others did not
}

// askRemotes asks all remotes at once, each again and again until it answers or
// the wait is over.
func (l *Log) askRemotes(ctx context.Context) remoteAnswers {
	out := remoteAnswers{asked: len(l.cfg.Remotes), needed: min(max(1, l.cfg.RemotesNeeded), len(l.cfg.Remotes))}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.RemoteWait)
	defer cancel()
	type answer struct {
		remoteHead
		err error
	}
	answers := make(chan answer, len(l.cfg.Remotes))
	for _, r := range l.cfg.Remotes {
		go func() {
			for {
				h, err := l.askRemote(ctx, r)
				if err == nil {
					answers <- answer{remoteHead{r.Name(), h}, nil}
					return
				}
				select {
				case <-ctx.Done():
					answers <- answer{remoteHead{r.Name(), head{}}, err}
					return
				case <-time.After(remotePause):
				}
			}
		}()
	}
	for range l.cfg.Remotes {
		a := <-answers
		if a.err == nil {
			out.heads = append(out.heads, a.remoteHead)
			continue
		}
		out.failed = errors.Join(out.failed, fmt.Errorf("%s: %w", a.name, a.err))
		l.cfg.Logger.Warn("ledger not compared with a remote", slog.String("remote", a.name), slog.String("error", a.err.Error()))
	}
	return out
}

func (l *Log) askRemote(ctx context.Context, r Remote) (head, error) {
	text, err := r.Head(ctx)
	if err != nil || text == "" {
		return head{}, err
	}
	h, err := OpenCheckpoint(text, l.cfg.Key.Public)
	return head{size: h.Size, root: h.Root}, err
}

// Head is what a checkpoint is about.
type Head struct {
	Size uint64 // entries
	Root []byte // Merkle root over them (RFC 6962 §2.1)
}

// OpenCheckpoint checks a checkpoint's signature by the log's key (Key.Public)
// and gives its head. Signatures of others, such as a witness's, are passed over.
func OpenCheckpoint(text, publicKey string) (Head, error) {
	verifier, err := Verifier(publicKey)
	if err != nil {
		return Head{}, err
	}
	if len(text) > maxNoteBytes {
		return Head{}, fmt.Errorf("ledger: checkpoint of %d bytes: at most %d", len(text), maxNoteBytes)
	}
	cp, rest, n, err := log.ParseCheckpoint([]byte(text), verifier.Name(), verifier)
	if err != nil {
		return Head{}, fmt.Errorf("ledger: checkpoint: %w", err)
	}
	if err := canonical([]byte(text), n); err != nil {
		return Head{}, fmt.Errorf("ledger: %w", err)
	}
	if len(rest) > 0 {
		return Head{}, errors.New("ledger: checkpoint: lines after the root")
	}
	return Head{Size: cp.Size, Root: cp.Hash}, nil
}

// compare holds the log against what the remotes remember: every one that answered
// must agree, and enough must have answered.
func (a remoteAnswers) compare(size uint64, rootAt func(uint64) []byte) *WitnessError {
	for _, r := range a.heads {
		e := &WitnessError{LogSize: size, WitnessSize: r.head.size, Remote: r.name}
		switch {
		case r.head.root == nil: // never had one
		case r.head.size > size:
			e.Cause = WitnessRegress
			return e
		case !bytes.Equal(rootAt(r.head.size), r.head.root):
			e.Cause = WitnessMismatch
			return e
		}
	}
	if len(a.heads) < a.needed {
		return &WitnessError{Cause: WitnessUnreachable, LogSize: size, Detail: a.failed, Asked: a.asked, Needed: a.needed, Answered: len(a.heads)}
	}
	return nil
}
