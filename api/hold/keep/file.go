package keep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"griffier/api/sealedfile"
	"griffier/api/strictjson"
)

// A chunk's plain text is lines of JSON; the first chunk is the head alone. Each is
// sealed to the hold, its warrant, its place and whether it is the last.
const (
	magic          = "griffier-hold/1\n"
	chunkBytes     = 256 << 10 // plain text, reached by the record that fills it
	maxRecordBytes = 64 << 10
	maxHeadBytes   = maxRecordBytes
)

// format is that of a hold's file.
var format = sealedfile.Format{What: "hold", Magic: magic,
	MaxSealedBytes: chunkBytes + maxRecordBytes + 1<<10, MaxFileBytes: MaxFileBytes}

// kind names the files, and sealedSuffix is theirs.
const (
	kind         = "hold"
	sealedSuffix = "." + kind
)

// ErrAltered says that a file is not what was written, or not under that key.
var ErrAltered = sealedfile.ErrAltered

// place is what a chunk is sealed to.
func place(holdID, warrantID string, index uint32, last bool) []byte {
	return fmt.Appendf(nil, "hold/1|%s|%s|%d|%t", holdID, warrantID, index, last)
}

// write writes the file of contents.
func write(to io.Writer, seal sealedfile.Sealer, c *Contents) error {
	w, err := format.NewWriter(to, seal)
	if err != nil {
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
	if err := w.Put(head, false); err != nil {
		return err
	}
	var chunk []byte
	err = c.records(func(r record) error {
		text, err := line(r)
		if err != nil {
			return err
		}
		if chunk = append(chunk, text...); len(chunk) >= chunkBytes {
			err = w.Put(chunk, false)
			chunk = chunk[:0]
		}
		return err
	})
	if err != nil {
		return err
	}
	return w.Put(chunk, true) // perhaps empty: there is always a last one
}

// reader reads a hold's file.
type reader struct{ *sealedfile.Reader }

func newReader(from io.Reader, open sealedfile.Opener) (*reader, error) {
	r, err := format.NewReader(from, open)
	if err != nil {
		return nil, err
	}
	return &reader{r}, nil
}

// head returns the head; it must be the first to be read.
func (r *reader) head() (Head, error) {
	plain, err := r.Next()
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
		plain, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		for text := range bytes.Lines(plain) {
			var one record
			if len(text) > maxRecordBytes || strictjson.Unmarshal(text, &one) != nil || !c.take(one) {
				return nil, fmt.Errorf("a record of chunk %d cannot be read: %w", r.Index()-1, ErrAltered)
			}
		}
	}
	return c, nil
}
