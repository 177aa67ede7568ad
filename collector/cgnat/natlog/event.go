package natlog

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// An Event is what is kept of one record: which ports an inside address was given,
// or gave back. There is no field for the far side.
type Event struct {
	Released bool // or else given
	Flow     bool // one port, for as long as a flow or mapping lasts; or else a block
	Protocol uint8
	// Ports, both inclusive.
	PortStart, PortEnd uint16
	Inside, Outside    netip.Addr
	// At is when the translator says that it happened, zero if it does not.
	At time.Time
}

// A Verdict says what became of a record, set or message. Its text is a metric
// label.
type Verdict string

// Verdicts. Of a record:
const (
	Used         Verdict = "used"
	OtherEvent   Verdict = "other_event"    // neither given nor taken back
	Incomplete   Verdict = "incomplete"     // it lacks an address, or the ports
	Stepped      Verdict = "stepped_ports"  // not one range of ports
	NotInside    Verdict = "not_inside"     // source is not a subscriber's
	NotOutside   Verdict = "not_outside"    // not an address of the pool
	OtherRealm   Verdict = "other_realm"    // the same address there is another subscriber
	Implausible  Verdict = "implausible_at" // used, at its time of arrival
	BadTelling   Verdict = "bad_value"      // a value of impossible length; the rest of its set is lost
	OptionRecord Verdict = "options"        // about the exporter
)

// Of a set or message:
const (
	Malformed       Verdict = "malformed"
	OtherVersion    Verdict = "other_version"    // neither IPFIX nor NetFlow 9
	TemplateLimit   Verdict = "template_limit"   // too many templates, or fields in one
	DomainLimit     Verdict = "domain_limit"     // too many observation domains
	NoTemplate      Verdict = "no_template"      // records of a template that was not seen
	Duplicate       Verdict = "duplicate"        // a message that came before
	UnknownExporter Verdict = "unknown_exporter" // none that is configured
	QueueFull       Verdict = "queue_full"       // events that the collector did not take in time
)

// Verdicts lists every verdict, for counting.
var Verdicts = []Verdict{Used, OtherEvent, Incomplete, Stepped, NotInside, NotOutside, OtherRealm, Implausible, BadTelling, OptionRecord,
	Malformed, OtherVersion, TemplateLimit, DomainLimit, NoTemplate, Duplicate, UnknownExporter, QueueFull}

// A Filter says whose ports count. The source of a record that is not Inside could
// be a far end.
type Filter struct{ Inside, Outside []netip.Prefix }

// events are the values of natEvent that count (RFC 8158 §8.2, and the IANA
// registry NAT Event Type).
var events = map[uint64]struct{ flow, released bool }{
	1: {true, false}, 2: {true, true}, // session, as before RFC 8158
	4: {true, false}, 5: {true, true}, // NAT44 session
	6: {true, false}, 7: {true, true}, // NAT64 session
	8: {true, false}, 9: {true, true}, // NAT44 mapping
	10: {true, false}, 11: {true, true}, // NAT64 mapping
	16: {false, false}, 17: {false, true}, // block of ports
}

// judge makes out what a record says and whether it counts.
func (r *record) judge(filter Filter, inRealm uint32, e *Event) Verdict {
	kind, known := events[r.event]
	switch {
	case !r.told(natEvent):
		return Incomplete
	case !known:
		return OtherEvent
	case r.told(realm) && r.realm != uint64(inRealm):
		return OtherRealm
	}
	*e = Event{Released: kind.released, Flow: kind.flow}
	switch {
	case r.told(insideIPv4) && r.inside4 != [4]byte{}:
		e.Inside = netip.AddrFrom4(r.inside4)
	case r.told(insideIPv6):
		e.Inside = netip.AddrFrom16(r.inside6).Unmap()
	}
	switch {
	case r.told(outsideIPv4):
		e.Outside = netip.AddrFrom4(r.public4)
	case r.told(outsideIPv6):
		e.Outside = netip.AddrFrom16(r.public6).Unmap()
	}
	if !e.Inside.IsValid() || !e.Outside.IsValid() || r.told(protocol) && r.protocol > 255 {
		return Incomplete
	}
	if r.told(protocol) {
		e.Protocol = uint8(r.protocol)
	}
	if v := r.ports(e); v != "" {
		return v
	}
	if r.whenIs != skipped {
		e.At = instant(r.whenIs, r.when)
	}
	switch {
	case !contains(filter.Inside, e.Inside):
		return NotInside
	case !contains(filter.Outside, e.Outside):
		return NotOutside
	}
	return Used
}

// ports makes out the ports: one of a flow, a range of a block, whose end may be
// told as a number of ports (RFC 8158 §5.6.12).
func (r *record) ports(e *Event) Verdict {
	start, end := r.port, r.port
	if !e.Flow {
		start, end = r.start, r.end
		switch {
		case r.told(portStep) && r.step > 1:
			return Stepped
		case !r.told(portStart), !r.told(portEnd) && (!r.told(portCount) || r.count == 0):
			return Incomplete
		case !r.told(portEnd):
			end = start + r.count - 1
		}
	} else if !r.told(outsidePort) {
		return Incomplete
	}
	if start > end || end > 0xffff {
		return Incomplete
	}
	e.PortStart, e.PortEnd = uint16(start), uint16(end)
	return ""
}

// instant reads a time as RFC 7011 §6.1.7 to §6.1.10 have it.
func instant(is element, n uint64) time.Time {
	const ntpEpoch = 2208988800 // seconds from 1900 to 1970
	switch is {
	case eventSeconds:
		return time.Unix(int64(uint32(n)), 0).UTC()
	case eventMilliseconds:
		return time.UnixMilli(int64(n & (1<<52 - 1))).UTC()
	}
	fraction := n & 0xffffffff
	return time.Unix(int64(n>>32)-ntpEpoch, int64(fraction*1e9>>32)).UTC()
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Observation returns what the event means for the collector, of the exporter of
// that name and in an observation domain. at is when it happened.
func (e *Event) Observation(exporter string, domain uint32, at time.Time, c schema.Certainty) binding.Observation {
	source := schema.SourceIPFIX
	if e.Flow {
		source = schema.SourceConntrack
	}
	var key []byte
	key = append(append(key, exporter...), '|')
	key = append(strconv.AppendUint(key, uint64(domain), 10), '|')
	key = append(e.Inside.AppendTo(key), '|')
	key = append(e.Outside.AppendTo(key), '|')
	key = append(strconv.AppendUint(key, uint64(e.PortStart), 10), '-')
	key = append(strconv.AppendUint(key, uint64(e.PortEnd), 10), '/')
	key = strconv.AppendUint(key, uint64(e.Protocol), 10)
	return binding.Observation{
		At: at, Kind: binding.Translation, Source: source, Certainty: c, SessionKey: string(key), NAS: exporter,
		Blocks: []binding.PortBlock{{Outside: e.Outside, Protocol: e.Protocol, PortStart: e.PortStart, PortEnd: e.PortEnd, Released: e.Released, Inside: e.Inside}},
	}
}
