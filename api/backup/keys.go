package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"griffier/api/durable"
)

const (
	keysStamp = "20060102T150405Z"
	// restoredKeys marks a folder of keys that came from a copy: older than some
	// erasures, perhaps.
	restoredKeys = "restored"
	maxKeyFile   = 1 << 20
)

var (
	keysForm    = regexp.MustCompile(`^keys-([0-9]{8}T[0-9]{6}Z)\.tar$`)
	keyFileForm = regexp.MustCompile(`^[0-9a-f]{64}\.(key|shredded)$`)
)

// CopyKeys copies the keys in a keystore's folder into one archive in to. They are
// wrapped under the master key, which is not among them: keep that on paper.
func CopyKeys(from, to string, now time.Time) error {
	fail := func(err error) error { return fmt.Errorf("copy of the keys: %w", err) }
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(to, partialPrefix+"keys-*")
	if err != nil {
		return fail(err)
	}
	w := tar.NewWriter(f)
	entries, err := os.ReadDir(from)
	for _, e := range entries {
		if err == nil && keyFileForm.MatchString(e.Name()) {
			// One that is destroyed meanwhile is left out.
			if err = addTree(context.Background(), w, filepath.Join(from, e.Name()), e.Name()); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	name := filepath.Join(to, "keys-"+now.UTC().Format(keysStamp)+".tar")
	if err := errors.Join(err, w.Close(), f.Sync(), f.Close()); err != nil {
		return fail(errors.Join(err, os.Remove(f.Name())))
	}
	if err := errors.Join(os.Rename(f.Name(), name), durable.SyncFolder(to)); err != nil {
		return fail(err)
	}
	return nil
}

// keyCopies lists the copies of the keys in a folder, with when each was made.
func keyCopies(dir string) (map[string]time.Time, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, e := range entries {
		if form := keysForm.FindStringSubmatch(e.Name()); form != nil {
			at, err := time.Parse(keysStamp, form[1])
			if err != nil {
				return nil, err
			}
			out[filepath.Join(dir, e.Name())] = at
		}
	}
	return out, nil
}

// PruneKeys removes the copies of the keys that are older than [KeysKeep], and
// unfinished ones.
func PruneKeys(dir string, now time.Time) error {
	copies, err := keyCopies(dir)
	if err != nil {
		return fmt.Errorf("prune copies of the keys: %w", err)
	}
	for path, at := range copies {
		if now.Sub(at) >= KeysKeep {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("prune copies of the keys: %w", err)
			}
		}
	}
	unfinished, err := filepath.Glob(filepath.Join(dir, partialPrefix+"keys-*"))
	for _, path := range unfinished {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return fmt.Errorf("prune copies of the keys: %w", err)
	}
	return nil
}

// RestoreKeys puts a copy of the keys into a folder that has none, and marks it:
// griffierd destroys again what the ledger says is destroyed before it serves.
func RestoreKeys(archive, dir string) error {
	fail := func(err error) error { return fmt.Errorf("restore keys: %w", err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fail(err)
	}
	marked := false
	for _, e := range entries {
		marked = marked || e.Name() == restoredKeys
	}
	if len(entries) > 0 && !marked {
		return fail(fmt.Errorf("%s has keys; move them away first, never mix two sets", dir))
	}
	if err := writeFile(filepath.Join(dir, restoredKeys), nil); err != nil { // first: half a set is never taken for a whole one
		return fail(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(err)
		}
		name := strings.TrimPrefix(header.Name, "./")
		if !keyFileForm.MatchString(name) || header.Size > maxKeyFile {
			return fail(errors.New("the archive holds something that is no key"))
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return fail(err)
		}
		if err := writeFile(filepath.Join(dir, name), content); err != nil {
			return fail(err)
		}
	}
	return durable.SyncFolder(dir)
}

// KeysRestored reports whether a folder of keys came from a copy and has not been
// dealt with since.
func KeysRestored(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, restoredKeys))
	return err == nil
}

// KeysDone removes the mark.
func KeysDone(dir string) error {
	if err := os.Remove(filepath.Join(dir, restoredKeys)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restored keys: %w", err)
	}
	return durable.SyncFolder(dir)
}
