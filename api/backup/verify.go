package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griffier/api/keystore"
)

// ErrAged is returned for a backup whose key was destroyed: nobody can read it.
var ErrAged = errors.New("the key of the backup was destroyed; it has aged out")

// opened is a backup whose manifest was checked, with the key of its pieces.
type opened struct {
	dir string
	Manifest
	key []byte
}

// open reads the manifest of a backup and checks its seal.
func open(dir string, keys *keystore.Store) (opened, error) {
	m, text, err := readManifest(dir)
	if err != nil {
		return opened{}, err
	}
	seal, err := os.ReadFile(filepath.Join(dir, sealName))
	if err != nil {
		return opened{}, fmt.Errorf("backup manifest: %w", err)
	}
	told, err := keys.Open(keyID(m.ID), seal, boundTo(m.ID, manifestName))
	switch {
	case errors.Is(err, keystore.ErrShredded):
		return opened{}, ErrAged
	case errors.Is(err, keystore.ErrNotFound):
		return opened{}, errors.New("backup: the keystore does not have the backup's key; restore the copy of the keys that was made with it (griffierd -restore-keys)")
	case err != nil:
		return opened{}, fmt.Errorf("backup manifest: %w", err)
	}
	if sum := sha256.Sum256(text); !slices.Equal(sum[:], told) {
		return opened{}, errors.New("backup manifest: altered since it was sealed")
	}
	key, err := keys.Open(keyID(m.ID), m.DataKey, boundTo(m.ID, "data key"))
	if err != nil {
		return opened{}, fmt.Errorf("backup manifest: %w", err)
	}
	return opened{dir, m, key}, nil
}

// Verify reads a whole backup: every hash, every seal, every part's presence. It
// returns what is wrong; nothing is, if it can be restored. Error: [ErrAged], and
// what keeps the manifest from being read.
func Verify(ctx context.Context, dir string, keys *keystore.Store) (Manifest, []string, error) {
	b, err := open(dir, keys)
	if err != nil {
		return Manifest{}, nil, err
	}
	var problems []string
	for _, p := range b.Pieces {
		found := map[string]bool{}
		err := b.read(ctx, p, func(name string, _ io.Reader) error {
			part, _, _ := strings.Cut(name, "/")
			found[part] = true
			return nil
		})
		if err != nil {
			if ctx.Err() != nil {
				return Manifest{}, nil, ctx.Err()
			}
			problems = append(problems, fmt.Sprintf("%s: %v", p.Name, err))
			continue
		}
		for _, part := range p.Parts {
			if !found[part] {
				problems = append(problems, fmt.Sprintf("%s: part %s is missing", p.Name, part))
			}
		}
	}
	return b.Manifest, problems, nil
}

// read hashes a piece, and then calls each for every file in it. Whatever each
// leaves unread is read all the same, since it is sealed too.
func (b opened) read(ctx context.Context, p Piece, each func(name string, r io.Reader) error) error {
	f, err := os.Open(filepath.Join(b.dir, p.File))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if n, err := io.Copy(sum, ended{ctx, f}); err != nil {
		return err
	} else if n != p.Bytes || hex.EncodeToString(sum.Sum(nil)) != p.SHA256 {
		return errors.New("not the bytes that the manifest names")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	plain, err := openPiece(ended{ctx, f}, b.key, b.ID, p.File)
	if err != nil {
		return err
	}
	r := tar.NewReader(plain)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, plain) // to the last segment's seal
			return err
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(header.Name) || header.Typeflag != tar.TypeReg {
			return errors.New("a file is not where files of it may be")
		}
		if err := each(filepath.ToSlash(header.Name), r); err != nil {
			return err
		}
	}
}

// ended is a reader that a context ends.
type ended struct {
	ctx context.Context
	r   io.Reader
}

func (e ended) Read(b []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(b)
}
