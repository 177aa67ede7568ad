package natlog

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Limits of a [Decoder].
const (
	MaxDomains   = 256 // exporters times observation domains
	MaxTemplates = 256 // of a domain
)

// window is how many numbers back a message counts as late, and not as one of an
// exporter that began anew.
const window = 1 << 14

// remembered is how many messages back a repeated one is recognised.
const remembered = 32

// A Decoder reads messages. It knows every template of every exporter and
// observation domain, and which message comes next. It is not safe for concurrent
// use.
type Decoder struct {
	filter  Filter
	domains map[domainKey]*domain
	record  record
	event   Event
}

type domainKey struct {
	exporter netip.Addr
	version  uint16
	id       uint32
}

type domain struct {
	templates map[uint16]*template
	options   map[uint16]*template
	next      uint32 // sequence number; valid if inOrder
	inOrder   bool   // some message came, and it is known how many records it held
	exported  uint32 // when the newest message was, by its exporter
	recent    [remembered]mark
	seen      int // of these
}

// A mark tells a message with records from others.
type mark struct{ sequence, exported uint32 }

// A Message is what became of one.
type Message struct {
	Domain uint32
	// Verdict is empty, or says why the message was not read to its end.
	Verdict Verdict
	// Lost is how many records (of NetFlow 9: messages) are missing before this
	// one, Restarted says that the exporter began anew, so that it is not known,
	// and Untold that the message held records whose template was not seen.
	Lost      uint32
	Restarted bool
	Untold    bool
}

// Whole says that nothing is missing, before the message or in it.
func (m Message) Whole() bool {
	return m.Lost == 0 && !m.Restarted && !m.Untold && (m.Verdict == "" || m.Verdict == Duplicate)
}

// NewDecoder returns a Decoder that has seen no template.
func NewDecoder(f Filter) *Decoder {
	return &Decoder{filter: f, domains: map[domainKey]*domain{}}
}

const (
	ipfix    = 10
	netflow9 = 9

	ipfixHeader   = 16
	netflowHeader = 20
)

// Decode reads one message of an exporter, whose subscribers are in the given
// realm. What counts is told to use, whose argument is valid until it returns, and
// everything else to count. Neither is called with anything of a far side.
func (d *Decoder) Decode(exporter netip.Addr, realm uint32, message []byte, use func(*Event), count func(Verdict)) Message {
	h, body, v := header(message)
	if v != "" {
		return Message{Verdict: v}
	}
	m := Message{Domain: h.domain}
	key := domainKey{exporter.Unmap(), h.version, h.domain}
	in := d.domains[key]
	if in == nil {
		if len(d.domains) >= MaxDomains {
			m.Verdict = DomainLimit
			return m
		}
		in = &domain{templates: map[uint16]*template{}, options: map[uint16]*template{}}
		d.domains[key] = in
	}
	if in.repeated(h.mark) {
		m.Verdict = Duplicate
		return m
	}
	records := uint32(0)
	counted := func(v Verdict) { records++; count(v) }
	whole := true
	for len(body) >= 4 && m.Verdict == "" {
		id, length := binary.BigEndian.Uint16(body), int(binary.BigEndian.Uint16(body[2:]))
		if length < 4 || length > len(body) {
			m.Verdict = Malformed
			break
		}
		set := body[4:length]
		body = body[length:]
		switch {
		case id == h.templates():
			m.Verdict = in.learn(set, h.version == ipfix)
		case id == h.options():
			m.Verdict = in.learnOptions(set, h.version)
		case id >= 256:
			v := d.data(in, id, set, realm, h.version == ipfix, use, counted)
			if v == NoTemplate {
				m.Untold, whole = true, false
				count(v)
			} else if v != "" {
				m.Verdict = v
			}
		}
	}
	if m.Verdict != "" {
		whole = false
	}
	if h.version == netflow9 {
		records, whole = 1, true // messages are what is numbered
	}
	m.Lost, m.Restarted = in.follow(h.mark, records, whole)
	return m
}

type messageHeader struct {
	mark
	version uint16
	domain  uint32
}

func (h messageHeader) templates() uint16 {
	if h.version == ipfix {
		return 2
	}
	return 0
}

func (h messageHeader) options() uint16 { return h.templates() + 1 }

// header reads the header of a message (RFC 7011 §3.1, RFC 3954 §5.1).
func header(b []byte) (h messageHeader, body []byte, v Verdict) {
	if len(b) < 2 {
		return h, nil, Malformed
	}
	h.version = binary.BigEndian.Uint16(b)
	switch {
	case h.version == ipfix && len(b) >= ipfixHeader:
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < ipfixHeader || length > len(b) {
			return h, nil, Malformed
		}
		h.exported, h.sequence, h.domain = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
		return h, b[ipfixHeader:length], ""
	case h.version == netflow9 && len(b) >= netflowHeader:
		h.exported, h.sequence, h.domain = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
		return h, b[netflowHeader:], ""
	case h.version == ipfix || h.version == netflow9:
		return h, nil, Malformed
	}
	return h, nil, OtherVersion
}

// learn takes in a template set (RFC 7011 §3.4.1). Over UDP none is withdrawn
// (§8.4), but one may be redefined.
func (in *domain) learn(set []byte, enterprises bool) Verdict {
	for len(set) >= 4 {
		id, count := binary.BigEndian.Uint16(set), int(binary.BigEndian.Uint16(set[2:]))
		set = set[4:]
		if count == 0 {
			continue
		}
		if id < 256 {
			return Malformed
		}
		t, rest, v := compile(set, count, enterprises, false)
		if v != "" {
			return v
		}
		set = rest
		if v := in.define(in.templates, in.options, id, t); v != "" {
			return v
		}
	}
	return ""
}

// learnOptions takes in an options template set (RFC 7011 §3.4.2, RFC 3954 §6.1),
// for the length of its records only.
func (in *domain) learnOptions(set []byte, version uint16) Verdict {
	for len(set) >= 6 {
		id := binary.BigEndian.Uint16(set)
		count := int(binary.BigEndian.Uint16(set[2:]))
		if version == netflow9 {
			count = (count + int(binary.BigEndian.Uint16(set[4:]))) / 4
		}
		if version == ipfix && count == 0 {
			set = set[4:] // a withdrawal has no count of scopes
			continue
		}
		set = set[6:]
		if id < 256 {
			if id == 0 && count == 0 {
				return "" // padding
			}
			return Malformed
		}
		t, rest, v := compile(set, count, version == ipfix, true)
		if v != "" {
			return v
		}
		set = rest
		if v := in.define(in.options, in.templates, id, t); v != "" {
			return v
		}
	}
	return ""
}

func (in *domain) define(into, other map[uint16]*template, id uint16, t *template) Verdict {
	if into[id] == nil && len(in.templates)+len(in.options) >= MaxTemplates {
		return TemplateLimit
	}
	delete(other, id)
	into[id] = t
	return ""
}

// data reads the records of a set.
func (d *Decoder) data(in *domain, id uint16, set []byte, realm uint32, variable bool, use func(*Event), count func(Verdict)) Verdict {
	t, options := in.templates[id], false
	if t == nil {
		if t, options = in.options[id], true; t == nil {
			return NoTemplate
		}
	}
	for len(set) >= t.shortest { // what is left is padding
		rest, ok := t.read(set, variable, &d.record)
		if !ok {
			return BadTelling
		}
		set = rest
		if options {
			count(OptionRecord)
			continue
		}
		v := d.record.judge(d.filter, realm, &d.event)
		count(v)
		if v == Used {
			use(&d.event)
		}
		d.record, d.event = record{}, Event{} // a source that does not count may be a far end
	}
	return ""
}

// repeated says whether the same message, with records, came lately.
func (in *domain) repeated(m mark) bool {
	return slices.Contains(in.recent[:min(in.seen, remembered)], m)
}

// follow takes in a message that held so many records, if that is known, and
// returns what is missing before it. A number from before counts as late, unless
// the message was made after those that came: then its exporter began anew.
func (in *domain) follow(m mark, records uint32, whole bool) (lost uint32, restarted bool) {
	ahead := int32(m.sequence - in.next)
	switch {
	case !in.inOrder:
	case ahead > 0:
		lost = uint32(ahead)
	case ahead < -window || ahead < 0 && int32(m.exported-in.exported) > 0:
		restarted = true
	case ahead < 0:
		in.remember(m, records)
		return 0, false // late: it was declared lost
	}
	in.remember(m, records)
	in.next, in.exported, in.inOrder = m.sequence+records, m.exported, whole
	return lost, restarted
}

func (in *domain) remember(m mark, records uint32) {
	if records == 0 {
		return
	}
	in.recent[in.seen%remembered] = m
	if in.seen++; in.seen == 2*remembered {
		in.seen = remembered
	}
}
