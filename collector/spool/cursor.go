package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"

	"golang.org/x/sys/unix"
)

const (
	cursorMagic = "GRFCURSR"
	slotBytes   = 64
	// slotSpacing keeps the two slots in different disk blocks, so that one
	// torn write cannot damage both.
	slotSpacing = 4096
)

// position is what the cursor file holds.
type position struct {
	acked    uint64 // ordinal of the first row that the store does not have
	blockEnd uint64 // end of the block being delivered; equal to acked if none is
}

// cursor is the file that says how far the store is. It holds two slots that
// are overwritten in turn and fsynced, the one with the higher generation
// counting. It is not replaced by rename: an overwrite needs no new disk block,
// so that a full disk cannot stop the acknowledgement that would free it.
type cursor struct {
	f          *os.File
	id         spoolID
	generation uint64
	position
}

func encodeSlot(id spoolID, generation uint64, p position) []byte {
	b := make([]byte, slotBytes)
	copy(b, cursorMagic)
	b[8] = formatVersion
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], generation)
	binary.LittleEndian.PutUint64(b[40:], p.acked)
	binary.LittleEndian.PutUint64(b[48:], p.blockEnd)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func decodeSlot(b []byte) (id spoolID, generation uint64, p position, ok bool) {
	if len(b) < slotBytes || string(b[:8]) != cursorMagic || b[8] != formatVersion ||
		crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return id, 0, p, false
	}
	copy(id[:], b[16:])
	p = position{binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])}
	return id, binary.LittleEndian.Uint64(b[32:]), p, p.acked <= p.blockEnd
}

// createCursor makes the cursor of a new spool.
func createCursor(dir, path string, id spoolID) (*cursor, error) {
	both := make([]byte, 2*slotSpacing)
	copy(both, encodeSlot(id, 1, position{}))
	copy(both[slotSpacing:], encodeSlot(id, 0, position{}))
	f, err := createDurable(dir, path, both)
	if err != nil {
		return nil, err
	}
	return &cursor{f: f, id: id, generation: 1}, nil
}

// openCursor reads the cursor of an existing spool.
func openCursor(path string) (_ *cursor, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	both := make([]byte, slotSpacing+slotBytes)
	if _, err := f.ReadAt(both, 0); err != nil {
		f.Close()
		return nil, &CorruptError{File: path, Detail: "cursor is cut short"}
	}
	c := &cursor{f: f}
	found := false
	for _, slot := range [][]byte{both, both[slotSpacing:]} {
		id, generation, p, ok := decodeSlot(slot)
		if ok && (!found || generation > c.generation) {
			c.id, c.generation, c.position, found = id, generation, p, true
		}
	}
	if !found {
		f.Close()
		return nil, &CorruptError{File: path, Detail: "neither slot of the cursor is sound"}
	}
	return c, nil
}

// set makes p durable. If it fails, the old position holds, here and on disk
// (or the new one on disk, which repeats a delivery and loses nothing).
func (c *cursor) set(p position) error {
	next := c.generation + 1
	// Generation 1 is in slot 0, so odd ones are; the next overwrites the older.
	off := int64((next+1)%2) * slotSpacing
	if _, err := c.f.WriteAt(encodeSlot(c.id, next, p), off); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	if err := unix.Fdatasync(int(c.f.Fd())); err != nil {
		return fmt.Errorf("sync cursor: %w", err)
	}
	c.generation, c.position = next, p
	return nil
}
