package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/gopacket"
)

// pcap magic numbers (draft-ietf-opsawg-pcap §4), as the file's first octets read
// in little-endian order.
const (
	magicMicroseconds        = 0xa1b2c3d4
	magicNanoseconds         = 0xa1b23c4d
	magicMicrosecondsSwapped = 0xd4c3b2a1
	magicNanosecondsSwapped  = 0x4d3cb2a1
)

const recordHeadBytes = 16

// records reads the packets of a pcap file where they lie in the buffer, without
// the copies that pcapgo makes. r is behind the file's header and its buffer holds
// a packet of maxPacketBytes.
type records struct {
	r     *bufio.Reader
	order binary.ByteOrder
	unit  int64 // nanoseconds in the fraction's unit
	taken int   // bytes of the last packet, not yet discarded
}

// newRecords returns nil for a magic number that is none of pcap's.
func newRecords(r *bufio.Reader, magic uint32) *records {
	switch magic {
	case magicMicroseconds:
		return &records{r: r, order: binary.LittleEndian, unit: 1000}
	case magicNanoseconds:
		return &records{r: r, order: binary.LittleEndian, unit: 1}
	case magicMicrosecondsSwapped:
		return &records{r: r, order: binary.BigEndian, unit: 1000}
	case magicNanosecondsSwapped:
		return &records{r: r, order: binary.BigEndian, unit: 1}
	}
	return nil
}

// next returns the next packet, io.EOF at the end and io.ErrUnexpectedEOF within
// a packet. The data is overwritten by the next call.
func (x *records) next() (data []byte, info gopacket.CaptureInfo, err error) {
	if _, err := x.r.Discard(x.taken); err != nil {
		return nil, info, err
	}
	x.taken = 0
	head, err := x.r.Peek(recordHeadBytes)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, info, err
	}
	seconds, fraction := x.order.Uint32(head), x.order.Uint32(head[4:])
	captured, length := x.order.Uint32(head[8:]), x.order.Uint32(head[12:])
	if captured > maxPacketBytes || captured > length {
		return nil, info, fmt.Errorf("%d octets captured of a packet of %d", captured, length)
	}
	all, err := x.r.Peek(recordHeadBytes + int(captured))
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, info, err
	}
	x.taken = len(all)
	info.Timestamp = time.Unix(int64(seconds), int64(fraction)*x.unit).UTC()
	info.CaptureLength, info.Length = int(captured), int(length)
	return all[recordHeadBytes:], info, nil
}
