package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"griffier/api/durable"
)

// The files of a tessera POSIX log, relative to its folder.
const (
	checkpointPath = layout.CheckpointPath
	treeStatePath  = ".state/treeState"
	treeLockPath   = ".state/treeState.lock"
	versionPath    = ".state/version"
	tileRoot       = "tile"
)

// entriesLevel stands for entry bundles where a tile level is wanted.
const entriesLevel = ^uint64(0)

const (
	maxBundleBytes = layout.EntryBundleWidth * (2 + MaxEntryBytes)
	maxTileBytes   = layout.TileWidth * 32
)

// tileName names a tile or entry bundle file. partial is the number of its
// entries if it is not full, else 0.
type tileName struct {
	level, index uint64
	partial      uint8
}

func (t tileName) path() string {
	if t.level == entriesLevel {
		return layout.EntriesPath(t.index, t.partial)
	}
	return layout.TilePath(t.level, t.index, t.partial)
}

// parseTilePath is the inverse of path; false for any other file.
func parseTilePath(path string) (tileName, bool) {
	level, rest, ok := strings.Cut(strings.TrimPrefix(path, tileRoot+"/"), "/")
	if !ok {
		return tileName{}, false
	}
	t := tileName{level: entriesLevel}
	var err error
	if level != "entries" {
		if t.level, err = layout.ParseTileLevel(level); err != nil || t.level > 7 {
			return tileName{}, false // 256^8 entries overflow any size
		}
	}
	if t.index, t.partial, err = layout.ParseTileIndexPartial(rest); err != nil {
		return tileName{}, false
	}
	return t, t.path() == path
}

// width is how many nodes a log of the given size has at the tile's level.
func (t tileName) width(size uint64) uint64 {
	if t.level == entriesLevel {
		return size
	}
	return size >> (t.level * layout.TileHeight)
}

// entries is how many nodes or entries the file holds.
func (t tileName) entries() uint64 {
	if t.partial == 0 {
		return layout.TileWidth
	}
	return uint64(t.partial)
}

// within says whether a log of the given size has all that the file holds.
func (t tileName) within(size uint64) bool {
	return t.index*layout.TileWidth+t.entries() <= t.width(size)
}

// needed says whether a log of exactly the given size consists of this file.
func (t tileName) needed(size uint64) bool {
	if t.partial == 0 {
		return t.within(size)
	}
	w := t.width(size)
	return t.index == w/layout.TileWidth && uint64(t.partial) == w%layout.TileWidth
}

// walkTiles calls visit for every file below the tile folder. ok is false for a
// file that is no tile. Files that vanish meanwhile are passed over: tessera
// removes partial tiles that a full one has replaced.
func walkTiles(dir string, visit func(path string, t tileName, ok bool) error) error {
	err := filepath.WalkDir(filepath.Join(dir, tileRoot), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		t, ok := parseTilePath(filepath.ToSlash(relative))
		return visit(relative, t, ok)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// temporaryForm is the form of the files that tessera, or we, write before
// renaming them, and that a crash or a full disk leaves behind.
var temporaryForm = regexp.MustCompile(`^(checkpoint|treeState|version|gcState)[0-9]+$|^\.new-`)

// removeDebris removes the tile files that belong to neither of the sizes:
// those that an interrupted append left, which the log would step over but no
// reader could tell from the real ones, and partial ones that were replaced.
// Temporary files go too.
func removeDebris(dir string, sizes ...uint64) error {
	for _, folder := range []string{dir, filepath.Dir(filepath.Join(dir, treeStatePath))} {
		files, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, f := range files {
			if temporaryForm.MatchString(f.Name()) {
				if err := os.Remove(filepath.Join(folder, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
	}
	return walkTiles(dir, func(path string, t tileName, ok bool) error {
		for _, size := range sizes {
			if ok && t.needed(size) {
				return nil
			}
		}
		if err := os.Remove(filepath.Join(dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// readTile reads the first count nodes or entries of a tile of a log of the
// given size: from the file that belongs to that size, or from the full one if
// that has replaced it. Nodes are 32 bytes each, concatenated.
func readTile(dir string, level, index, size uint64) (raw []byte, t tileName, err error) {
	t = tileName{level: level, index: index}
	limit := int64(maxTileBytes)
	if level == entriesLevel {
		limit = maxBundleBytes
	}
	if w := t.width(size); w < (index+1)*layout.TileWidth {
		t.partial = uint8(w % layout.TileWidth)
	}
	raw, err = readLimited(filepath.Join(dir, t.path()), limit)
	if t.partial != 0 && errors.Is(err, fs.ErrNotExist) {
		t.partial = 0
		raw, err = readLimited(filepath.Join(dir, t.path()), limit)
	}
	return raw, t, err
}

// splitBundle splits an entry bundle that must hold exactly want entries.
func splitBundle(raw []byte, want uint64) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, fmt.Errorf("cannot be split into entries: %w", err)
	}
	if uint64(len(b.Entries)) != want {
		return nil, fmt.Errorf("holds %d entries, not %d", len(b.Entries), want)
	}
	return b.Entries, nil
}

// readEntries calls visit for the entries [from, to) of a log that has the given
// size, to at most size.
func readEntries(ctx context.Context, dir string, size, from, to uint64, visit func(index uint64, leaf []byte) error) error {
	for index := from / layout.EntryBundleWidth; index*layout.EntryBundleWidth < to; index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, t, err := readTile(dir, entriesLevel, index, size)
		if err != nil {
			return err
		}
		leaves, err := splitBundle(raw, t.entries())
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrTampered, t.path(), err)
		}
		first := index * layout.EntryBundleWidth
		for i, leaf := range leaves {
			at := first + uint64(i)
			if at < from || at >= to {
				continue
			}
			if err := visit(at, leaf); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseTreeState reads tessera's record of what is integrated, and refuses
// anything but its one form.
func parseTreeState(raw []byte) (head, error) {
	var s struct {
		Size uint64 `json:"size"`
		Root []byte `json:"root"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return head{}, fmt.Errorf("%s: %w", treeStatePath, err)
	}
	again, err := json.Marshal(s)
	if err != nil || string(again) != string(raw) || len(s.Root) != rfc6962.DefaultHasher.Size() {
		return head{}, fmt.Errorf("%s: not as it was written", treeStatePath)
	}
	return head{size: s.Size, root: s.Root}, nil
}

// settleState gives what is integrated, and writes that record again before it is
// believed: what is visible is perhaps not durable, if the sync after tessera put it
// there failed, or never came. Errors: fs.ErrNotExist; ErrTampered.
func settleState(dir string) (head, error) {
	path := filepath.Join(dir, treeStatePath)
	raw, err := os.ReadFile(path)
	if err != nil {
		return head{}, err
	}
	state, err := parseTreeState(raw)
	if err != nil {
		return head{}, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	return state, durable.Write(path, raw)
}

// rootOf is the root over a compact range, of the empty one too.
func rootOf(r *compact.Range) ([]byte, error) {
	if r.End() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return r.GetRootHash(nil)
}

// newRange is an empty tree.
func newRange() *compact.Range {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return f.NewEmptyRange(0)
}

// compatibilityVersion is what the version file of the log says.
const compatibilityVersion = "1"
