package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxBlockBytes bounds a pcapng block: a packet with its options.
const maxBlockBytes = maxPacketBytes + 1<<16

// pcapng block types whose lengths the reader behind believes.
const (
	blockSection  = 0x0a0d0d0a
	blockPacket   = 2
	blockSimple   = 3
	blockEnhanced = 6
)

// blocks passes a pcapng file on and checks the lengths in it on the way
// (draft-ietf-opsawg-pcapng §3, §4), because the reader behind would allocate
// whatever a packet claims to have, and takes a cut-off block for the end.
type blocks struct {
	r     *bufio.Reader
	order binary.ByteOrder
	left  uint32 // of the block
}

// Read implements io.Reader. It returns io.EOF between blocks only, and
// io.ErrUnexpectedEOF within one.
func (b *blocks) Read(p []byte) (int, error) {
	if b.left == 0 {
		if err := b.begin(); err != nil {
			return 0, err
		}
	}
	n, err := b.r.Read(p[:min(len(p), int(b.left))])
	b.left -= uint32(n)
	if errors.Is(err, io.EOF) && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// begin looks at the head of the next block.
func (b *blocks) begin() error {
	head, err := b.r.Peek(12)
	if len(head) == 0 {
		return err
	}
	if len(head) < 12 {
		return io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint32(head) == blockSection {
		switch binary.LittleEndian.Uint32(head[8:]) {
		case 0x1a2b3c4d:
			b.order = binary.LittleEndian
		case 0x4d3c2b1a:
			b.order = binary.BigEndian
		}
	}
	if b.order == nil {
		return errors.New("no byte order in the section header")
	}
	kind, length := b.order.Uint32(head), b.order.Uint32(head[4:])
	if length < 12 || length%4 != 0 || length > maxBlockBytes {
		return fmt.Errorf("block of %d octets", length)
	}
	switch kind {
	case blockEnhanced, blockPacket:
		fixed, err := b.r.Peek(24)
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		if captured := b.order.Uint32(fixed[20:]); length < 32 || captured > length-32 {
			return fmt.Errorf("packet of %d octets in a block of %d", captured, length)
		}
	case blockSimple:
		if original := b.order.Uint32(head[8:]); length < 16 || original > maxPacketBytes {
			return fmt.Errorf("packet of %d octets in a block of %d", original, length)
		}
	}
	b.left = length
	return nil
}
