package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

// MaxRead is the most entries that one Read gives.
const MaxRead = 1000

// Read gives up to n entries (at most MaxRead) from index start on, in order,
// and none past the end. Each is checked against the Merkle tree's leaf hash.
func (l *Log) Read(ctx context.Context, start uint64, n int) ([]Entry, error) {
	size := l.Size()
	if start >= size || n <= 0 {
		return nil, nil
	}
	end := min(size, start+uint64(min(n, MaxRead)))
	entries, err := l.read(ctx, start, end)
	if err != nil {
		return nil, fmt.Errorf("ledger: read: %w", err)
	}
	return entries, nil
}

// entry reads one acknowledged entry.
func (l *Log) entry(ctx context.Context, index uint64) (Entry, error) {
	if index >= l.Size() {
		return Entry{}, ErrNotFound
	}
	entries, err := l.read(ctx, index, index+1)
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

func (l *Log) read(ctx context.Context, start, end uint64) ([]Entry, error) {
	state, err := l.state()
	if err != nil {
		return nil, err
	}
	if state.size < end {
		return nil, fmt.Errorf("%w: it shrank to %d entries", ErrTampered, state.size)
	}
	entries := make([]Entry, 0, end-start)
	var hashes []byte
	tile := ^uint64(0)
	err = readEntries(ctx, l.cfg.Dir, state.size, start, end, func(index uint64, leaf []byte) error {
		if at := index / layout.TileWidth; at != tile {
			raw, t, err := readTile(l.cfg.Dir, 0, at, state.size)
			if err != nil {
				return err
			}
			if uint64(len(raw)) != 32*t.entries() {
				return fmt.Errorf("%w: %s has %d bytes", ErrTampered, t.path(), len(raw))
			}
			tile, hashes = at, raw
		}
		i := index % layout.TileWidth
		if !bytes.Equal(rfc6962.DefaultHasher.HashLeaf(leaf), hashes[32*i:32*i+32]) {
			return fmt.Errorf("%w: entry %d does not have the hash that the tree has", ErrTampered, index)
		}
		e, err := decodeEntry(index, leaf)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrTampered, index, err)
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// state reads how many entries are integrated now: the sizes for which tiles
// exist, while the acknowledged size may lie between two.
func (l *Log) state() (head, error) {
	raw, err := os.ReadFile(filepath.Join(l.cfg.Dir, treeStatePath))
	if err != nil {
		return head{}, err
	}
	return parseTreeState(raw)
}

// Body decrypts an entry's body: the JSON that was in the draft. nil if it has
// none. Errors: keystore.ErrShredded once the key is destroyed,
// keystore.ErrNotFound, keystore.ErrSealed.
func (l *Log) Body(e Entry) ([]byte, error) {
	if len(e.Body) == 0 {
		return nil, nil
	}
	if l.cfg.Keys == nil {
		return nil, fmt.Errorf("ledger: body: no key store")
	}
	context, err := bodyContext(e.Header)
	if err != nil {
		return nil, fmt.Errorf("ledger: body: %w", err)
	}
	plain, err := l.cfg.Keys.Open(e.Header.KeyID, e.Body, context)
	if err != nil {
		return nil, fmt.Errorf("ledger: body: %w", err)
	}
	return plain, nil
}

// Proof shows that a leaf is in the log of a checkpoint. All that is needed to
// check it, besides the public key, is in it.
type Proof struct {
	Index      uint64   `json:"index"`
	Leaf       []byte   `json:"leaf"`       // the entry as it was hashed
	Hashes     [][]byte `json:"hashes"`     // RFC 6962 §2.1.1, from the leaf up
	Checkpoint string   `json:"checkpoint"` // signed note
	// Cosignatures are the signature lines of witnesses under the checkpoint.
	Cosignatures []string `json:"cosignatures,omitempty"`
}

// ParseProof reads a proof as json.Marshal writes it, which is a line of an export, and
// refuses any other spelling.
func ParseProof(text []byte) (Proof, error) {
	var p Proof
	if err := json.Unmarshal(text, &p); err != nil {
		return Proof{}, fmt.Errorf("ledger: proof: %w", err)
	}
	if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, text) {
		return Proof{}, errors.New("ledger: proof: not as it was written")
	}
	return p, nil
}

// Proof proves an acknowledged entry against the checkpoint that most witnesses signed
// of those that cover it, else against the newest of all, which covers it at once:
// there is nothing to wait for. Error: ErrNotFound.
func (l *Log) Proof(ctx context.Context, index uint64) (Proof, error) {
	p, err := l.Prover(ctx, index+1)
	if err != nil {
		return Proof{}, err
	}
	return p.Prove(ctx, index)
}

// Prover proves entries against one checkpoint. It is for one goroutine.
type Prover struct {
	log     *Log
	head    head
	of      Cosigned
	builder *client.ProofBuilder
}

// Prover proves the log's first size entries, against the checkpoint that most
// witnesses signed of those that cover them, else against the newest of all. Error:
// ErrNotFound if fewer are acknowledged.
func (l *Log) Prover(ctx context.Context, size uint64) (*Prover, error) {
	l.mu.Lock()
	p := &Prover{log: l, head: l.acked, of: Cosigned{Checkpoint: l.checkpoint}}
	if best, ok := l.cosignedOver(size); ok {
		p.head, p.of = best.head, best.Cosigned
	}
	l.mu.Unlock()
	if size > p.head.size {
		return nil, fmt.Errorf("ledger: proof: %w", ErrNotFound)
	}
	if p.head.size == 0 {
		return p, nil
	}
	state, err := l.state()
	if err != nil {
		return nil, fmt.Errorf("ledger: proof: %w", err)
	}
	if p.builder, err = client.NewProofBuilder(ctx, p.head.size, l.fetchTile(state.size)); err != nil {
		return nil, fmt.Errorf("ledger: proof: %w", err)
	}
	return p, nil
}

// Size gives the number of entries that the checkpoint covers.
func (p *Prover) Size() uint64 { return p.head.size }

// Prove proves one entry. Error: ErrNotFound.
func (p *Prover) Prove(ctx context.Context, index uint64) (Proof, error) {
	if index >= p.head.size {
		return Proof{}, fmt.Errorf("ledger: proof: %w", ErrNotFound)
	}
	e, err := p.log.entry(ctx, index)
	if err != nil {
		return Proof{}, fmt.Errorf("ledger: proof: %w", err)
	}
	return p.ProveEntry(ctx, e)
}

// ProveEntry is Prove of an entry that was read already.
func (p *Prover) ProveEntry(ctx context.Context, e Entry) (Proof, error) {
	if e.Index >= p.head.size {
		return Proof{}, fmt.Errorf("ledger: proof: %w", ErrNotFound)
	}
	out := Proof{Index: e.Index, Checkpoint: p.of.Checkpoint, Cosignatures: p.of.Cosignatures}
	var err error
	if out.Leaf, err = e.Encode(); err != nil {
		return Proof{}, fmt.Errorf("ledger: proof: %w", err)
	}
	if out.Hashes, err = p.builder.InclusionProof(ctx, e.Index); err != nil {
		return Proof{}, fmt.Errorf("ledger: proof: %w", err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, e.Index, p.head.size, rfc6962.DefaultHasher.HashLeaf(out.Leaf), out.Hashes, p.head.root); err != nil {
		return Proof{}, fmt.Errorf("ledger: proof: %w: %w", ErrTampered, err)
	}
	return out, nil
}

// Verify checks the proof against the public key of the log (Key.Public) and
// gives the entry. It needs nothing else, so it works offline. Cosignatures are
// for [Proof.Cosigners].
func (p Proof) Verify(publicKey string) (Entry, error) {
	verifier, err := Verifier(publicKey)
	if err != nil {
		return Entry{}, err
	}
	h, origin, err := openHead([]byte(p.Checkpoint), note.VerifierList(verifier))
	if err != nil {
		return Entry{}, fmt.Errorf("ledger: verify proof: %w", err)
	}
	if origin != verifier.Name() {
		return Entry{}, fmt.Errorf("ledger: verify proof: checkpoint of the log %q, not %q", origin, verifier.Name())
	}
	err = proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, h.size, rfc6962.DefaultHasher.HashLeaf(p.Leaf), p.Hashes, h.root)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger: verify proof: %w", err)
	}
	e, err := decodeEntry(p.Index, p.Leaf)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger: verify proof: %w", err)
	}
	return e, nil
}

// Checkpoint gives the signed checkpoint over all acknowledged entries.
func (l *Log) Checkpoint() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint
}
