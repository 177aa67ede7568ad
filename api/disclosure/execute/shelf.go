package execute

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"griffier/api/disclosure"
)

// shelf keeps sealed packages and their receipts: one folder, mode 0700, files
// of mode 0600 that appear whole or not at all and are synced when they do.
type shelf struct{ dir string }

const (
	sealedSuffix  = ".sealed" // age or CMS
	receiptSuffix = ".receipt.json"
)

var taskIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

func openShelf(dir string) (shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return shelf{}, fmt.Errorf("open packages folder: %w", err)
	}
	return shelf{dir}, nil
}

func (s shelf) put(taskID, suffix string, data []byte) error {
	if !taskIDForm.MatchString(taskID) {
		return errors.New("write package: malformed task id")
	}
	f, err := os.CreateTemp(s.dir, "tmp-") // mode 0600
	if err != nil {
		return fmt.Errorf("write package: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path(taskID, suffix))
	}
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("write package: %w", errors.Join(err, removeIfThere(f.Name())))
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

func (s shelf) path(taskID, suffix string) string { return filepath.Join(s.dir, taskID+suffix) }

// sealed reads the package that the ledger knows by hash. It returns
// [fs.ErrNotExist] when there is none, or another.
func (s shelf) sealed(taskID, hash string) ([]byte, error) {
	data, err := os.ReadFile(s.path(taskID, sealedSuffix))
	if err != nil {
		return nil, fmt.Errorf("read package: %w", err)
	}
	if disclosure.SHA256(data) != hash {
		return nil, fmt.Errorf("read package: not the one that the ledger knows: %w", fs.ErrNotExist)
	}
	return data, nil
}

func (s shelf) receipt(taskID string) ([]byte, error) {
	data, err := os.ReadFile(s.path(taskID, receiptSuffix))
	if err != nil {
		return nil, fmt.Errorf("read receipt: %w", err)
	}
	return data, nil
}

// destroy removes a task's files; that there are none is no error. The package
// is sealed to the authority's key, which this host does not have.
func (s shelf) destroy(taskID string) error {
	err := errors.Join(removeIfThere(s.path(taskID, sealedSuffix)), removeIfThere(s.path(taskID, receiptSuffix)))
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("destroy package: %w", err)
	}
	return nil
}

// strays destroys every file that belongs to no task for which keep is true.
func (s shelf) strays(keep func(taskID string) bool) error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list packages: %w", err)
	}
	var errs []error
	for _, f := range files {
		id, _, _ := strings.Cut(f.Name(), ".")
		if !taskIDForm.MatchString(id) || !keep(id) {
			errs = append(errs, removeIfThere(filepath.Join(s.dir, f.Name())))
		}
	}
	return errors.Join(errs...)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
