package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Cosigned is a checkpoint with what witnesses signed under it.
type Cosigned struct {
	Checkpoint   string   `json:"checkpoint"`   // signed by the log
	Cosignatures []string `json:"cosignatures"` // signature lines of C2SP tlog-cosignature, each with its newline
}

// Note gives the checkpoint and all signatures as one signed note.
func (c Cosigned) Note() string { return c.Checkpoint + strings.Join(c.Cosignatures, "") }

// keptCosigned is a cosigned checkpoint of this log.
type keptCosigned struct {
	Cosigned
	head head
}

// KeepCosigned makes proofs of the entries that this checkpoint covers refer to it,
// until one is kept that covers more, with as many cosignatures, or as much with more
// of them. Whoever made them is the caller's to have checked. Error: the checkpoint is
// not one of this log.
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
	l.cosigned = keepBest(l.cosigned, keptCosigned{c, head{size: h.Size, root: h.Root}})
	return nil
}

// keepBest adds a checkpoint to those that are kept: each covers more than the one
// before, and has fewer cosignatures. So there are at most as many as witnesses, and
// the first that covers an entry is the one that most have signed.
func keepBest(kept []keptCosigned, c keptCosigned) []keptCosigned {
	covers := func(a, b keptCosigned) bool {
		return a.head.size >= b.head.size && len(a.Cosignatures) >= len(b.Cosignatures)
	}
	for _, k := range kept {
		if covers(k, c) && !covers(c, k) {
			return kept
		}
	}
	kept = slices.DeleteFunc(slices.Clone(kept), func(k keptCosigned) bool { return covers(c, k) })
	at := slices.IndexFunc(kept, func(k keptCosigned) bool { return k.head.size > c.head.size })
	if at < 0 {
		at = len(kept)
	}
	return slices.Insert(kept, at, c)
}

// cosignedOver gives the checkpoint that most witnesses signed of those that cover
// the first size entries. With mu held.
func (l *Log) cosignedOver(size uint64) (keptCosigned, bool) {
	at := slices.IndexFunc(l.cosigned, func(k keptCosigned) bool { return k.head.size >= size })
	if at < 0 {
		return keptCosigned{}, false
	}
	return l.cosigned[at], true
}

// CosignedOver gives the checkpoint that most witnesses signed of those that cover
// the first size entries; zero if there is none.
func (l *Log) CosignedOver(size uint64) Cosigned {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, _ := l.cosignedOver(size)
	return k.Cosigned
}

// CosignedCheckpoint gives the newest cosigned checkpoint and its size; zero if
// there is none.
func (l *Log) CosignedCheckpoint() (Cosigned, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cosigned) == 0 {
		return Cosigned{}, 0
	}
	newest := l.cosigned[len(l.cosigned)-1]
	return newest.Cosigned, newest.head.size
}
