package daemon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Parts of a snapshot.
const (
	bindingPart = iota
	radiusPart
	leasesPart
	policiesPart // retention, for a start while the store is away
	blocksPart
	parts
)

// snapshot is what a checkpoint holds: what each part calls its own snapshot.
type snapshot [parts][]byte

// snapshotMagic begins a packed snapshot and ends with its version.
const snapshotMagic = "griffier2"

// maxPartBytes bounds a part, unpacked: ten million sessions.
const maxPartBytes = 16 << 30

// pack returns the parts in one piece. They are JSON and shrink to a tenth,
// which matters: a checkpoint has to fit in the spool beside the log.
func (s snapshot) pack() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(snapshotMagic)
	w, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	for _, part := range s {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		if _, err := w.Write(length[:]); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		if _, err := w.Write(part); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return out.Bytes(), nil
}

// BindingState returns the binding's part of a checkpoint, for whoever reads a
// spool without its collector. It is nil for nil.
func BindingState(checkpoint []byte) ([]byte, error) {
	if checkpoint == nil {
		return nil, nil
	}
	s, err := unpack(checkpoint)
	return s[bindingPart], err
}

// unpack is the inverse of pack.
func unpack(packed []byte) (s snapshot, err error) {
	body, ok := bytes.CutPrefix(packed, []byte(snapshotMagic))
	if !ok {
		return s, errors.New("snapshot: not one of this release")
	}
	r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return s, fmt.Errorf("snapshot: %w", err)
	}
	defer r.Close()
	for i := range s {
		var length [8]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return s, fmt.Errorf("snapshot: part %d: %w", i, err)
		}
		n := binary.BigEndian.Uint64(length[:])
		if n > maxPartBytes {
			return s, fmt.Errorf("snapshot: part %d: impossible length", i)
		}
		var part bytes.Buffer // grows with what is there, not with what is claimed
		if _, err := io.CopyN(&part, r, int64(n)); err != nil {
			return s, fmt.Errorf("snapshot: part %d: %w", i, err)
		}
		s[i] = part.Bytes()
	}
	return s, nil
}
