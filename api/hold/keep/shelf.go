package keep

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// shelf is the folder of holds: mode 0700, files of mode 0600.
type shelf struct{ dir string }

const (
	// makingSuffix is of a file that is being written; it names the key that may
	// have been made for it.
	makingSuffix = ".making"
	sealedSuffix = ".hold"
)

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

func openShelf(dir string) (shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return shelf{}, fmt.Errorf("open holds folder: %w", err)
	}
	return shelf{dir}, nil
}

func (s shelf) path(id, suffix string) string { return filepath.Join(s.dir, id+suffix) }

// begin makes the file that a hold is written to. When it returns, the file's name
// is durable.
func (s shelf) begin(id string) (*os.File, error) {
	if !idForm.MatchString(id) {
		return nil, errors.New("malformed hold id")
	}
	f, err := os.OpenFile(s.path(id, makingSuffix), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// finish gives a written file its name, durably.
func (s shelf) finish(id string, f *os.File) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(s.path(id, makingSuffix), s.path(id, sealedSuffix)); err != nil {
		return err
	}
	return s.sync()
}

// remove removes a hold's files, durably; that there are none is no error.
func (s shelf) remove(id string) error {
	err := errors.Join(removeIfThere(s.path(id, makingSuffix)), removeIfThere(s.path(id, sealedSuffix)))
	if err == nil {
		err = s.sync()
	}
	return err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s shelf) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// found is a file of the folder.
type found struct {
	id      string
	whole   bool // it has its name
	changed time.Time
}

// list returns what is in the folder. What is nobody's is an error: nothing else
// may be there.
func (s shelf) list() ([]found, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var out []found
	for _, f := range files {
		id, suffix, _ := strings.Cut(f.Name(), ".")
		if !idForm.MatchString(id) || ("."+suffix != makingSuffix && "."+suffix != sealedSuffix) {
			return nil, errors.New("the folder has a file that is no hold's: remove it")
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, found{id, "."+suffix == sealedSuffix, info.ModTime()})
	}
	return out, nil
}

// hash returns the SHA-256 of an open file, which is then at its start again.
func hash(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
