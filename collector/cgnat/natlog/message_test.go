package natlog

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// An info is an element of a template, and its value in a record.
type info struct {
	number     uint16
	enterprise uint32 // of a vendor's own
	length     uint16 // variableLength: of the value
	value      []byte
}

func ie(number uint16, value ...byte) info {
	return info{number: number, length: uint16(len(value)), value: value}
}

func ie16(number, value uint16) info { return ie(number, byte(value>>8), byte(value)) }

func ie32(number uint16, value uint32) info {
	return ie(number, binary.BigEndian.AppendUint32(nil, value)...)
}

func ie64(number uint16, value uint64) info {
	return ie(number, binary.BigEndian.AppendUint64(nil, value)...)
}

func ieAddress(number uint16, a string) info {
	return ie(number, netip.MustParseAddr(a).AsSlice()...)
}

// variable has the element's length told in the record.
func variable(i info) info {
	i.length = variableLength
	return i
}

// A set of a message.
type set struct {
	id   uint16
	body []byte
}

func templateSet(version uint16, id uint16, infos []info) set {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(infos)))
	for _, i := range infos {
		number := i.number
		if i.enterprise != 0 {
			number |= 0x8000
		}
		b = binary.BigEndian.AppendUint16(b, number)
		b = binary.BigEndian.AppendUint16(b, i.length)
		if i.enterprise != 0 {
			b = binary.BigEndian.AppendUint32(b, i.enterprise)
		}
	}
	return set{messageHeader{version: version}.templates(), b}
}

func dataSet(id uint16, records ...[]info) set {
	var b []byte
	for _, r := range records {
		for _, i := range r {
			if i.length == variableLength {
				if len(i.value) < 255 {
					b = append(b, byte(len(i.value)))
				} else {
					b = binary.BigEndian.AppendUint16(append(b, 255), uint16(len(i.value)))
				}
			}
			b = append(b, i.value...)
		}
	}
	return set{id, b}
}

// message puts sets together.
func message(version uint16, sequence, domain uint32, sets ...set) []byte {
	return messageAt(noon, version, sequence, domain, sets...)
}

// messageAt is one that its exporter made at a time.
func messageAt(at time.Time, version uint16, sequence, domain uint32, sets ...set) []byte {
	var body []byte
	for _, s := range sets {
		body = binary.BigEndian.AppendUint16(body, s.id)
		body = binary.BigEndian.AppendUint16(body, uint16(4+len(s.body)))
		body = append(body, s.body...)
	}
	exported := uint32(at.Unix())
	b := binary.BigEndian.AppendUint16(nil, version)
	if version == ipfix {
		b = binary.BigEndian.AppendUint16(b, uint16(ipfixHeader+len(body)))
		b = binary.BigEndian.AppendUint32(b, exported)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(len(sets)))
		b = binary.BigEndian.AppendUint32(b, 1)
		b = binary.BigEndian.AppendUint32(b, exported)
	}
	b = binary.BigEndian.AppendUint32(b, sequence)
	b = binary.BigEndian.AppendUint32(b, domain)
	return append(b, body...)
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var (
	exporter   = netip.MustParseAddr("192.0.2.9")
	testFilter = Filter{
		Inside:  []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("2001:db8::/32")},
		Outside: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
	}
)

// block is a record of RFC 8158 §5.6.12: a block of ports, assigned or taken back.
func block(event byte, inside string, start, end uint16) []info {
	return []info{ie64(323, uint64(noon.UnixMilli())), ie(230, event), ieAddress(8, inside), ieAddress(225, "203.0.113.7"), ie16(361, start), ie16(362, end)}
}

// session is a record of RFC 8158 §5.6.4, as NAT devices send it: with both ends,
// and what a flow record has besides.
func session(event byte, inside string, port uint16, far string, farPort uint16) []info {
	return []info{
		ie64(323, uint64(noon.UnixMilli())), ie(230, event), ie(4, 17), ieAddress(8, inside), ieAddress(12, far), ie16(7, 40000), ie16(11, farPort),
		ieAddress(225, "203.0.113.7"), ieAddress(226, far), ie16(227, port), ie16(228, farPort), variable(ie(82, []byte("eth0")...)),
		{number: 12235, enterprise: 9, length: 4, value: netip.MustParseAddr(far).AsSlice()},
	}
}

// reading is what a decoder made of a message.
type reading struct {
	events   []Event
	verdicts []Verdict
	message  Message
}

func (d *Decoder) all(message []byte) (r reading) {
	r.message = d.Decode(exporter, 0, message, func(e *Event) { r.events = append(r.events, *e) }, func(v Verdict) { r.verdicts = append(r.verdicts, v) })
	return r
}
