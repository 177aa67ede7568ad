package keystore

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"griffier/api/durable"
)

// overwriteAndRemove puts random bytes over the file's content, in place, and
// unlinks it. A missing file is no error.
func overwriteAndRemove(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	noise := make([]byte, info.Size())
	if _, err := rand.Read(noise); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(noise, 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return durable.SyncFolder(filepath.Dir(path))
}
