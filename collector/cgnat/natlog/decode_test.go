package natlog

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixed is the message of RFC 8158's port block events as octets, counted by hand:
// a template of six elements, and one block of 2048 ports assigned.
const fixed = "000a0058" + "6a0000c0" + "00000000" + "00000001" + // version 10, 88 octets, export time, sequence 0, domain 1
	"00020020" + "01000006" + "01430008" + "00e60001" + "00080004" + "00e10004" + "01690002" + "016a0002" + // template 256
	"01000019" + "0000019abcdef012" + "10" + "6440000a" + "cb007107" + "0800" + "0fff" + // the record
	"0101000f" + "00000000000000000000" + "00" // a set of a template that is not known

func TestDecodeOctets(t *testing.T) {
	raw, err := hex.DecodeString(fixed)
	if err != nil {
		t.Fatal(err)
	}
	raw[3] = byte(len(raw))
	got := NewDecoder(testFilter).all(raw)
	want := Event{PortStart: 2048, PortEnd: 4095, Inside: netip.MustParseAddr("100.64.0.10"), Outside: netip.MustParseAddr("203.0.113.7"),
		At: time.UnixMilli(0x19abcdef012).UTC()}
	if len(got.events) != 1 || got.events[0] != want {
		t.Errorf("%+v, want %+v", got.events, want)
	}
	if !got.message.Untold || got.message.Domain != 1 || got.message.Verdict != "" {
		t.Errorf("%+v", got.message)
	}
}

func TestRecords(t *testing.T) {
	inside, other := "100.64.0.10", "100.64.0.11"
	drop := func(r []info, number uint16) []info {
		return slices.DeleteFunc(r, func(i info) bool { return i.number == number })
	}
	with := func(r []info, more ...info) []info { return append(r, more...) }
	const six = "2001:db8::10"
	for name, test := range map[string]struct {
		record []info
		want   string
	}{
		"block assigned":            {block(16, inside, 1024, 2047), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +0s"},
		"block taken back":          {block(17, inside, 1024, 2047), "used released 100.64.0.10 203.0.113.7 1024-2047/0 +0s"},
		"end as a number":           {with(drop(block(16, inside, 1024, 0), 362), ie16(364, 1024)), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +0s"},
		"step of one":               {with(block(16, inside, 1024, 2047), ie16(363, 1)), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +0s"},
		"ports apart":               {with(block(16, inside, 1024, 2047), ie16(363, 4), ie16(364, 256)), "stepped_ports"},
		"no end":                    {drop(block(16, inside, 1024, 2047), 362), "incomplete"},
		"end before start":          {block(16, inside, 2047, 1024), "incomplete"},
		"past the last port":        {with(drop(block(16, inside, 65000, 0), 362), ie16(364, 1024)), "incomplete"},
		"of one protocol":           {with(block(16, inside, 1024, 2047), ie(4, 6)), "used given 100.64.0.10 203.0.113.7 1024-2047/6 +0s"},
		"no outside":                {drop(block(16, inside, 1024, 2047), 225), "incomplete"},
		"no event":                  {drop(block(16, inside, 1024, 2047), 230), "incomplete"},
		"not a subscriber":          {block(16, "198.51.100.5", 1024, 2047), "not_inside"},
		"another pool":              {append(drop(block(16, inside, 1024, 2047), 225), ieAddress(225, "198.51.100.5")), "not_outside"},
		"another realm":             {with(block(16, inside, 1024, 2047), ie32(234, 7)), "other_realm"},
		"this realm":                {with(block(16, inside, 1024, 2047), ie32(234, 0)), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +0s"},
		"no time":                   {drop(block(16, inside, 1024, 2047), 323), "used given 100.64.0.10 203.0.113.7 1024-2047/0 untimed"},
		"seconds":                   {with(drop(block(16, inside, 1024, 2047), 323), ie32(322, uint32(noon.Unix()+3))), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +3s"},
		"nanoseconds":               {with(drop(block(16, inside, 1024, 2047), 323), ie64(325, uint64(noon.Unix()+2208988800)<<32|1<<31)), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +500ms"},
		"microseconds":              {with(drop(block(16, inside, 1024, 2047), 323), ie64(324, uint64(noon.Unix()+2208988800)<<32|1<<30)), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +250ms"},
		"session":                   {session(4, inside, 3000, "198.51.100.5", 443), "used given flow 100.64.0.10 203.0.113.7 3000-3000/17 +0s"},
		"session ends":              {session(5, other, 3000, "198.51.100.5", 443), "used released flow 100.64.0.11 203.0.113.7 3000-3000/17 +0s"},
		"session as before the RFC": {session(1, inside, 3000, "198.51.100.5", 443), "used given flow 100.64.0.10 203.0.113.7 3000-3000/17 +0s"},
		"session without port":      {drop(session(4, inside, 3000, "198.51.100.5", 443), 227), "incomplete"},
		"mapping":                   {with(block(8, inside, 0, 0), ie16(227, 3000), ie(4, 6)), "used given flow 100.64.0.10 203.0.113.7 3000-3000/6 +0s"},
		"NAT64":                     {with(drop(block(6, inside, 0, 0), 8), ieAddress(27, six), ie16(227, 3000)), "used given flow 2001:db8::10 203.0.113.7 3000-3000/0 +0s"},
		"from outside":              {session(4, "198.51.100.5", 3000, inside, 443), "not_inside"},
		"quota":                     {block(13, inside, 0, 0), "other_event"},
		"short numbers":             {[]info{ie(230, 16), ieAddress(8, inside), ieAddress(225, "203.0.113.7"), ie(361, 9), ie(362, 0, 0, 0, 200)}, "used given 100.64.0.10 203.0.113.7 9-200/0 untimed"},
		"address of five octets":    {[]info{ie(230, 16), ie(8, 1, 2, 3, 4, 5), ieAddress(225, "203.0.113.7"), ie16(361, 9), ie16(362, 9)}, "bad_value"},
		"far end of any length":     {with(block(16, inside, 1024, 2047), variable(ie(12, make([]byte, 300)...)), variable(ie(226, 1, 2))), "used given 100.64.0.10 203.0.113.7 1024-2047/0 +0s"},
	} {
		d := NewDecoder(testFilter)
		r := d.all(message(ipfix, 0, 1, templateSet(ipfix, 300, test.record), dataSet(300, test.record)))
		var out []string
		for _, v := range r.verdicts {
			out = append(out, string(v))
		}
		if r.message.Verdict != "" {
			out = append(out, string(r.message.Verdict))
		}
		for _, e := range r.events {
			out = append(out, show(e))
		}
		if got := strings.Join(out, " "); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

func show(e Event) string {
	s := "given"
	if e.Released {
		s = "released"
	}
	if e.Flow {
		s += " flow"
	}
	when := "untimed"
	if !e.At.IsZero() {
		when = "+" + e.At.Sub(noon).String()
	}
	return fmt.Sprintf("%s %v %v %d-%d/%d %s", s, e.Inside, e.Outside, e.PortStart, e.PortEnd, e.Protocol, when)
}

// TestNetFlow9 is the same in the other version, whose templates have neither
// vendors' elements nor variable lengths, and whose messages are numbered.
func TestNetFlow9(t *testing.T) {
	d := NewDecoder(testFilter)
	r := block(16, "100.64.0.10", 1024, 2047)
	first := d.all(message(netflow9, 7, 1, templateSet(netflow9, 256, r)))
	second := d.all(message(netflow9, 8, 1, dataSet(256, r, r)))
	if len(second.events) != 2 || !first.message.Whole() || !second.message.Whole() {
		t.Errorf("%+v %+v", first, second)
	}
	if m := d.all(message(netflow9, 11, 1, dataSet(256, r))).message; m.Lost != 2 {
		t.Errorf("%+v, want 2 lost", m)
	}
	if m := d.all(message(netflow9, 8, 1, dataSet(256, r, r))); m.message.Verdict != Duplicate || len(m.events) > 0 {
		t.Errorf("%+v, want a duplicate", m)
	}
}

// TestSequence follows the numbers of IPFIX messages, which count records.
func TestSequence(t *testing.T) {
	r := block(16, "100.64.0.10", 1024, 2047)
	tmpl, two := templateSet(ipfix, 256, r), dataSet(256, r, r)
	quiet := templateSet(ipfix, 512, r)
	type step struct {
		sequence uint32
		sets     []set
		want     string // lost, restarted, untold, verdict, events
		after    int    // seconds
	}
	for name, steps := range map[string][]step{
		"in order":          {{0, []set{tmpl, two}, "0 false false  2", 0}, {2, []set{quiet}, "0 false false  0", 0}, {2, []set{two}, "0 false false  2", 0}, {4, []set{two}, "0 false false  2", 0}},
		"begins anywhere":   {{99, []set{tmpl, two}, "0 false false  2", 0}, {101, []set{two}, "0 false false  2", 0}},
		"wraps":             {{0xffffffff, []set{tmpl, two}, "0 false false  2", 0}, {1, []set{two}, "0 false false  2", 0}},
		"lost":              {{0, []set{tmpl, two}, "0 false false  2", 0}, {12, []set{two}, "10 false false  2", 0}, {14, []set{two}, "0 false false  2", 0}},
		"late":              {{0, []set{tmpl, two}, "0 false false  2", 0}, {4, []set{two}, "2 false false  2", 0}, {2, []set{two}, "0 false false  2", 0}, {6, []set{two}, "0 false false  2", 0}},
		"twice":             {{0, []set{tmpl, two}, "0 false false  2", 0}, {0, []set{tmpl, two}, "0 false false duplicate 0", 0}, {2, []set{two}, "0 false false  2", 0}, {2, []set{two}, "0 false false duplicate 0", 0}},
		"exporter restarts": {{900000, []set{tmpl, two}, "0 false false  2", 0}, {0, []set{tmpl, two}, "0 true false  2", 0}, {2, []set{two}, "0 false false  2", 0}},
		"restarts soon":     {{0, []set{tmpl, two}, "0 false false  2", 0}, {2, []set{two}, "0 false false  2", 0}, {0, []set{tmpl, two}, "0 true false  2", 5}, {2, []set{two}, "0 false false  2", 5}},
		"template unknown":  {{0, []set{two}, "0 false true  0", 0}, {2, []set{tmpl}, "0 false false  0", 0}, {2, []set{two}, "0 false false  2", 0}},
		"options count":     {{0, []set{optionsTemplate(), {400, make([]byte, 12)}, tmpl, two}, "0 false false  2", 0}, {5, []set{two}, "0 false false  2", 0}},
		"cut":               {{0, []set{tmpl, {256, []byte{1}}}, "0 false false  0", 0}, {0, []set{{256, nil}}, "0 false false  0", 0}},
	} {
		d := NewDecoder(testFilter)
		for i, s := range steps {
			got := d.all(messageAt(noon.Add(time.Duration(s.after)*time.Second), ipfix, s.sequence, 1, s.sets...))
			m := got.message
			if text := fmt.Sprintf("%d %v %v %s %d", m.Lost, m.Restarted, m.Untold, m.Verdict, len(got.events)); text != s.want {
				t.Errorf("%s, step %d: %s, want %s", name, i, text, s.want)
			}
		}
	}
}

// optionsTemplate is one whose records have 4 octets of scope and no more.
func optionsTemplate() set {
	return set{3, []byte{400 >> 8, 400 & 0xff, 0, 1, 0, 1, 0, 144, 0, 4}}
}

// TestDomains: templates belong to one exporter, version and domain.
func TestDomains(t *testing.T) {
	r := block(16, "100.64.0.10", 1024, 2047)
	d := NewDecoder(testFilter)
	d.all(message(ipfix, 0, 1, templateSet(ipfix, 256, r)))
	none := func(Verdict) {}
	use := func(*Event) { t.Error("used") }
	for _, m := range []Message{
		d.Decode(exporter, 0, message(ipfix, 0, 2, dataSet(256, r)), use, none),
		d.Decode(netip.MustParseAddr("192.0.2.8"), 0, message(ipfix, 0, 1, dataSet(256, r)), use, none),
		d.Decode(exporter, 0, message(netflow9, 0, 1, dataSet(256, r)), use, none),
	} {
		if !m.Untold {
			t.Errorf("%+v", m)
		}
	}
	if m := d.Decode(netip.MustParseAddr("::ffff:192.0.2.9"), 0, message(ipfix, 0, 1, dataSet(256, r)), func(*Event) {}, none); !m.Whole() {
		t.Errorf("the same exporter on a v6 socket: %+v", m)
	}
}

func TestLimits(t *testing.T) {
	r := block(16, "100.64.0.10", 1024, 2047)
	d := NewDecoder(testFilter)
	for i := range MaxTemplates {
		if m := d.all(message(ipfix, 0, 1, templateSet(ipfix, uint16(256+i), r))).message; m.Verdict != "" {
			t.Fatalf("template %d: %s", i, m.Verdict)
		}
	}
	if m := d.all(message(ipfix, 0, 1, templateSet(ipfix, 9999, r))).message; m.Verdict != TemplateLimit {
		t.Errorf("one template too many: %+v", m)
	}
	if m := d.all(message(ipfix, 0, 1, templateSet(ipfix, 256, r[:5]))).message; m.Verdict != "" {
		t.Errorf("redefined: %+v", m)
	}
	for i := range MaxDomains {
		d.all(message(ipfix, 0, uint32(i)))
	}
	if m := d.all(message(ipfix, 0, 99999)).message; m.Verdict != DomainLimit {
		t.Errorf("one domain too many: %+v", m)
	}
	wide := slices.Repeat([]info{ie(200, 1)}, maxFields+1)
	for name, test := range map[string]struct {
		raw  []byte
		want Verdict
	}{
		"too many fields":       {message(ipfix, 0, 1, templateSet(ipfix, 256, wide)), TemplateLimit},
		"records of no length":  {message(ipfix, 0, 1, templateSet(ipfix, 256, []info{ie(200)})), Malformed},
		"template id of a set":  {message(ipfix, 0, 1, templateSet(ipfix, 3, r)), Malformed},
		"template cut":          {message(ipfix, 0, 1, set{2, []byte{1, 0, 0, 2, 0, 8, 0, 4}}), Malformed},
		"set longer than told":  {message(ipfix, 0, 1, set{2, nil})[:ipfixHeader+4], ""},
		"set of three octets":   {append(message(ipfix, 0, 1)[:2], 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 3), Malformed},
		"longer than it is":     {append(message(ipfix, 0, 1)[:2], 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), Malformed},
		"sFlow":                 {[]byte{0, 0, 0, 5, 0, 0, 0, 1}, OtherVersion},
		"nothing":               {nil, Malformed},
		"header cut":            {[]byte{0, 10, 0, 16}, Malformed},
		"options template of 3": {message(ipfix, 0, 1, set{3, []byte{0, 3, 0, 1, 0, 1, 0, 144, 0, 4}}), Malformed},
	} {
		if m := NewDecoder(testFilter).all(test.raw).message; m.Verdict != test.want {
			t.Errorf("%s: %+v, want %q", name, m, test.want)
		}
	}
}

// TestFarSideStaysBehind fills every element that could carry a far end with a
// canary. Nothing that comes out, nor anything that the decoder keeps, has it.
func TestFarSideStaysBehind(t *testing.T) {
	const far, farPort = "222.173.190.239", 0xcafe
	d := NewDecoder(testFilter)
	sequence := uint32(0)
	for _, event := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17} {
		for _, inside := range []string{"100.64.0.10", far} {
			r := session(event, inside, 3000, far, farPort)
			r = append(r, ie16(361, 1024), ie16(362, 2047), ie(28, make([]byte, 16)...), ie(282, []byte("\xde\xad\xbe\xef\xde\xad\xbe\xef\xde\xad\xbe\xef\xde\xad\xbe\xef")...))
			got := d.all(message(ipfix, sequence, 1, templateSet(ipfix, 256, r), dataSet(256, r)))
			sequence++
			for _, e := range got.events {
				o := e.Observation("cgn1", 1, noon, "observed")
				for _, out := range []string{fmt.Sprintf("%+v %#v %v", e, e, got), fmt.Sprintf("%+v", o)} {
					for _, canary := range []string{far, "deadbeef", "51966", "cafe", "222 173", "0xde"} {
						if strings.Contains(out, canary) {
							t.Fatalf("event %d shows the far side: %s", event, out)
						}
					}
				}
			}
			if kept := fmt.Sprintf("%v %v", d.record, d.event); strings.Contains(kept, "222 173 190 239") || strings.Contains(kept, fmt.Sprint(farPort)) {
				t.Fatalf("event %d: the decoder keeps the far side: %s", event, kept)
			}
			if inside != far {
				continue
			}
			// A far end in the place of the source is refused, and not kept.
			if len(got.events) > 0 {
				t.Fatalf("event %d of a far end was used", event)
			}
		}
	}
	for number, what := range elements {
		if slices.Contains([]uint16{11, 12, 28, 45, 226, 228, 282}, number) {
			t.Errorf("element %d is read, as %d", number, what)
		}
	}
	if n := reflect.TypeFor[Event]().NumField(); n != 8 {
		t.Errorf("an event has %d fields; look whether one is for the far side", n)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d := NewDecoder(testFilter)
	r := session(4, "100.64.0.10", 3000, "198.51.100.5", 443)
	d.all(message(ipfix, 0, 1, templateSet(ipfix, 256, r)))
	raw := message(ipfix, 0, 1, dataSet(256, r, r, r))
	events := 0
	use, count := func(*Event) { events++ }, func(Verdict) {}
	in := d.domains[domainKey{exporter, ipfix, 1}]
	if n := testing.AllocsPerRun(100, func() {
		in.inOrder, in.seen = false, 0 // or it would be a duplicate
		d.Decode(exporter, 0, raw, use, count)
	}); n != 0 || events != 3*101 {
		t.Errorf("%v allocations, %d events", n, events)
	}
}
