package backup

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

const (
	dataKeyBytes = 32
	segmentBytes = 1 << 20
)

// newDataKey returns the key of one backup's pieces.
func newDataKey() []byte {
	key := make([]byte, dataKeyBytes)
	_, _ = rand.Read(key) // crypto/rand.Read never fails
	return key
}

// stream is AES-GCM in segments of 1 MiB, each bound to its place (Tink's
// streaming AEAD, AES256_GCM_HKDF_1MB).
func stream(key []byte) (*subtle.AESGCMHKDF, error) {
	return subtle.NewAESGCMHKDF(key, "SHA256", dataKeyBytes, segmentBytes, 0)
}

// pieceWriter seals what is written into a file, and hashes the file.
type pieceWriter struct {
	file   *os.File
	buffer *bufio.Writer
	sum    hash.Hash
	sealer io.WriteCloser
	bytes  int64
}

// createPiece starts a sealed file, bound to the backup and its own name.
func createPiece(path string, key []byte, backupID, name string) (*pieceWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	p := &pieceWriter{file: f, sum: sha256.New()}
	p.buffer = bufio.NewWriterSize(io.MultiWriter(f, p.sum, (*counter)(&p.bytes)), segmentBytes)
	aead, err := stream(key)
	if err == nil {
		p.sealer, err = aead.NewEncryptingWriter(p.buffer, boundTo(backupID, name))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func (p *pieceWriter) Write(b []byte) (int, error) { return p.sealer.Write(b) }

// finish makes the file durable and returns its hash.
func (p *pieceWriter) finish() (sum string, size int64, err error) {
	err = errors.Join(p.sealer.Close(), p.buffer.Flush(), p.file.Sync(), p.file.Close())
	return hex.EncodeToString(p.sum.Sum(nil)), p.bytes, err
}

func (p *pieceWriter) abandon() { p.file.Close() }

// openPiece returns what a sealed file holds. Reading ends with an error, never
// with less, if anything of the file was altered or cut off.
func openPiece(f io.Reader, key []byte, backupID, name string) (io.Reader, error) {
	aead, err := stream(key)
	if err != nil {
		return nil, err
	}
	return aead.NewDecryptingReader(bufio.NewReaderSize(f, segmentBytes), boundTo(backupID, name))
}

// boundTo is what a piece is bound to.
func boundTo(backupID, name string) []byte {
	return fmt.Appendf(nil, "griffier backup|%s|%s", backupID, name)
}
