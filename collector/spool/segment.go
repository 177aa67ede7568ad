package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	segmentMagic     = "GRFSPOOL"
	segmentHeadBytes = 64
	segmentSuffix    = ".seg"
	temporarySuffix  = ".tmp"
)

// spoolID is the random name of a spool, part of every block token and of every
// checksum's seed.
type spoolID [16]byte

// segment is what is known of one segment file. size counts only what is
// durable and belongs to the segment; the file may be longer after a failed
// write.
type segment struct {
	number      uint64
	firstFrame  uint64
	firstRecord uint64
	endRecord   uint64 // ordinal after its last row
	endFrame    uint64 // number after its last frame
	size        int64
	snapshot    bool // headed by one
	firstAt     time.Time
	rewrites    int // how often expired rows were expunged from it
}

func segmentName(number uint64) string { return fmt.Sprintf("%016d%s", number, segmentSuffix) }

// empty says whether the segment holds no frame.
func (g *segment) empty() bool { return g.endFrame == g.firstFrame }

// seed starts the checksum of every frame of one segment, so that a frame of
// another spool, another segment, or made up by whoever can choose an
// attribute's text, is not taken for one.
func (id spoolID) seed(number uint64) uint32 {
	b := binary.LittleEndian.AppendUint64(append([]byte(segmentMagic), id[:]...), number)
	return crc32.Checksum(b, castagnoli)
}

func segmentHead(id spoolID, g *segment) []byte {
	b := make([]byte, segmentHeadBytes)
	copy(b, segmentMagic)
	b[8] = formatVersion
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], g.number)
	binary.LittleEndian.PutUint64(b[40:], g.firstFrame)
	binary.LittleEndian.PutUint64(b[48:], g.firstRecord)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// parseSegmentHead reads a header; path is for its errors.
func parseSegmentHead(b []byte, path string) (id spoolID, g *segment, err error) {
	corrupt := func(detail string) error { return &CorruptError{File: path, Detail: detail} }
	switch {
	case len(b) < segmentHeadBytes:
		return id, nil, corrupt("segment header is cut short")
	case string(b[:8]) != segmentMagic:
		return id, nil, corrupt("not a spool segment")
	case crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]):
		return id, nil, corrupt("segment header checksum differs")
	case b[8] != formatVersion:
		return id, nil, fmt.Errorf("spool: %s: format version %d was written by another release; this one reads %d", path, b[8], formatVersion)
	}
	copy(id[:], b[16:])
	g = &segment{
		number:      binary.LittleEndian.Uint64(b[32:]),
		firstFrame:  binary.LittleEndian.Uint64(b[40:]),
		firstRecord: binary.LittleEndian.Uint64(b[48:]),
		size:        segmentHeadBytes,
	}
	g.endFrame, g.endRecord = g.firstFrame, g.firstRecord
	return id, g, nil
}

// createSegment makes the file of g, whole and durable or not at all, with an
// optional first frame, and returns it open for writing.
func createSegment(dir string, id spoolID, g *segment, firstFrame []byte) (*os.File, error) {
	path := filepath.Join(dir, segmentName(g.number))
	f, err := createDurable(dir, path, segmentHead(id, g), firstFrame)
	if err != nil {
		return nil, err
	}
	g.size = int64(segmentHeadBytes + len(firstFrame))
	return f, nil
}

// createDurable writes a file under a temporary name, fsyncs it, renames it to
// path, replacing what was there, and fsyncs the folder.
func createDurable(dir, path string, parts ...[]byte) (_ *os.File, err error) {
	tmp := path + temporarySuffix
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(tmp)
		}
	}()
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			return nil, err
		}
	}
	if err = f.Sync(); err != nil {
		return nil, err
	}
	if err = os.Rename(tmp, path); err != nil {
		return nil, err
	}
	// After the rename a failure is not undone: the caller does not use the
	// file, and whoever opens the spool next finds it whole or not at all.
	if err := syncDir(dir); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// scan reads every frame of a segment file, checks that they follow each other,
// sets g's ends, and calls visit if it is not nil. sealed segments end before
// frame number sealedAt: what lies behind is the rest of a failed write, whose
// callers were refused. For the last segment sealedAt is 0, and scan returns
// how many bytes at the file's end are an unacknowledged, torn write.
func (g *segment) scan(f *os.File, id spoolID, sealedAt uint64, visit func(h frameHead, body []byte) error) (torn int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	limit, seed := info.Size(), id.seed(g.number)
	var buf []byte
	for sealedAt == 0 || g.endFrame < sealedAt {
		h, body, next, err := readFrame(f, g.size, limit, seed, buf)
		var bad *frameError
		switch {
		case err == io.EOF && sealedAt == 0:
			return 0, nil
		case err == io.EOF:
			return 0, &CorruptError{f.Name(), g.size, "segment ends before the next one begins"}
		case errors.As(err, &bad):
			if sealedAt == 0 {
				at, err := findFrame(f, g.size+1, limit, seed, g.endFrame)
				if err != nil {
					return 0, err
				}
				if at < 0 {
					return limit - g.size, nil
				}
			}
			return 0, &CorruptError{f.Name(), g.size, bad.reason}
		case err != nil:
			return 0, err
		case h.frame != g.endFrame || h.firstRecord != g.endRecord:
			return 0, &CorruptError{f.Name(), g.size, "frame is out of order"}
		}
		if g.empty() {
			g.snapshot, g.firstAt = h.typ == frameSnapshot, h.appendedAt
		}
		if visit != nil {
			if err := visit(h, body); err != nil {
				return 0, err
			}
		}
		g.size, g.endFrame, g.endRecord, buf = next, h.frame+1, h.firstRecord+uint64(h.records), body[:0]
	}
	return 0, nil
}

// findFrame returns the offset of the first sound frame numbered from after
// onwards, or -1.
func findFrame(r io.ReaderAt, from, limit int64, seed uint32, after uint64) (int64, error) {
	if from >= limit {
		return -1, nil
	}
	rest := make([]byte, limit-from)
	if _, err := r.ReadAt(rest, from); err != nil && err != io.EOF {
		return 0, err
	}
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	tail := bytes.NewReader(rest)
	for off := 0; ; off++ {
		i := bytes.Index(rest[off:], magic)
		if i < 0 {
			return -1, nil
		}
		off += i
		h, _, _, err := readFrame(tail, int64(off), int64(len(rest)), seed, nil)
		if err == nil && h.frame > after {
			return from + int64(off), nil
		}
	}
}
