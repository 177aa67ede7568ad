package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"griffier/api/durable"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

var (
	// ErrNotFound says that no key of that name was ever made here.
	ErrNotFound = errors.New("no such key")
	// ErrShredded says that the key was destroyed: what it sealed is gone.
	ErrShredded = errors.New("key was destroyed")
	// ErrExists says that a key of that name exists already.
	ErrExists = errors.New("key exists")
	// ErrSealed says that the ciphertext, its context or the key does not match.
	ErrSealed = errors.New("cannot be opened: altered, or sealed in another context")
)

const (
	maxIDBytes     = 256
	maxKeyFile     = 64 << 10
	maxCachedKeys  = 4096
	keySuffix      = ".key"
	shreddedSuffix = ".shredded"
)

// Store is an open folder of keys.
type Store struct {
	dir     string
	wrap    tink.AEAD // encrypts keysets and names
	nameKey []byte    // keys the file names

	// mu is held for reading while a key is used, so that Shred waits for every
	// use to end and nothing is sealed under a key after its destruction.
	mu sync.RWMutex

	cacheMu sync.Mutex
	cache   map[string]tink.AEAD
}

// keyFile is the stored form of one key. Both parts are encrypted under the
// wrapping key and bound to the file's name.
type keyFile struct {
	V      int    `json:"v"`
	ID     []byte `json:"id"`
	Keyset []byte `json:"keyset"`
}

// Open opens the folder of keys dir, made with mode 0700 if it is missing, under
// the master key in masterKeyFile (64 hex digits, mode 0600). It finishes any
// destruction that a crash interrupted, and fails if the master key is not the
// one under which the folder's keys were made.
func Open(dir, masterKeyFile string) (*Store, error) {
	master, err := readMasterKey(masterKeyFile)
	if err != nil {
		return nil, err
	}
	wrapKey, err := subkey(master, "wrap")
	if err != nil {
		return nil, fmt.Errorf("keystore: open: %w", err)
	}
	nameKey, err := subkey(master, "name")
	if err != nil {
		return nil, fmt.Errorf("keystore: open: %w", err)
	}
	wrap, err := subtle.NewAESGCM(wrapKey)
	if err != nil {
		return nil, fmt.Errorf("keystore: open: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keystore: open: %w", err)
	}
	s := &Store{dir: dir, wrap: wrap, nameKey: nameKey, cache: map[string]tink.AEAD{}}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("keystore: open: %w", err)
	}
	return s, nil
}

// Dir is the folder of the keys.
func (s *Store) Dir() string { return s.dir }

// recover finishes interrupted destructions, removes half-written files, and
// tries the master key on one key.
func (s *Store) recover() error {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	tried := false
	for _, n := range names {
		path := filepath.Join(s.dir, n.Name())
		switch {
		case strings.HasPrefix(n.Name(), ".new-"):
			// It never had its name, so nothing is sealed under it. It is not written
			// over: another process that owns the folder may be giving it one just now.
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		case strings.HasSuffix(n.Name(), shreddedSuffix):
			stem := strings.TrimSuffix(path, shreddedSuffix)
			if err := overwriteAndRemove(stem + keySuffix); err != nil {
				return err
			}
		case strings.HasSuffix(n.Name(), keySuffix) && !tried:
			stem := strings.TrimSuffix(n.Name(), keySuffix)
			if _, err := os.Stat(filepath.Join(s.dir, stem+shreddedSuffix)); err == nil {
				continue
			}
			tried = true
			if _, _, err := s.readKey(stem); err != nil {
				return fmt.Errorf("the master key does not open the keys in %s: %w", s.dir, err)
			}
		}
	}
	return nil
}

// Create makes a key. It is durable when Create returns. Errors: ErrExists;
// ErrShredded, since a destroyed name is never used again.
func (s *Store) Create(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.create(id)
}

// Ensure makes the key unless it exists. Error: ErrShredded.
func (s *Store) Ensure(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.create(id); !errors.Is(err, ErrExists) {
		return err
	}
	return nil
}

func (s *Store) create(id string) error {
	if id == "" || len(id) > maxIDBytes {
		return fmt.Errorf("keystore: create: a name has 1 to %d bytes, not %d", maxIDBytes, len(id))
	}
	stem := s.stem(id)
	switch err := s.presence(stem); {
	case err == nil:
		return fmt.Errorf("keystore: create: %w", ErrExists)
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("keystore: create: %w", err)
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("keystore: create: %w", err)
	}
	var wrapped bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&wrapped), s.wrap, []byte("keyset "+stem)); err != nil {
		return fmt.Errorf("keystore: create: %w", err)
	}
	name, err := s.wrap.Encrypt([]byte(id), []byte("id "+stem))
	if err != nil {
		return fmt.Errorf("keystore: create: %w", err)
	}
	data, err := json.Marshal(keyFile{V: 1, ID: name, Keyset: wrapped.Bytes()})
	if err != nil {
		return fmt.Errorf("keystore: create: %w", err)
	}
	if err := durable.Write(filepath.Join(s.dir, stem+keySuffix), data); err != nil {
		return fmt.Errorf("keystore: create: %w", err)
	}
	return nil
}

// Seal encrypts plaintext under the key id and binds it to aad, which must be
// given again to Open it and must not be empty: a ciphertext that fits in any
// place can be moved to another. Errors: ErrNotFound, ErrShredded.
func (s *Store) Seal(id string, plaintext, aad []byte) ([]byte, error) {
	if len(aad) == 0 {
		return nil, errors.New("keystore: seal: aad is mandatory")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	key, err := s.key(id)
	if err != nil {
		return nil, fmt.Errorf("keystore: seal: %w", err)
	}
	sealed, err := key.Encrypt(plaintext, aad)
	if err != nil {
		return nil, fmt.Errorf("keystore: seal: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal gave for the same id and aad. Errors: ErrNotFound,
// ErrShredded, ErrSealed.
func (s *Store) Open(id string, ciphertext, aad []byte) ([]byte, error) {
	if len(aad) == 0 {
		return nil, errors.New("keystore: open: aad is mandatory")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	key, err := s.key(id)
	if err != nil {
		return nil, fmt.Errorf("keystore: open: %w", err)
	}
	plaintext, err := key.Decrypt(ciphertext, aad)
	if err != nil {
		return nil, fmt.Errorf("keystore: open: %w", ErrSealed)
	}
	return plaintext, nil
}

// Shred destroys the key id: tombstone first, then the file is overwritten and
// unlinked, each step synced, so that a crash in between is finished by the next
// Open of the folder. Shredding twice is no error. Error: ErrNotFound.
func (s *Store) Shred(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stem := s.stem(id)
	path := filepath.Join(s.dir, stem)
	switch err := s.presence(stem); {
	case errors.Is(err, ErrShredded):
		// Perhaps only the tombstone was reached before.
	case err != nil:
		return fmt.Errorf("keystore: shred: %w", err)
	default:
		if err := durable.Write(path+shreddedSuffix, nil); err != nil {
			return fmt.Errorf("keystore: shred: %w", err)
		}
	}
	s.cacheMu.Lock()
	delete(s.cache, id)
	s.cacheMu.Unlock()
	if err := overwriteAndRemove(path + keySuffix); err != nil {
		return fmt.Errorf("keystore: shred: %w", err)
	}
	return nil
}

// State says whether the key id can be used: nil, ErrNotFound or ErrShredded.
func (s *Store) State(id string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.presence(s.stem(id))
}

// List gives the names of all keys that are not destroyed, sorted.
func (s *Store) List() ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("keystore: list: %w", err)
	}
	var ids []string
	for _, n := range names {
		stem, ok := strings.CutSuffix(n.Name(), keySuffix)
		if !ok || s.presence(stem) != nil {
			continue
		}
		id, _, err := s.readKey(stem)
		if err != nil {
			return nil, fmt.Errorf("keystore: list: %w", err)
		}
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids, nil
}

// Files calls each with the names and contents of the files of all keys and
// tombstones, for a copy of the folder. None is read while it is being destroyed:
// a key is given whole or not at all. An error of each ends it.
func (s *Store) Files(each func(name string, content []byte) error) error {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("keystore: files: %w", err)
	}
	for _, n := range names {
		content, err := s.file(n.Name())
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrShredded):
			continue
		case err != nil:
			return fmt.Errorf("keystore: files: %w", err)
		}
		if err := each(n.Name(), content); err != nil {
			return err
		}
	}
	return nil
}

// Empty tells whether there never was a key in the folder: neither one nor a tombstone.
func (s *Store) Empty() (bool, error) {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return false, fmt.Errorf("keystore: %w", err)
	}
	return !slices.ContainsFunc(names, func(n os.DirEntry) bool {
		return strings.HasSuffix(n.Name(), keySuffix) || strings.HasSuffix(n.Name(), shreddedSuffix)
	}), nil
}

// file reads a key's file, or a tombstone. Errors: ErrNotFound for any other file, and
// one that is there no more; ErrShredded for what is left of a destroyed key.
func (s *Store) file(name string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if stem, ok := strings.CutSuffix(name, keySuffix); ok {
		if err := s.presence(stem); err != nil {
			return nil, err
		}
	} else if !strings.HasSuffix(name, shreddedSuffix) {
		return nil, ErrNotFound
	}
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	return content, err
}

// stem is the file name, without suffix, of the key id.
func (s *Store) stem(id string) string {
	mac := hmac.New(sha256.New, s.nameKey)
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil))
}

// presence looks for the files of a key: nil, ErrNotFound or ErrShredded. A
// tombstone wins over a key file, which is then an interrupted destruction.
func (s *Store) presence(stem string) error {
	path := filepath.Join(s.dir, stem)
	switch _, err := os.Stat(path + shreddedSuffix); {
	case err == nil:
		return ErrShredded
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	switch _, err := os.Stat(path + keySuffix); {
	case errors.Is(err, os.ErrNotExist):
		return ErrNotFound
	default:
		return err
	}
}

// key gives the primitive of id, from the cache or its file. mu is held.
func (s *Store) key(id string) (tink.AEAD, error) {
	s.cacheMu.Lock()
	defer s.cacheMu.Unlock()
	if key, ok := s.cache[id]; ok {
		return key, nil
	}
	stem := s.stem(id)
	if err := s.presence(stem); err != nil {
		return nil, err
	}
	_, key, err := s.readKey(stem)
	if err != nil {
		return nil, err
	}
	if len(s.cache) >= maxCachedKeys {
		for other := range s.cache { // any one: Go's order is random
			delete(s.cache, other)
			break
		}
	}
	s.cache[id] = key
	return key, nil
}

// readKey reads and decrypts one key file.
func (s *Store) readKey(stem string) (id string, key tink.AEAD, err error) {
	path := filepath.Join(s.dir, stem+keySuffix)
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if info.Size() > maxKeyFile {
		return "", nil, fmt.Errorf("key file of %d bytes: more than %d", info.Size(), maxKeyFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	var file keyFile
	if err := json.Unmarshal(data, &file); err != nil {
		return "", nil, fmt.Errorf("key file: %w", err)
	}
	if file.V != 1 {
		return "", nil, fmt.Errorf("key file of version %d: this program knows 1", file.V)
	}
	name, err := s.wrap.Decrypt(file.ID, []byte("id "+stem))
	if err != nil {
		return "", nil, fmt.Errorf("key file: %w", ErrSealed)
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(file.Keyset)), s.wrap, []byte("keyset "+stem))
	if err != nil {
		return "", nil, fmt.Errorf("key file: %w", ErrSealed)
	}
	key, err = aead.New(handle)
	if err != nil {
		return "", nil, fmt.Errorf("key file: %w", err)
	}
	return string(name), key, nil
}
