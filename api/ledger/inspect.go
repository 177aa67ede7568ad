package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
)

// Problem is one thing that is wrong with a log.
type Problem struct {
	Where string // the file, relative to the log's folder where it is inside it
	Entry *uint64
	What  string
}

func (p Problem) String() string {
	if p.Entry != nil {
		return fmt.Sprintf("entry %d (%s): %s", *p.Entry, p.Where, p.What)
	}
	return fmt.Sprintf("%s: %s", p.Where, p.What)
}

// maxProblems bounds a report: a log of another key has one for each entry.
const maxProblems = 200

// inspector checks the files of a log against each other. It changes nothing,
// and may look at a log that is being written.
type inspector struct {
	dir         string
	origin      string // empty accepts that of the checkpoint
	verifiers   note.Verifiers
	witnessPath string       // empty leaves the witness out
	remotes     []remoteHead // roots are computed at their sizes too

	// visit, if not nil, is called for each entry whose leaf can be read.
	visit func(index uint64, file string, leaf []byte)

	found      findings
	state      head
	stale      map[tileName][]uint8 // partial files, by the tile (partial 0)
	levels     []levelState         // tile levels from 0
	leafRange  *compact.Range       // over the leaf hashes that the level-0 tiles tell
	leafDiffs  []Problem            // entries whose hash is not that of the tile
	tileDiffs  []Problem            // tiles that the entries do not give
	roots      map[uint64][]byte    // of the first n entries, for the n asked for
	unreadable bool                 // some bundle could not be split
}

// levelState collects the nodes of a tile until it is full.
type levelState struct {
	index uint64
	nodes [][]byte
}

// findings is what an inspection tells.
type findings struct {
	head       head // computed from the entries
	checkpoint head // as published
	tree       *compact.Range
	witness    *WitnessError
	problems   []Problem
	strays     int // files that are no part of the log: left by a crash
}

func (in *inspector) problem(where, format string, args ...any) {
	in.add(Problem{Where: where, What: fmt.Sprintf(format, args...)})
}

func (in *inspector) add(p Problem) {
	if len(in.found.problems) < maxProblems {
		in.found.problems = append(in.found.problems, p)
	}
}

// run inspects everything. The error is of the context or of reading folders;
// whatever is wrong with the log itself is in the findings.
func (in *inspector) run(ctx context.Context) (*findings, error) {
	// In this order, so that a log that grows meanwhile is never found shorter
	// than what was read before.
	recorded, recordedErr := head{}, error(nil)
	if in.witnessPath != "" {
		recorded, recordedErr = readWitness(in.witnessPath, in.origin, in.verifiers)
	}
	published := in.readCheckpoint()
	if err := in.readState(); err != nil {
		return nil, err
	}
	if err := in.inventory(); err != nil {
		return nil, err
	}
	in.roots = map[uint64][]byte{recorded.size: nil, published.size: nil}
	for _, r := range in.remotes {
		in.roots[r.head.size] = nil
	}
	in.roots[0] = rfc6962.DefaultHasher.EmptyRoot()
	in.found.tree, in.leafRange = newRange(), newRange()
	for index := uint64(0); index*layout.EntryBundleWidth < in.state.size; index++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if more, err := in.bundle(index); err != nil {
			return nil, err
		} else if !more {
			break
		}
	}
	for level := range in.levels {
		if err := in.flush(uint64(level)); err != nil {
			return nil, err
		}
	}
	root, err := rootOf(in.found.tree)
	if err != nil {
		return nil, err
	}
	in.found.head = head{size: in.found.tree.End(), root: root}
	in.found.checkpoint = published
	if err := in.judge(published); err != nil {
		return nil, err
	}
	if in.witnessPath != "" {
		in.found.witness = compareWitness(in.witnessPath, recorded, recordedErr, in.found.head.size, func(n uint64) []byte { return in.roots[n] })
	}
	return &in.found, nil
}

// readCheckpoint reads the published checkpoint. A missing one is a problem only for a
// log that has entries: the first start may have been killed before there was one.
func (in *inspector) readCheckpoint() head {
	raw, err := readLimited(filepath.Join(in.dir, checkpointPath), maxNoteBytes)
	if errors.Is(err, fs.ErrNotExist) {
		raw, err := readLimited(filepath.Join(in.dir, treeStatePath), maxNoteBytes)
		if state, _ := parseTreeState(raw); err == nil && state.size > 0 {
			in.problem(checkpointPath, "missing")
		}
		return head{}
	}
	if err != nil {
		in.problem(checkpointPath, "%v", err)
		return head{}
	}
	h, origin, err := openHead(raw, in.verifiers)
	if err != nil {
		in.problem(checkpointPath, "%v", err)
		return head{}
	}
	if in.origin != "" && origin != in.origin {
		in.problem(checkpointPath, "is of the log %q, not %q", origin, in.origin)
		return head{}
	}
	return h
}

// readState reads tessera's record of what is integrated, which may be more than
// the checkpoint says.
func (in *inspector) readState() error {
	raw, err := readLimited(filepath.Join(in.dir, treeStatePath), maxNoteBytes)
	if errors.Is(err, fs.ErrNotExist) {
		// A new folder has nothing; a log without state has lost it.
		in.state = head{root: rfc6962.DefaultHasher.EmptyRoot()}
		if _, err := readLimited(filepath.Join(in.dir, checkpointPath), maxNoteBytes); err == nil {
			in.problem(treeStatePath, "missing")
		}
		return nil
	}
	if err == nil {
		in.state, err = parseTreeState(raw)
	}
	if err != nil {
		in.problem(treeStatePath, "%v", err)
		in.state = head{root: rfc6962.DefaultHasher.EmptyRoot()}
	}
	version, err := readLimited(filepath.Join(in.dir, versionPath), maxNoteBytes)
	if err != nil {
		in.problem(versionPath, "%v", err)
	} else if string(version) != compatibilityVersion {
		in.problem(versionPath, "version %q: this program knows %q", version, compatibilityVersion)
	}
	return nil
}

// inventory lists the partial tiles, and counts files that are no part of the
// log.
func (in *inspector) inventory() error {
	in.stale = map[tileName][]uint8{}
	return walkTiles(in.dir, func(_ string, t tileName, ok bool) error {
		switch {
		case !ok || !t.within(in.state.size):
			in.found.strays++
		case t.partial != 0:
			full := tileName{level: t.level, index: t.index}
			in.stale[full] = append(in.stale[full], t.partial)
		}
		return nil
	})
}

// bundle checks one entry bundle and feeds its leaves to the tree. Where a leaf
// cannot be read, what the level-0 tile says stands in for it, so that the rest
// can be checked. false means that the log ends before the state says it does.
func (in *inspector) bundle(index uint64) (more bool, err error) {
	first := index * layout.EntryBundleWidth
	count := min(layout.EntryBundleWidth, in.state.size-first)
	told := in.tileHashes(index, count)

	raw, t, err := readTile(in.dir, entriesLevel, index, in.state.size)
	var leaves [][]byte
	if err == nil {
		leaves, err = splitBundle(raw, t.entries())
	}
	if errors.Is(err, fs.ErrNotExist) {
		in.problem(t.path(), "missing: the log ends at %d entries, the tree state says %d", first, in.state.size)
		return false, nil
	}
	if err != nil {
		in.problem(t.path(), "%v", err)
		in.unreadable = true
		leaves = nil
	} else {
		leaves = leaves[:count]
		in.staleBundles(t, raw, leaves)
	}
	for i := range count {
		var hash []byte
		if leaves != nil {
			hash = rfc6962.DefaultHasher.HashLeaf(leaves[i])
			if in.visit != nil {
				in.visit(first+i, t.path(), leaves[i])
			}
		}
		switch {
		case hash == nil && told == nil:
			hash = make([]byte, rfc6962.DefaultHasher.Size()) // nothing is known of it
		case hash == nil:
			hash = told[i]
		case told != nil && !bytes.Equal(hash, told[i]):
			at := first + i
			in.leafDiffs = append(in.leafDiffs, Problem{Where: t.path(), Entry: &at, What: "its hash is not that of the Merkle tree: the entry was altered"})
		}
		claim := hash
		if told != nil {
			claim = told[i]
		}
		if err := in.leafRange.Append(claim, nil); err != nil {
			return false, err
		}
		if err := in.grow(hash); err != nil {
			return false, err
		}
	}
	return true, nil
}

// tileHashes reads the level-0 tile over a bundle; nil if it cannot be read,
// which flush reports.
func (in *inspector) tileHashes(index, count uint64) [][]byte {
	raw, _, err := readTile(in.dir, 0, index, in.state.size)
	if err != nil || uint64(len(raw)) < count*32 {
		return nil
	}
	return slices.Collect(slices.Chunk(raw[:count*32], 32))
}

// staleBundles checks the partial bundles that this one replaced: each is a
// beginning of it.
func (in *inspector) staleBundles(t tileName, raw []byte, leaves [][]byte) {
	for _, partial := range in.stale[tileName{level: entriesLevel, index: t.index}] {
		old := tileName{level: entriesLevel, index: t.index, partial: partial}
		if old == t {
			continue
		}
		length := 0
		for _, leaf := range leaves[:partial] {
			length += 2 + len(leaf)
		}
		in.compare(old, raw[:length])
	}
}

// grow adds a leaf hash to the tree, and to the tile levels.
func (in *inspector) grow(hash []byte) error {
	var failed error
	err := in.found.tree.Append(hash, func(id compact.NodeID, hash []byte) {
		if id.Level%layout.TileHeight != 0 {
			return
		}
		level := uint64(id.Level / layout.TileHeight)
		for uint64(len(in.levels)) <= level {
			in.levels = append(in.levels, levelState{})
		}
		l := &in.levels[level]
		l.nodes = append(l.nodes, hash)
		if len(l.nodes) == layout.TileWidth && failed == nil {
			failed = in.flush(level)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if n := in.found.tree.End(); in.roots[n] == nil {
		if _, asked := in.roots[n]; asked {
			in.roots[n], err = rootOf(in.found.tree)
		}
	}
	return err
}

// flush compares the collected nodes of a level with the tile files, the newest
// and those that it replaced.
func (in *inspector) flush(level uint64) error {
	l := &in.levels[level]
	if len(l.nodes) == 0 {
		return nil
	}
	want := bytes.Join(l.nodes, nil)
	raw, t, err := readTile(in.dir, level, l.index, in.state.size)
	switch {
	case err != nil:
		in.problem(t.path(), "%v", err)
	case uint64(len(raw)) != 32*t.entries():
		in.problem(t.path(), "has %d bytes, not %d", len(raw), 32*t.entries())
	case !bytes.Equal(raw[:len(want)], want):
		in.tileDiffs = append(in.tileDiffs, Problem{Where: t.path(), What: "is not what the entries give: the tile was altered"})
	}
	for _, partial := range in.stale[tileName{level: level, index: l.index}] {
		old := tileName{level: level, index: l.index, partial: partial}
		if old != t {
			in.compare(old, want[:32*int(partial)])
		}
	}
	*l = levelState{index: l.index + 1}
	return nil
}

// compare checks an outdated partial file.
func (in *inspector) compare(t tileName, want []byte) {
	raw, err := readLimited(filepath.Join(in.dir, t.path()), maxBundleBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return // removed meanwhile
	}
	if err != nil {
		in.problem(t.path(), "%v", err)
	} else if !bytes.Equal(raw, want) {
		in.tileDiffs = append(in.tileDiffs, Problem{Where: t.path(), What: "an outdated part of the log was altered"})
	}
}

// judge compares the roots, and says which of two files that disagree is wrong.
func (in *inspector) judge(published head) error {
	root := in.found.head.root
	told, err := rootOf(in.leafRange)
	if err != nil {
		return err
	}
	signed := published.size == in.found.head.size && published.root != nil
	trusted := in.state.root
	if signed {
		trusted = published.root
	}
	switch {
	case bytes.Equal(root, trusted) && !in.unreadable:
		// The entries are right, so tiles that differ are wrong, and what they
		// say of leaves is part of that.
		for _, p := range in.tileDiffs {
			in.add(p)
		}
	case bytes.Equal(told, trusted):
		for _, p := range in.leafDiffs {
			in.add(p)
		}
	default:
		for _, p := range slices.Concat(in.leafDiffs, in.tileDiffs) {
			in.add(p)
		}
		in.problem("tile/entries", "the root over all %d entries is neither that of the tree state nor that of the tiles", in.found.head.size)
	}
	if !bytes.Equal(in.state.root, root) {
		in.problem(treeStatePath, "its root is not that over the %d entries", in.found.head.size)
	}
	if published.root != nil {
		switch r := in.roots[published.size]; {
		case published.size > in.found.head.size:
			in.problem(checkpointPath, "is signed over %d entries, the log has %d: entries were removed", published.size, in.found.head.size)
		case !bytes.Equal(r, published.root):
			in.problem(checkpointPath, "the first %d entries are not those that it is signed over", published.size)
		}
	}
	return nil
}
