package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"griffier/schema"
)

// Frame types. They are on disk: never renumber.
const (
	frameGroup    = 1 // batches that were committed by one fsync
	frameSnapshot = 2 // the whole state of the collector
)

const (
	formatVersion  = 1
	frameMagic     = 0x47a5f00d
	frameOverhead  = 12 // magic, length, CRC
	frameHeadBytes = 30 // of the payload
	// maxGroupBytes bounds one batch and maxFrameBytes any frame, so that a
	// damaged length never makes the reader ask for more memory than this.
	maxGroupBytes = 64 << 20
	maxFrameBytes = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameHead is the fixed head of a frame's payload.
type frameHead struct {
	typ         byte
	frame       uint64    // number of the frame in the log
	firstRecord uint64    // ordinal of its first row
	records     uint32    // rows in it
	appendedAt  time.Time // when it was written
}

// frameError says why bytes are not a whole, sound frame.
type frameError struct{ reason string }

func (e *frameError) Error() string { return e.reason }

// appendFrame appends a whole frame to b. seed is that of its segment.
func appendFrame(b []byte, seed uint32, h frameHead, bodies ...[]byte) []byte {
	start := len(b)
	b = append(b, make([]byte, frameOverhead)...)
	b = append(b, formatVersion, h.typ)
	b = binary.LittleEndian.AppendUint64(b, h.frame)
	b = binary.LittleEndian.AppendUint64(b, h.firstRecord)
	b = binary.LittleEndian.AppendUint32(b, h.records)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.appendedAt.UnixNano()))
	for _, body := range bodies {
		b = append(b, body...)
	}
	payload := b[start+frameOverhead:]
	binary.LittleEndian.PutUint32(b[start:], frameMagic)
	binary.LittleEndian.PutUint32(b[start+4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[start+8:], frameSum(seed, b[start+4:start+8], payload))
	return b
}

func frameSum(seed uint32, length, payload []byte) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, length), castagnoli, payload)
}

// readFrame reads the frame at off of a file that counts for limit bytes, into
// buf if it is large enough. At limit it returns io.EOF; if the bytes are not a
// whole, sound frame, a *frameError.
func readFrame(r io.ReaderAt, off, limit int64, seed uint32, buf []byte) (h frameHead, body []byte, next int64, err error) {
	if off == limit {
		return h, nil, off, io.EOF
	}
	var fixed [frameOverhead]byte
	if limit-off < frameOverhead {
		return h, nil, off, &frameError{"frame head is cut short"}
	}
	if _, err := r.ReadAt(fixed[:], off); err != nil {
		return h, nil, off, err
	}
	if binary.LittleEndian.Uint32(fixed[0:]) != frameMagic {
		return h, nil, off, &frameError{"no frame starts here"}
	}
	n := int64(binary.LittleEndian.Uint32(fixed[4:]))
	switch {
	case n < frameHeadBytes || n > maxFrameBytes:
		return h, nil, off, &frameError{"frame length is impossible"}
	case n > limit-off-frameOverhead:
		return h, nil, off, &frameError{"frame is cut short"}
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	payload := buf[:n]
	if _, err := r.ReadAt(payload, off+frameOverhead); err != nil {
		return h, nil, off, err
	}
	if frameSum(seed, fixed[4:8], payload) != binary.LittleEndian.Uint32(fixed[8:]) {
		return h, nil, off, &frameError{"checksum differs"}
	}
	if h, err = parseHead(payload); err != nil {
		return h, nil, off, err
	}
	return h, payload[frameHeadBytes:], off + frameOverhead + n, nil
}

// parseHead reads the head of a payload whose checksum is right.
func parseHead(p []byte) (h frameHead, err error) {
	if p[0] != formatVersion {
		return h, fmt.Errorf("spool: format version %d was written by another release; this one reads %d", p[0], formatVersion)
	}
	h.typ = p[1]
	h.frame = binary.LittleEndian.Uint64(p[2:])
	h.firstRecord = binary.LittleEndian.Uint64(p[10:])
	h.records = binary.LittleEndian.Uint32(p[18:])
	h.appendedAt = time.Unix(0, int64(binary.LittleEndian.Uint64(p[22:]))).UTC()
	return h, nil
}

// appendBatch appends the encoding of one batch, which is what a group frame
// holds one or more of: the state delta and the rows, each with its length.
func appendBatch(b []byte, batch Batch) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(len(batch.State)))
	b = append(b, batch.State...)
	b = binary.AppendUvarint(b, uint64(len(batch.Records)))
	for i, r := range batch.Records {
		if r == nil {
			return nil, fmt.Errorf("record %d of %d is nil", i+1, len(batch.Records))
		}
		var err error
		if b, err = appendRecord(b, r); err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, len(batch.Records), err)
		}
	}
	return b, nil
}

// item is one decoded row and its encoded size; record is nil if expunged.
type item struct {
	record schema.Record
	bytes  int
}

// decodeGroup decodes the body of a group frame that says it has want rows.
// Deltas alias body.
func decodeGroup(body []byte, want uint32) (items []item, deltas [][]byte, err error) {
	// The count is bounded by what can possibly be in the body.
	items = make([]item, 0, min(int(want), len(body)))
	for len(body) > 0 {
		d := decoder{b: body}
		delta := d.take(int(min(d.uint(), maxFrameBytes)))
		n := d.uint()
		if d.err != nil {
			return nil, nil, d.err
		}
		if len(delta) > 0 {
			deltas = append(deltas, delta)
		}
		body = d.b
		for range n {
			r, rest, err := decodeRecord(body)
			if err != nil {
				return nil, nil, err
			}
			items = append(items, item{r, len(body) - len(rest)})
			body = rest
		}
	}
	if len(items) != int(want) {
		return nil, nil, errors.New("number of rows differs from the frame's head")
	}
	return items, deltas, nil
}

// appendItems appends a batch without state that keeps the place of rows that
// were expunged.
func appendItems(b []byte, items []item) ([]byte, error) {
	b = binary.AppendUvarint(b, 0)
	b = binary.AppendUvarint(b, uint64(len(items)))
	for _, it := range items {
		var err error
		if b, err = appendRecord(b, it.record); err != nil {
			return nil, err
		}
	}
	return b, nil
}
