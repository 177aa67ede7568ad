package ledger

import (
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
)

// fetchTile gives the first nodes of a tile of the log as it is integrated now,
// in the form in which tessera's client asks for them. Tiles exist for the sizes
// at which tessera ended a batch; one that is larger than wanted begins with what
// is wanted.
func (l *Log) fetchTile(size uint64) client.TileFetcherFunc {
	return func(_ context.Context, level, at uint64, partial uint8) ([]byte, error) {
		raw, t, err := readTile(l.cfg.Dir, level, at, size)
		if err != nil {
			return nil, err
		}
		want := tileName{partial: partial}.entries() * 32
		if uint64(len(raw)) < want {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrTampered, t.path(), len(raw))
		}
		return raw[:want], nil
	}
}

// rangeAt rebuilds the Merkle tree over the first size entries from the tiles.
func (l *Log) rangeAt(size uint64) (*compact.Range, error) {
	state, err := l.state()
	if err != nil {
		return nil, err
	}
	return rangeAt(l.cfg.Dir, state.size, size)
}

// rangeAt does so for a log in dir that has the given size.
func rangeAt(dir string, logSize, size uint64) (*compact.Range, error) {
	if size > logSize {
		return nil, fmt.Errorf("%w: the log has %d entries, not %d", ErrNotFound, logSize, size)
	}
	var hashes [][]byte
	for _, id := range compact.RangeNodes(0, size, nil) {
		hash, err := nodeAt(dir, logSize, id)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return f.NewRange(0, size, hashes)
}

// nodeAt gives the hash of a complete subtree: the hash over those nodes of a tile
// that lie below it.
func nodeAt(dir string, logSize uint64, id compact.NodeID) ([]byte, error) {
	level, height := uint64(id.Level/layout.TileHeight), id.Level%layout.TileHeight
	first := id.Index << height
	raw, t, err := readTile(dir, level, first/layout.TileWidth, logSize)
	if err != nil {
		return nil, err
	}
	from, to := first%layout.TileWidth*32, (first%layout.TileWidth+1<<height)*32
	if uint64(len(raw)) < to {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrTampered, t.path(), len(raw))
	}
	below := newRange()
	for ; from < to; from += 32 {
		if err := below.Append(raw[from:from+32], nil); err != nil {
			return nil, err
		}
	}
	return rootOf(below)
}

// headAt gives the head of the first size entries, at most Size.
func (l *Log) headAt(size uint64) (head, error) {
	l.mu.Lock()
	acked := l.acked
	l.mu.Unlock()
	switch {
	case size == acked.size:
		return acked, nil
	case size > acked.size:
		return head{}, fmt.Errorf("%w: %d entries are acknowledged, not %d", ErrNotFound, acked.size, size)
	}
	tree, err := l.rangeAt(size)
	if err != nil {
		return head{}, err
	}
	root, err := rootOf(tree)
	return head{size: size, root: root}, err
}

// RootAt gives the Merkle root over the first size entries. Error: ErrNotFound
// if fewer are acknowledged.
func (l *Log) RootAt(size uint64) ([]byte, error) {
	h, err := l.headAt(size)
	if err != nil {
		return nil, fmt.Errorf("ledger: root: %w", err)
	}
	return h.root, nil
}

// CheckpointAt signs the head of the first size entries: what a party that has
// fallen behind is brought forward to, step by step. Error: ErrNotFound.
func (l *Log) CheckpointAt(size uint64) (string, error) {
	h, err := l.headAt(size)
	if err != nil {
		return "", fmt.Errorf("ledger: checkpoint: %w", err)
	}
	return signHead(h, l.origin, l.cfg.Key.Signer)
}

// Consistency proves that the log's first to entries begin with its first from
// entries (RFC 6962 §2.1.2); empty for from 0 or from equal to to. Error:
// ErrNotFound.
func (l *Log) Consistency(ctx context.Context, from, to uint64) ([][]byte, error) {
	fail := func(err error) ([][]byte, error) { return nil, fmt.Errorf("ledger: consistency proof: %w", err) }
	older, err := l.headAt(from)
	if err != nil {
		return fail(err)
	}
	newer, err := l.headAt(to)
	if err != nil {
		return fail(err)
	}
	if from == 0 || from == to {
		return nil, nil
	}
	state, err := l.state()
	if err != nil {
		return fail(err)
	}
	builder, err := client.NewProofBuilder(ctx, to, l.fetchTile(state.size))
	if err != nil {
		return fail(err)
	}
	hashes, err := builder.ConsistencyProof(ctx, from, to)
	if err != nil {
		return fail(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, hashes, older.root, newer.root); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrTampered, err))
	}
	return hashes, nil
}

// Leaves calls visit for the acknowledged entries from index from to before to,
// in order, encoded as they are hashed. It stops at the end of the log.
func (l *Log) Leaves(ctx context.Context, from, to uint64, visit func(index uint64, leaf []byte) error) error {
	to = min(to, l.Size())
	if from >= to {
		return nil
	}
	state, err := l.state()
	if err != nil {
		return fmt.Errorf("ledger: leaves: %w", err)
	}
	if err := readEntries(ctx, l.cfg.Dir, state.size, from, to, visit); err != nil {
		return fmt.Errorf("ledger: leaves: %w", err)
	}
	return nil
}

// Origin gives the log's name.
func (l *Log) Origin() string { return l.origin }

// PublicKey gives the key that the log's checkpoints verify with.
func (l *Log) PublicKey() string { return l.cfg.Key.Public }

// Distrust stops the ledger for good, until a restart: somebody elsewhere
// remembers more of it than it has, or something else. Reading goes on.
func (l *Log) Distrust(why error) { l.breakFor(why) }
