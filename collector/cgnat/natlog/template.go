package natlog

import "encoding/binary"

// An element is what is read of a record. Everything else is skipped.
type element uint8

const (
	skipped element = iota
	natEvent
	eventMilliseconds
	eventSeconds
	eventMicroseconds
	eventNanoseconds
	protocol
	insideIPv4
	insideIPv6
	outsideIPv4
	outsideIPv6
	outsidePort
	portStart
	portEnd
	portStep
	portCount
	realm
)

// elements are the IANA numbers of what is read, and no others are looked at. Not
// among them, on purpose: 11, 12, 28 (destination), 226, 228 and 282 (its
// translation).
var elements = map[uint16]element{
	4: protocol, 8: insideIPv4, 27: insideIPv6, 225: outsideIPv4, 281: outsideIPv6, 227: outsidePort,
	230: natEvent, 234: realm, 322: eventSeconds, 323: eventMilliseconds, 324: eventMicroseconds, 325: eventNanoseconds,
	361: portStart, 362: portEnd, 363: portStep, 364: portCount,
}

const (
	variableLength = 0xffff
	maxFields      = 256
	maxRecord      = 0xffff - 16 - 4 // what a message has room for
)

// A field is so many octets of a record, and what they are.
type field struct {
	what   element
	length uint16
}

// A template says how records are read. One of options is only stepped over.
type template struct {
	fields   []field
	shortest int // record, in octets
}

// compile reads count field specifiers (RFC 7011 §3.2) off b. With ignored, the
// records are only stepped over.
func compile(b []byte, count int, enterprises, ignored bool) (t *template, rest []byte, v Verdict) {
	if count > maxFields {
		return nil, nil, TemplateLimit
	}
	t = &template{}
	for range count {
		if len(b) < 4 {
			return nil, nil, Malformed
		}
		number, length := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		b = b[4:]
		what := elements[number]
		if enterprises && number&0x8000 != 0 {
			if len(b) < 4 {
				return nil, nil, Malformed
			}
			b, what = b[4:], skipped // a vendor's own
		}
		if ignored {
			what = skipped
		}
		t.add(field{what, length}, enterprises)
	}
	if t.shortest == 0 || t.shortest > maxRecord {
		return nil, nil, Malformed // a set of them would have no end
	}
	return t, b, ""
}

// add appends a field, or joins what is stepped over with what is before it.
func (t *template) add(f field, variable bool) {
	if variable && f.length == variableLength {
		t.shortest++
		t.fields = append(t.fields, f)
		return
	}
	t.shortest += int(f.length)
	if n := len(t.fields); f.what == skipped && n > 0 {
		if last := &t.fields[n-1]; last.what == skipped && last.length != variableLength && int(last.length)+int(f.length) < variableLength {
			last.length += f.length
			return
		}
	}
	t.fields = append(t.fields, f)
}

// A record is what was read of one, as it was told.
type record struct {
	has              uint32 // bit per element
	event, protocol  uint64
	start, end       uint64
	step, count      uint64
	port, realm      uint64
	inside4, public4 [4]byte
	inside6, public6 [16]byte
	when             uint64
	whenIs           element
}

func (r *record) told(e element) bool { return r.has&(1<<e) != 0 }

// read reads one record off b, which holds at least the shortest one.
func (t *template) read(b []byte, variable bool, r *record) (rest []byte, ok bool) {
	r.has, r.whenIs = 0, skipped
	for _, f := range t.fields {
		n := int(f.length)
		if variable && f.length == variableLength {
			if n, b, ok = variableField(b); !ok {
				return nil, false
			}
		}
		if n > len(b) {
			return nil, false
		}
		if f.what != skipped && !r.take(f.what, b[:n]) {
			return nil, false
		}
		b = b[n:]
	}
	return b, true
}

// variableField reads the length of a field of variable length (RFC 7011 §7).
func variableField(b []byte) (n int, rest []byte, ok bool) {
	if len(b) < 1 {
		return 0, nil, false
	}
	if n := int(b[0]); n < 255 {
		return n, b[1:], true
	}
	if len(b) < 3 {
		return 0, nil, false
	}
	return int(binary.BigEndian.Uint16(b[1:])), b[3:], true
}

// take takes in the value of an element.
func (r *record) take(e element, value []byte) (ok bool) {
	r.has |= 1 << e
	switch e {
	case insideIPv4:
		return copy(r.inside4[:], value) == 4 && len(value) == 4
	case outsideIPv4:
		return copy(r.public4[:], value) == 4 && len(value) == 4
	case insideIPv6:
		return copy(r.inside6[:], value) == 16 && len(value) == 16
	case outsideIPv6:
		return copy(r.public6[:], value) == 16 && len(value) == 16
	}
	n, ok := unsigned(value)
	if !ok {
		return false
	}
	switch e {
	case natEvent:
		r.event = n
	case protocol:
		r.protocol = n
	case portStart:
		r.start = n
	case portEnd:
		r.end = n
	case portStep:
		r.step = n
	case portCount:
		r.count = n
	case outsidePort:
		r.port = n
	case realm:
		r.realm = n
	case eventSeconds, eventMilliseconds, eventMicroseconds, eventNanoseconds:
		r.when, r.whenIs = n, e
	}
	return true
}

// unsigned reads an unsigned number of any size (RFC 7011 §6.2).
func unsigned(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n, true
}
