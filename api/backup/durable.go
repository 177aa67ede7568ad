package backup

import (
	"errors"
	"os"

	"griffier/api/durable"
)

// writeFile writes a file, mode 0600, and makes it durable.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// replaceFile writes a file so that a crash leaves the old content or the new.
func replaceFile(dir, name string, content []byte) error {
	path := dir + string(os.PathSeparator) + name
	if err := writeFile(path+".new", content); err != nil {
		return err
	}
	return errors.Join(os.Rename(path+".new", path), durable.SyncFolder(dir))
}
