package keystore

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griffier/api/durable"
)

// masterKeyBytes is the size of the master key: AES-256.
const masterKeyBytes = 32

// GenerateMasterKey writes a new master key to path, as 64 hex digits, mode
// 0600. It refuses to replace a file: whoever loses a master key loses every key
// under it.
func GenerateMasterKey(path string) error {
	var key [masterKeyBytes]byte
	if _, err := rand.Read(key[:]); err != nil {
		return fmt.Errorf("keystore: generate master key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keystore: generate master key: %w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(key[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keystore: generate master key: %w", err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// readMasterKey reads the 64 hex digits of a master key file. It refuses a file
// that its group or others may read: a key that was open is not a key.
func readMasterKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: master key: %w", err)
	}
	if err := checkPrivate(info); err != nil {
		return nil, fmt.Errorf("keystore: master key %s: %w", path, err)
	}
	if info.Size() > 1024 {
		return nil, fmt.Errorf("keystore: master key %s: %d bytes is no key of %d hex digits", path, info.Size(), 2*masterKeyBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: master key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != masterKeyBytes {
		// The cause is left out: it would quote digits of the key.
		return nil, fmt.Errorf("keystore: master key %s: want %d hex digits", path, 2*masterKeyBytes)
	}
	return key, nil
}

// checkPrivate says whether only the owner may read the file.
func checkPrivate(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("mode %04o lets others read it; chmod 600", perm)
	}
	return nil
}

// subkey derives one purpose's key from the master key (RFC 5869).
func subkey(master []byte, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, master, nil, "griffier keystore v1 "+purpose, masterKeyBytes)
}
