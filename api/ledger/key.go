package ledger

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"griffier/api/durable"

	"golang.org/x/mod/sumdb/note"
)

// Key signs the log's checkpoints (Ed25519, the signed note of C2SP).
type Key struct {
	Signer note.Signer
	Public string // the verifier key, in the form NAME+HASH+BASE64; may be shown to anyone
}

// GenerateKey writes a new signing key to path, mode 0600, and never replaces a
// file. origin names the log and is in every checkpoint: choose it once, a
// schema-less URL such as "isp.example/griffier".
func GenerateKey(path, origin string) (*Key, error) {
	secret, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("ledger: generate key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: generate key: %w", err)
	}
	_, err = f.WriteString(secret + "\n")
	if err := errors.Join(err, f.Sync(), f.Close(), durable.SyncFolder(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("ledger: generate key: %w", err)
	}
	return LoadKey(path)
}

// LoadKey reads a signing key. A file that others may read is refused.
func LoadKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("ledger: signing key: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("ledger: signing key %s: mode %04o lets others read it; chmod 600", path, perm)
	}
	if info.Size() > 4096 {
		return nil, fmt.Errorf("ledger: signing key %s: %d bytes is no key", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ledger: signing key: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, fmt.Errorf("ledger: signing key %s: not a note signing key", path)
	}
	// PRIVATE+KEY+name+hash+base64(algorithm, seed); NewSigner has checked it all.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(secret, "+", 5)[4])
	if err != nil {
		return nil, fmt.Errorf("ledger: signing key %s: not an Ed25519 key", path)
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, fmt.Errorf("ledger: signing key %s: %w", path, err)
	}
	return &Key{Signer: signer, Public: verifier}, nil
}

// Verifier gives the verifier of a public key as in Key.Public.
func Verifier(public string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(public))
	if err != nil {
		return nil, fmt.Errorf("ledger: public key: %w", err)
	}
	return v, nil
}
