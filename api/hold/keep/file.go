package keep

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"griffier/api/strictjson"
)

// A hold's file is its magic, then chunks: the length of the sealed chunk, four
// bytes, most significant first, and the chunk. A chunk's plain text is lines of
// JSON; the first chunk is the head alone. Each is sealed to the hold, its warrant,
// its place and whether it is the last, so that none can be altered, left out,
// doubled, moved, or put into another file, and none cut off.
const (
	magic          = "griffier-hold/1\n"
	chunkBytes     = 256 << 10 // plain text, reached by the record that fills it
	maxRecordBytes = 64 << 10
	maxSealedBytes = chunkBytes + maxRecordBytes + 1<<10
	maxHeadBytes   = maxRecordBytes
)

// ErrAltered says that a file is not what was written, or not under that key.
var ErrAltered = errors.New("the sealed file was altered, or is another's")

// place is what a chunk is sealed to.
func place(holdID, warrantID string, index uint32, last bool) []byte {
	return fmt.Appendf(nil, "hold/1|%s|%s|%d|%t", holdID, warrantID, index, last)
}

// sealer seals a chunk at its place; opener opens it, and fails for any other.
type (
	sealer func(index uint32, last bool, plain []byte) ([]byte, error)
	opener func(index uint32, last bool, sealed []byte) ([]byte, error)
)

// write writes the file of contents.
func write(to io.Writer, seal sealer, c *Contents) error {
	w := bufio.NewWriter(to)
	if _, err := w.WriteString(magic); err != nil {
		return err
	}
	index := uint32(0)
	put := func(plain []byte, last bool) error {
		sealed, err := seal(index, last, plain)
		if err != nil {
			return err
		}
		if len(sealed) > maxSealedBytes {
			return errors.New("a chunk is too long")
		}
		index++
		if err := binary.Write(w, binary.BigEndian, uint32(len(sealed))); err != nil {
			return err
		}
		_, err = w.Write(sealed)
		return err
	}
	line := func(r record) ([]byte, error) {
		text, err := json.Marshal(r)
		if err == nil && len(text) >= maxRecordBytes {
			err = fmt.Errorf("a record is longer than %d bytes", maxRecordBytes)
		}
		return append(text, '\n'), err
	}
	head, err := line(record{Head: &c.Head})
	if err != nil {
		return err
	}
	if err := put(head, false); err != nil {
		return err
	}
	var chunk []byte
	err = c.records(func(r record) error {
		text, err := line(r)
		if err != nil {
			return err
		}
		if chunk = append(chunk, text...); len(chunk) >= chunkBytes {
			err = put(chunk, false)
			chunk = chunk[:0]
		}
		return err
	})
	if err == nil {
		err = put(chunk, true) // perhaps empty: there is always a last one
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// reader reads a file chunk by chunk.
type reader struct {
	from  *bufio.Reader
	open  opener
	index uint32
	ended bool
}

func newReader(from io.Reader, open opener) (*reader, error) {
	r := &reader{from: bufio.NewReaderSize(io.LimitReader(from, MaxFileBytes), 64<<10), open: open}
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r.from, start); err != nil || string(start) != magic {
		return nil, fmt.Errorf("not the file of a hold: %w", ErrAltered)
	}
	return r, nil
}

// next returns the plain text of the next chunk, or io.EOF after the last.
func (r *reader) next() ([]byte, error) {
	if r.ended {
		return nil, io.EOF
	}
	var length [4]byte
	if _, err := io.ReadFull(r.from, length[:]); err != nil {
		return nil, fmt.Errorf("chunk %d is cut off: %w", r.index, ErrAltered)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxSealedBytes {
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

// head returns the head; it must be the first to be read.
func (r *reader) head() (Head, error) {
	plain, err := r.next()
	if err != nil {
		return Head{}, err
	}
	var first record
	if len(plain) > maxHeadBytes || strictjson.Unmarshal(plain, &first) != nil || first.Head == nil {
		return Head{}, fmt.Errorf("head: %w", ErrAltered)
	}
	return *first.Head, nil
}

// contents returns everything, having read every chunk to the last.
func (r *reader) contents() (*Contents, error) {
	head, err := r.head()
	if err != nil {
		return nil, err
	}
	c := &Contents{Head: head}
	for {
		plain, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		for text := range bytes.Lines(plain) {
			var one record
			if len(text) > maxRecordBytes || strictjson.Unmarshal(text, &one) != nil || !c.take(one) {
				return nil, fmt.Errorf("a record of chunk %d cannot be read: %w", r.index-1, ErrAltered)
			}
		}
	}
	return c, nil
}
