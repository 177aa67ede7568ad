package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

// askRemotes asks all remotes at once, each again and again until it answers or
// the wait is over. The error says that none answered; there is none if there is
// nobody to ask.
func (l *Log) askRemotes(ctx context.Context) ([]remoteHead, error) {
	if len(l.cfg.Remotes) == 0 {
		return nil, nil
	}
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
	var heads []remoteHead
	var failed []error
	for range l.cfg.Remotes {
		a := <-answers
		if a.err == nil {
			heads = append(heads, a.remoteHead)
			continue
		}
		failed = append(failed, fmt.Errorf("%s: %w", a.name, a.err))
		l.cfg.Logger.Warn("ledger not compared with a remote", slog.String("remote", a.name), slog.String("error", a.err.Error()))
	}
	if len(heads) == 0 {
		return nil, errors.Join(failed...)
	}
	return heads, nil
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
	if err := canonical(n); err != nil {
		return Head{}, fmt.Errorf("ledger: %w", err)
	}
	if len(rest) > 0 {
		return Head{}, errors.New("ledger: checkpoint: lines after the root")
	}
	return Head{Size: cp.Size, Root: cp.Hash}, nil
}

// compareRemotes holds the log against what the remotes remember: every one that
// answered must agree, and if there are any, one must have answered.
func compareRemotes(heads []remoteHead, silent error, size uint64, rootAt func(uint64) []byte) *WitnessError {
	if silent != nil {
		return &WitnessError{Cause: WitnessUnreachable, LogSize: size, Detail: silent}
	}
	for _, r := range heads {
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
	return nil
}

// Cosigned is a checkpoint with what witnesses signed under it.
type Cosigned struct {
	Checkpoint   string   `json:"checkpoint"`   // signed by the log
	Cosignatures []string `json:"cosignatures"` // signature lines of C2SP tlog-cosignature, each with its newline
}

// Note gives the checkpoint and all signatures as one signed note.
func (c Cosigned) Note() string { return c.Checkpoint + strings.Join(c.Cosignatures, "") }

// KeepCosigned makes proofs refer to this checkpoint, from the entries that it
// covers on, until a newer one is kept. Error: it is not one of this log.
func (l *Log) KeepCosigned(c Cosigned) error {
	h, err := OpenCheckpoint(c.Checkpoint, l.cfg.Key.Public)
	if err != nil {
		return err
	}
	root, err := l.RootAt(h.Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(root, h.Root) {
		return fmt.Errorf("ledger: cosigned checkpoint over %d entries: %w: another root", h.Size, ErrTampered)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.Size >= l.cosignedHead.size {
		l.cosigned, l.cosignedHead = c, head{size: h.Size, root: h.Root}
	}
	return nil
}

// CosignedCheckpoint gives the newest cosigned checkpoint and its size; zero if
// there is none.
func (l *Log) CosignedCheckpoint() (Cosigned, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cosigned, l.cosignedHead.size
}
