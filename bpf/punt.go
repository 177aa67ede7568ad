// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
)

// Punt is a control frame that the programs copied.
type Punt struct {
	BootNanos uint64 // CLOCK_BOOTTIME when it was seen
	Ifindex   uint32
	Direction Direction
	// FrameLen is the length of the frame as it passed; Frame is shorter if it was cut.
	FrameLen int
	// Frame is the frame as it was on the wire: a VLAN tag that the kernel or the
	// card had taken off is put back.
	Frame []byte
}

const (
	puntHeaderBytes = int(unsafe.Sizeof(accountingPuntHeader{}))
	puntMaxBytes    = 1536
)

// ErrPunt means a record in the ring that is not one of ours.
var ErrPunt = errors.New("malformed punt record")

// decodePunt reads a record of the ring. Frame is a copy.
func decodePunt(raw []byte) (Punt, error) {
	if len(raw) < puntHeaderBytes {
		return Punt{}, fmt.Errorf("decode punt: %d bytes: %w", len(raw), ErrPunt)
	}
	le := binary.LittleEndian
	p := Punt{
		BootNanos: le.Uint64(raw[0:]),
		Ifindex:   le.Uint32(raw[8:]),
		FrameLen:  int(le.Uint32(raw[12:])),
		Direction: Direction(le.Uint32(raw[24:]) & 1),
	}
	copied := int(le.Uint32(raw[16:]))
	body := raw[puntHeaderBytes:]
	if copied < 14 || copied > len(body) || copied > puntMaxBytes || copied > p.FrameLen {
		return Punt{}, fmt.Errorf("decode punt: %d bytes of a frame: %w", copied, ErrPunt)
	}
	tagged := raw[20] != 0 || raw[21] != 0
	if !tagged {
		p.Frame = append([]byte(nil), body[:copied]...)
		return p, nil
	}
	p.FrameLen += 4
	p.Frame = make([]byte, 0, copied+4)
	p.Frame = append(p.Frame, body[:12]...)
	p.Frame = append(p.Frame, raw[20], raw[21]) // network order already
	p.Frame = binary.BigEndian.AppendUint16(p.Frame, le.Uint16(raw[22:]))
	p.Frame = append(p.Frame, body[12:copied]...)
	return p, nil
}

// PuntReader reads control frames. Only one may exist for a pin directory.
type PuntReader struct {
	ring *ringbuf.Reader
}

// Punts returns a reader of the ring; frames that came in before, even while no
// process lived, are still there unless the ring overflowed. Close it.
func (a *Accounting) Punts() (*PuntReader, error) {
	r, err := ringbuf.NewReader(a.objects.Punts)
	if err != nil {
		return nil, fmt.Errorf("read punts: %w", err)
	}
	return &PuntReader{r}, nil
}

// Read waits for a frame. After Close it returns os.ErrClosed; ErrPunt means that
// one record was skipped.
func (r *PuntReader) Read() (Punt, error) {
	rec, err := r.ring.Read()
	if errors.Is(err, os.ErrClosed) {
		return Punt{}, os.ErrClosed
	}
	if err != nil {
		return Punt{}, fmt.Errorf("read punts: %w", err)
	}
	return decodePunt(rec.RawSample)
}

// Close ends a Read that waits.
func (r *PuntReader) Close() error { return r.ring.Close() }
