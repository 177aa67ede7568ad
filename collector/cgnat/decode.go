package cgnat

import (
	"encoding/binary"
	"net/netip"
)

// An EventKind is what happened to a flow.
type EventKind uint8

// Kinds of event. A flow in a dump is Seen.
const (
	New EventKind = iota + 1
	Destroy
	Seen
)

// An Event is what is kept of one conntrack message: the subscriber's side of a
// translated flow. There is no field for the far side.
type Event struct {
	Kind     EventKind
	Protocol uint8
	Port     uint16 // public; the identifier of an ICMP query
	ID       uint32 // of the conntrack entry, as long as it lives
	Inside   netip.Addr
	Outside  netip.Addr
	// Times in nanoseconds since 1970, 0 if the kernel does not tell
	// (nf_conntrack_timestamp; At since kernel 6.14).
	At, StartedAt, StoppedAt int64
}

// A Verdict says what became of a message. Its text is a metric label.
type Verdict string

// Verdicts. Anything but Used leaves nothing of the message behind.
const (
	Used         Verdict = "used"
	Irrelevant   Verdict = "irrelevant"   // not about the beginning or end of a flow
	Untranslated Verdict = "untranslated" // source and reply destination are the same, or it has no ports
	NotInside    Verdict = "not_inside"   // source is not a subscriber's
	NotOutside   Verdict = "not_outside"  // not translated to an address of the pool
	OtherZone    Verdict = "other_zone"   // the same address there is another subscriber
	Malformed    Verdict = "malformed"
)

// Verdicts lists every verdict, for counting.
var Verdicts = []Verdict{Used, Irrelevant, Untranslated, NotInside, NotOutside, OtherZone, Malformed}

// A Filter says whose flows count. Both lists are needed: the source of a flow
// that came in from outside is a far end, and only its not being in Inside keeps
// it out.
type Filter struct {
	Inside, Outside []netip.Prefix
	Zone            uint16
}

// Netlink and conntrack numbers (linux/netlink.h, nfnetlink_conntrack.h).
const (
	nlHeader  = 16
	nfHeader  = 4
	attribute = 4

	typeNew, typeDelete = 1 << 8, 1<<8 | 2 // NFNL_SUBSYS_CTNETLINK
	flagMulti           = 0x2
	flagCreate          = 0x400

	ctaTupleOriginal, ctaTupleReply          = 1, 2
	ctaID, ctaZone, ctaTimestamp, ctaEventAt = 12, 18, 20, 27
	ctaTupleIP, ctaTupleProto, ctaTupleZone  = 1, 2, 3
	ctaIPv4Source, ctaIPv4Destination        = 1, 2
	ctaIPv6Source, ctaIPv6Destination        = 3, 4
	ctaProtoNumber, ctaProtoDestination      = 1, 3
	ctaProtoICMPID, ctaProtoICMPv6ID         = 4, 7
	ctaTimestampStart, ctaTimestampStop      = 1, 2
)

// Decode reads one netlink message (header included, cut to its length) into e,
// which it overwrites whole. It allocates nothing and keeps no reference.
func (f *Filter) Decode(message []byte, e *Event) Verdict {
	*e = Event{}
	v := f.decode(message, e)
	if v != Used {
		*e = Event{} // nothing of a flow that does not count leaves here
	}
	return v
}

func (f *Filter) decode(message []byte, e *Event) Verdict {
	if len(message) < nlHeader+nfHeader {
		return Malformed
	}
	flags := binary.NativeEndian.Uint16(message[6:])
	switch kind := binary.NativeEndian.Uint16(message[4:]); {
	case kind == typeNew && flags&flagMulti != 0:
		e.Kind = Seen
	case kind == typeNew && flags&flagCreate != 0:
		e.Kind = New
	case kind == typeDelete:
		e.Kind = Destroy
	default:
		return Irrelevant
	}
	var zone uint16
	var told uint8 // which of the tuple's parts were there
	ok := true
	for rest := message[nlHeader+nfHeader:]; len(rest) > 0 && ok; {
		var kind uint16
		var value []byte
		if kind, value, rest, ok = next(rest); !ok {
			break
		}
		switch kind {
		case ctaTupleOriginal:
			ok = original(value, e, &zone)
			told |= 1
		case ctaTupleReply:
			var ported bool
			ported, ok = reply(value, e)
			told |= 2
			if ported {
				told |= 4
			}
		case ctaID:
			if ok = len(value) == 4; ok {
				e.ID = binary.BigEndian.Uint32(value)
			}
		case ctaZone:
			if ok = len(value) == 2; ok {
				zone = binary.BigEndian.Uint16(value)
			}
		case ctaTimestamp:
			ok = timestamps(value, e)
		case ctaEventAt:
			e.At, ok = nanoseconds(value)
		}
	}
	switch {
	case !ok || told&3 != 3 || !e.Inside.IsValid() || !e.Outside.IsValid():
		return Malformed
	case zone != f.Zone:
		return OtherZone
	case e.Inside == e.Outside || told&4 == 0:
		return Untranslated
	case !contains(f.Inside, e.Inside):
		return NotInside
	case !contains(f.Outside, e.Outside):
		return NotOutside
	}
	return Used
}

// next cuts the first attribute off b. Attributes are padded to 4 bytes.
func next(b []byte) (kind uint16, value, rest []byte, ok bool) {
	if len(b) < attribute {
		return 0, nil, nil, false
	}
	length := int(binary.NativeEndian.Uint16(b))
	if length < attribute || length > len(b) {
		return 0, nil, nil, false
	}
	const flags = 0xc000 // nested, network byte order
	padded := min((length+3)&^3, len(b))
	return binary.NativeEndian.Uint16(b[2:]) &^ flags, b[attribute:length], b[padded:], true
}

// original reads the source address and the zone of the original direction.
// Ports are not looked at, nor the destination.
func original(tuple []byte, e *Event, zone *uint16) bool {
	for len(tuple) > 0 {
		kind, value, rest, ok := next(tuple)
		if !ok {
			return false
		}
		tuple = rest
		switch kind {
		case ctaTupleIP:
			e.Inside, ok = address(value, ctaIPv4Source, ctaIPv6Source)
		case ctaTupleZone:
			if ok = len(value) == 2; ok {
				*zone = binary.BigEndian.Uint16(value)
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// reply reads the destination of the reply direction: what replies are sent to,
// which is the public side. ported is false if there is neither a port nor an
// ICMP identifier.
func reply(tuple []byte, e *Event) (ported, ok bool) {
	for len(tuple) > 0 {
		kind, value, rest, ok := next(tuple)
		if !ok {
			return false, false
		}
		tuple = rest
		switch kind {
		case ctaTupleIP:
			e.Outside, ok = address(value, ctaIPv4Destination, ctaIPv6Destination)
		case ctaTupleProto:
			ported, ok = e.protocol(value)
		}
		if !ok {
			return false, false
		}
	}
	return ported, true
}

func (e *Event) protocol(nest []byte) (ported, ok bool) {
	for len(nest) > 0 {
		kind, value, rest, ok := next(nest)
		if !ok {
			return false, false
		}
		nest = rest
		switch kind {
		case ctaProtoNumber:
			if len(value) != 1 {
				return false, false
			}
			e.Protocol = value[0]
		case ctaProtoDestination, ctaProtoICMPID, ctaProtoICMPv6ID:
			if len(value) != 2 {
				return false, false
			}
			e.Port, ported = binary.BigEndian.Uint16(value), true
		}
	}
	return ported, true
}

// address reads the one address of the given kinds; it steps over the other.
func address(nest []byte, v4, v6 uint16) (a netip.Addr, ok bool) {
	for len(nest) > 0 {
		kind, value, rest, ok := next(nest)
		if !ok {
			return a, false
		}
		nest = rest
		switch {
		case kind == v4 && len(value) == 4:
			a = netip.AddrFrom4([4]byte(value))
		case kind == v6 && len(value) == 16:
			a = netip.AddrFrom16([16]byte(value)).Unmap()
		case kind == v4 || kind == v6:
			return a, false
		}
	}
	return a, true
}

func timestamps(nest []byte, e *Event) bool {
	for len(nest) > 0 {
		kind, value, rest, ok := next(nest)
		if !ok {
			return false
		}
		nest = rest
		switch kind {
		case ctaTimestampStart:
			e.StartedAt, ok = nanoseconds(value)
		case ctaTimestampStop:
			e.StoppedAt, ok = nanoseconds(value)
		}
		if !ok {
			return false
		}
	}
	return true
}

func nanoseconds(value []byte) (int64, bool) {
	if len(value) != 8 {
		return 0, false
	}
	v := binary.BigEndian.Uint64(value)
	return int64(v), v < 1<<63
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// split cuts the first netlink message off a datagram. ok is false at its end,
// or if what is left is no message.
func split(datagram []byte) (message, rest []byte, ok bool) {
	if len(datagram) < nlHeader {
		return nil, nil, false
	}
	length := int(binary.NativeEndian.Uint32(datagram))
	if length < nlHeader || length > len(datagram) {
		return nil, nil, false
	}
	return datagram[:length], datagram[min((length+3)&^3, len(datagram)):], true
}
