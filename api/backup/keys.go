package backup

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"griffier/api/durable"
	"griffier/api/keystore"
)

const (
	keysStamp = "20060102T150405Z"
	// RestoredName is the file that marks a folder of keys that came from a copy: older
	// than some erasures, perhaps.
	RestoredName = "restored"
	maxKeyFile   = 1 << 20
)

var (
	keysForm    = regexp.MustCompile(`^keys-([0-9]{8}T[0-9]{6}Z)\.tar$`)
	keyFileForm = regexp.MustCompile(`^[0-9a-f]{64}\.(key|shredded)$`)
)

// CopyKeys copies all keys of a keystore into one archive in to. They are wrapped
// under the master key, which is not among them: keep that on paper.
func CopyKeys(keys *keystore.Store, to string, now time.Time) error {
	fail := func(err error) error { return fmt.Errorf("copy of the keys: %w", err) }
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(to, partialPrefix+"keys-*")
	if err != nil {
		return fail(err)
	}
	w := tar.NewWriter(f)
	err = keys.Files(func(name string, content []byte) error {
		header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	})
	if err := errors.Join(err, w.Close(), f.Sync(), f.Close()); err != nil {
		return fail(errors.Join(err, os.Remove(f.Name())))
	}
	if err := errors.Join(os.Rename(f.Name(), keysPath(to, now)), durable.SyncFolder(to)); err != nil {
		return fail(err)
	}
	return nil
}

func keysPath(dir string, at time.Time) string {
	return filepath.Join(dir, "keys-"+at.UTC().Format(keysStamp)+".tar")
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
// unfinished ones. One from the future was made by a clock that stood ahead: how old
// it is nobody knows, so its time begins now.
func PruneKeys(dir string, now time.Time) error {
	copies, err := keyCopies(dir)
	if err != nil {
		return fmt.Errorf("prune copies of the keys: %w", err)
	}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(copies))) {
		var err error
		switch at := copies[path]; {
		case now.Sub(at) >= KeysKeep:
			err = os.Remove(path)
		case at.After(now):
			err = redate(path, now)
		}
		if err != nil {
			return fmt.Errorf("prune copies of the keys: %w", err)
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

// redate gives a copy of the keys the name of one that was made at an instant, or as
// little before as no other has.
func redate(path string, at time.Time) error {
	for ; ; at = at.Add(-time.Second) {
		to := keysPath(filepath.Dir(path), at)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, to)
		} else if err != nil {
			return err
		}
	}
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
		marked = marked || e.Name() == RestoredName
	}
	if len(entries) > 0 && !marked {
		return fail(fmt.Errorf("%s has keys; move them away first, never mix two sets", dir))
	}
	f, err := os.Open(archive)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if err := ends(f); err != nil {
		return fail(err)
	}
	if err := durable.Write(filepath.Join(dir, RestoredName), nil); err != nil { // first: half a set is never taken for a whole one
		return fail(err)
	}
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
		if err := durable.Write(filepath.Join(dir, name), content); err != nil {
			return fail(err)
		}
	}
	return nil
}

// ends tells whether an archive is there to its end, which is 1024 bytes of zero: one
// that was cut off between two keys reads like a whole one of fewer.
func ends(archive *os.File) error {
	var end [1024]byte
	info, err := archive.Stat()
	if err != nil {
		return err
	}
	if _, err := archive.ReadAt(end[:], max(info.Size()-int64(len(end)), 0)); err != nil || end != [len(end)]byte{} {
		return errors.New("the archive is cut off; take another copy")
	}
	return nil
}

// KeysRestored reports whether a folder of keys came from a copy and has not been
// dealt with since.
func KeysRestored(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, RestoredName))
	return err == nil
}

// KeysDone removes the mark.
func KeysDone(dir string) error {
	if err := os.Remove(filepath.Join(dir, RestoredName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restored keys: %w", err)
	}
	return durable.SyncFolder(dir)
}
