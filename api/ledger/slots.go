package ledger

import (
	"bytes"
	"errors"
	"os"

	"griffier/api/durable"

	"golang.org/x/sys/unix"
)

// slotBytes is the size of one of the two halves of the witness file of a running
// ledger.
const slotBytes = 4096

// witnessSlots writes the witness file of a running ledger in place, one half and
// then the other: a crash can spoil the half that was being written, and the other
// has the head before it, so one sync is enough where a new file takes two and an
// inode. A ledger that is closed leaves the whole form, in which every byte counts.
type witnessSlots struct {
	path  string
	begun bool // the file has two halves
	next  int
}

// write records a head durably.
func (w *witnessSlots) write(h head, checkpoint string) error {
	line, err := marshal(witnessFile{Size: h.size, Root: h.root, Checkpoint: checkpoint})
	if err != nil {
		return err
	}
	if line = append(line, '\n'); len(line) > slotBytes {
		w.begun = false
		return durable.Write(w.path, line)
	}
	if w.begun {
		err := w.overwrite(line)
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	both := make([]byte, 2*slotBytes)
	copy(both, line)
	if err := durable.Write(w.path, both); err != nil {
		return err
	}
	w.begun, w.next = true, 1
	return nil
}

// overwrite writes one half. The file is opened each time, so that its file system
// can be made read-only in between.
func (w *witnessSlots) overwrite(line []byte) error {
	f, err := os.OpenFile(w.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	half := make([]byte, slotBytes)
	copy(half, line)
	_, err = f.WriteAt(half, int64(w.next)*slotBytes)
	if err == nil {
		err = unix.Fdatasync(int(f.Fd()))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	w.next ^= 1
	return nil
}

// splitSlots gives the records in a witness file: the file itself, or the halves
// that a running ledger, or one that was killed, left, without their padding. A
// half with anything after its record is none.
func splitSlots(data []byte) [][]byte {
	if len(data) != 2*slotBytes {
		return [][]byte{data}
	}
	var records [][]byte
	for _, half := range [][]byte{data[:slotBytes], data[slotBytes:]} {
		line, padding, _ := bytes.Cut(half, []byte("\n"))
		if len(line) > 0 && line[0] != 0 && len(bytes.Trim(padding, "\x00")) == 0 {
			records = append(records, append(bytes.Clone(line), '\n'))
		}
	}
	return records
}
