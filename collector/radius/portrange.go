package radius

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"griffier/collector/binding"
)

// Numbers of RFC 6929 (extended attributes) and RFC 8045 (IP port ranges).
const (
	extendedType1  = 241
	extendedPorts  = 6 // IP-Port-Range, 241.6
	tlvPortType    = 1 // a protocol number
	tlvPortOutside = 3 // IP-Port-Ext-IPv4-Addr
	tlvPortAlloc   = 8
	tlvPortStart   = 9
	tlvPortEnd     = 10
	allocGiven     = 1
	allocTaken     = 2
)

// MaxBlocks is how many blocks of ports one request may name.
const MaxBlocks = 64

var errPortRange = errors.New("ip port range: malformed")

// portRange reads the value of an Extended-Type-1 attribute. ok is false if it
// is another than IP-Port-Range, or one that names no shared address: then the
// NAS has not said whose ports they are.
func portRange(value []byte) (b binding.PortBlock, ok bool, err error) {
	if len(value) < 1 {
		return b, false, errPortRange
	}
	if value[0] != extendedPorts {
		return b, false, nil
	}
	var alloc, start, end uint32
	for tlvs := value[1:]; len(tlvs) > 0; {
		if len(tlvs) < 2 || int(tlvs[1]) < 2 || int(tlvs[1]) > len(tlvs) {
			return b, false, errPortRange
		}
		kind, v := tlvs[0], tlvs[2:tlvs[1]]
		tlvs = tlvs[tlvs[1]:]
		switch kind {
		case tlvPortType, tlvPortOutside, tlvPortAlloc, tlvPortStart, tlvPortEnd:
		default:
			continue // Local-Id and the like
		}
		if len(v) != 4 {
			return b, false, errPortRange
		}
		n := binary.BigEndian.Uint32(v)
		switch kind {
		case tlvPortType:
			if n > 255 {
				return b, false, errPortRange
			}
			b.Protocol = uint8(n)
		case tlvPortOutside:
			b.Outside = netip.AddrFrom4([4]byte(v))
		case tlvPortAlloc:
			alloc = n
		case tlvPortStart:
			start = n
		case tlvPortEnd:
			end = n
		}
	}
	if start > end || end > 65535 || alloc != allocGiven && alloc != allocTaken {
		return b, false, errPortRange
	}
	if !b.Outside.IsValid() || !assignable(b.Outside) {
		return b, false, nil
	}
	b.PortStart, b.PortEnd, b.Released = uint16(start), uint16(end), alloc == allocTaken
	return b, true, nil
}
