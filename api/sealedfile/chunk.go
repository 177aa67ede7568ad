package sealedfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrAltered says that a file is not what was written, or not under that key.
var ErrAltered = errors.New("the sealed file was altered, or is another's")

// Sealer seals a chunk at its place; Opener opens it, and fails for any other
// place, which a key does if index and last are part of what it binds to.
type (
	Sealer func(index uint32, last bool, plain []byte) ([]byte, error)
	Opener func(index uint32, last bool, sealed []byte) ([]byte, error)
)

// Format is a kind of file: its magic, then chunks: the length of the sealed
// chunk, four bytes, most significant first, and the chunk.
type Format struct {
	What           string // the kind, for errors
	Magic          string
	MaxSealedBytes int   // of one chunk
	MaxFileBytes   int64 // bounds what is read back
}

// Writer writes a file chunk by chunk.
type Writer struct {
	format Format
	to     *bufio.Writer
	seal   Sealer
	index  uint32
}

// NewWriter begins a file.
func (f Format) NewWriter(to io.Writer, seal Sealer) (*Writer, error) {
	w := &Writer{format: f, to: bufio.NewWriter(to), seal: seal}
	_, err := w.to.WriteString(f.Magic)
	return w, err
}

// Put seals the next chunk. The last may be empty, and there must be one: it ends
// the file.
func (w *Writer) Put(plain []byte, last bool) error {
	sealed, err := w.seal(w.index, last, plain)
	if err != nil {
		return err
	}
	if len(sealed) > w.format.MaxSealedBytes {
		return errors.New("a chunk is too long")
	}
	w.index++
	if err := binary.Write(w.to, binary.BigEndian, uint32(len(sealed))); err != nil {
		return err
	}
	if _, err := w.to.Write(sealed); err != nil {
		return err
	}
	if last {
		return w.to.Flush()
	}
	return nil
}

// Reader reads a file chunk by chunk.
type Reader struct {
	format Format
	from   *bufio.Reader
	open   Opener
	index  uint32
	ended  bool
}

// NewReader begins to read a file; one of another kind is [ErrAltered].
func (f Format) NewReader(from io.Reader, open Opener) (*Reader, error) {
	r := &Reader{format: f, from: bufio.NewReaderSize(io.LimitReader(from, f.MaxFileBytes), 64<<10), open: open}
	start := make([]byte, len(f.Magic))
	if _, err := io.ReadFull(r.from, start); err != nil || string(start) != f.Magic {
		return nil, fmt.Errorf("not the file of a %s: %w", f.What, ErrAltered)
	}
	return r, nil
}

// Index is how many chunks were read.
func (r *Reader) Index() uint32 { return r.index }

// Next returns the plain text of the next chunk, or io.EOF after the last.
func (r *Reader) Next() ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	var length [4]byte
	if _, err := io.ReadFull(r.from, length[:]); err != nil {
		return nil, fmt.Errorf("chunk %d is cut off: %w", r.index, ErrAltered)
	}
	n := binary.BigEndian.Uint32(length[:])
	if int64(n) > int64(r.format.MaxSealedBytes) {
		return nil, fmt.Errorf("chunk %d of %d bytes: %w", r.index, n, ErrAltered)
	}
	// No more memory than there are bytes: a length alone makes none.
	var sealed bytes.Buffer
	if m, err := io.CopyN(&sealed, r.from, int64(n)); err != nil || m != int64(n) {
		return nil, fmt.Errorf("chunk %d is cut off: %w", r.index, ErrAltered)
	}
	_, err := r.from.Peek(1)
	last := err != nil
	plain, err := r.open(r.index, last, sealed.Bytes())
	if err != nil {
		return nil, err
	}
	r.index++
	r.ended = last
	return plain, nil
}
