package sealedfile

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

	"griffier/api/durable"
)

// Shelf is a folder of one kind of file: mode 0700, files of mode 0600, each named
// by 128 random bits in hexadecimal. One process owns it.
type Shelf struct{ dir, kind string }

// making is of a file that is being written; its name alone tells that a key may
// have been made for it.
const making = ".making"

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// OpenShelf opens a folder of files with a suffix such as "hold", and makes it if
// it is missing.
func OpenShelf(dir, kind string) (Shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Shelf{}, fmt.Errorf("open folder of %ss: %w", kind, err)
	}
	return Shelf{dir, "." + kind}, nil
}

// Path is where the whole file of an id is.
func (s Shelf) Path(id string) string { return filepath.Join(s.dir, id+s.kind) }

func (s Shelf) makingPath(id string) string { return filepath.Join(s.dir, id+making) }

// Begin makes the file that is written to. When it returns, the file's name is
// durable.
func (s Shelf) Begin(id string) (*os.File, error) {
	if !idForm.MatchString(id) {
		return nil, errors.New("malformed id of a file")
	}
	f, err := os.OpenFile(s.makingPath(id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := durable.SyncFolder(s.dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Finish gives a written file its name, durably. A name is given once: what has it
// is never replaced.
func (s Shelf) Finish(id string, f *os.File) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if _, err := os.Lstat(s.Path(id)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	if err := os.Rename(s.makingPath(id), s.Path(id)); err != nil {
		return err
	}
	return durable.SyncFolder(s.dir)
}

// Remove removes an id's files, durably; that there are none is no error.
func (s Shelf) Remove(id string) error {
	err := errors.Join(s.RemoveMaking(id), removeIfThere(s.Path(id)))
	if err == nil {
		err = durable.SyncFolder(s.dir)
	}
	return err
}

// RemoveMaking removes what was being written under an id.
func (s Shelf) RemoveMaking(id string) error { return removeIfThere(s.makingPath(id)) }

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Found is a file of the folder.
type Found struct {
	ID      string
	Whole   bool // it has its name
	Changed time.Time
}

// List returns what is in the folder. What is nobody's is an error: nothing else
// may be there.
func (s Shelf) List() ([]Found, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var out []Found
	for _, f := range files {
		id, suffix, _ := strings.Cut(f.Name(), ".")
		if !idForm.MatchString(id) || ("."+suffix != making && "."+suffix != s.kind) {
			return nil, fmt.Errorf("the folder has a file that is no %s's: remove it", s.kind[1:])
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Found{id, "."+suffix == s.kind, info.ModTime()})
	}
	return out, nil
}

// Hash returns the SHA-256 of an open file, which is then at its start again.
func Hash(f *os.File) (string, error) {
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
