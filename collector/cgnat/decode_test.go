package cgnat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"pgregory.net/rapid"
)

// flow is a conntrack entry as the kernel would tell of it, far side included.
type flow struct {
	kind                EventKind
	inside, far, public netip.Addr
	protocol            uint8
	insidePort, farPort uint16
	port                uint16
	id                  uint32
	zone                uint16
	zoneInTuple         bool
	at, started, ended  int64
}

func tuple(source, destination netip.Addr, protocol uint8, sourcePort, destinationPort uint16, zone []netlink.Attribute) []byte {
	v4, v6 := source.AsSlice(), source.AsSlice()
	d4, d6 := destination.AsSlice(), destination.AsSlice()
	ip := []netlink.Attribute{{Type: 1, Data: v4}, {Type: 2, Data: d4}}
	if source.Is6() {
		ip = []netlink.Attribute{{Type: 3, Data: v6}, {Type: 4, Data: d6}}
	}
	be := func(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
	proto := []netlink.Attribute{{Type: 1, Data: []byte{protocol}}}
	switch protocol {
	case 1:
		proto = append(proto, netlink.Attribute{Type: 4, Data: be(destinationPort)}, netlink.Attribute{Type: 5, Data: []byte{8}}, netlink.Attribute{Type: 6, Data: []byte{0}})
	case 6, 17:
		proto = append(proto, netlink.Attribute{Type: 2, Data: be(sourcePort)}, netlink.Attribute{Type: 3, Data: be(destinationPort)})
	}
	return nest(append([]netlink.Attribute{{Type: 1 | 0x8000, Data: nest(ip)}, {Type: 2 | 0x8000, Data: nest(proto)}}, zone...))
}

func nest(attributes []netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		panic(err)
	}
	return b
}

// netlink returns the message, in the order and with the other attributes that
// the kernel sends.
func (f flow) netlink() netlink.Message {
	id := binary.BigEndian.AppendUint32(nil, f.id)
	var inTuple, top []netlink.Attribute
	if f.zone != 0 {
		zone := []netlink.Attribute{{Type: 3, Data: binary.BigEndian.AppendUint16(nil, f.zone)}}
		if f.zoneInTuple {
			inTuple = zone
		} else {
			top = []netlink.Attribute{{Type: 18, Data: zone[0].Data}}
		}
	}
	be64 := func(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }
	counter := nest([]netlink.Attribute{{Type: 1, Data: be64(3)}, {Type: 2, Data: be64(384)}})
	attributes := []netlink.Attribute{
		{Type: 1 | 0x8000, Data: tuple(f.inside, f.far, f.protocol, f.insidePort, f.farPort, inTuple)},
		{Type: 2 | 0x8000, Data: tuple(f.far, f.public, f.protocol, f.farPort, f.port, nil)},
		{Type: 12, Data: id}, {Type: 3, Data: []byte{0, 0, 1, 0x9a}}, {Type: 7, Data: []byte{0, 0, 0, 30}},
	}
	attributes = append(attributes, top...)
	if f.kind == Destroy {
		attributes = append(attributes, netlink.Attribute{Type: 9 | 0x8000, Data: counter}, netlink.Attribute{Type: 10 | 0x8000, Data: counter})
	}
	if f.started != 0 {
		ts := []netlink.Attribute{{Type: 1, Data: be64(f.started)}}
		if f.ended != 0 {
			ts = append(ts, netlink.Attribute{Type: 2, Data: be64(f.ended)})
		}
		attributes = append(attributes, netlink.Attribute{Type: 20 | 0x8000, Data: nest(ts)})
	}
	if f.at != 0 {
		attributes = append(attributes, netlink.Attribute{Type: 27, Data: be64(f.at)})
	}
	family := byte(2)
	if f.inside.Is6() {
		family = 10
	}
	m := netlink.Message{Data: append([]byte{family, 0, 0, 0}, nest(attributes)...)}
	m.Header.Type, m.Header.Flags = typeNew, netlink.HeaderFlags(flagCreate|0x200)
	switch f.kind {
	case Destroy:
		m.Header.Type, m.Header.Flags = typeDelete, 0
	case Seen:
		m.Header.Flags = flagMulti
	}
	m.Header.Length = uint32(16 + (len(m.Data)+3)&^3)
	return m
}

func (f flow) message() []byte { return marshal(f.netlink()) }

func marshal(m netlink.Message) []byte {
	b, err := m.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

var testFilter = Filter{Inside: prefixes("100.64.0.0/10", "fd00::/8"), Outside: prefixes("203.0.113.0/24", "2001:db8:f::/48")}

func testFlow() flow {
	return flow{kind: New, inside: netip.MustParseAddr("100.64.0.10"), far: netip.MustParseAddr("198.51.100.2"),
		public: netip.MustParseAddr("203.0.113.100"), protocol: 17, insidePort: 43890, farPort: 9999, port: 1507, id: 0xa1b2c3d4}
}

func TestDecode(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*flow)
		want   Verdict
	}{
		"udp":        {func(*flow) {}, Used},
		"tcp":        {func(f *flow) { f.protocol = 6 }, Used},
		"icmp":       {func(f *flow) { f.protocol = 1 }, Used},
		"destroy":    {func(f *flow) { f.kind, f.started, f.ended = Destroy, 1e18, 1e18+5 }, Used},
		"dump":       {func(f *flow) { f.kind, f.started = Seen, 1e18 }, Used},
		"event time": {func(f *flow) { f.at = 1e18 }, Used},
		"ipv6": {func(f *flow) {
			f.inside, f.far, f.public = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:f::1")
		}, Used},
		"not translated": {func(f *flow) { f.public = f.inside }, Untranslated},
		"no ports":       {func(f *flow) { f.protocol = 50 }, Untranslated},
		"from outside":   {func(f *flow) { f.inside, f.far = f.far, f.inside }, NotInside},
		"other pool":     {func(f *flow) { f.public = netip.MustParseAddr("192.0.2.1") }, NotOutside},
		"zone":           {func(f *flow) { f.zone = 7 }, OtherZone},
		"zone in tuple":  {func(f *flow) { f.zone, f.zoneInTuple = 7, true }, OtherZone},
	} {
		f := testFlow()
		test.change(&f)
		var e Event
		v := testFilter.Decode(f.message(), &e)
		want := Event{Kind: f.kind, Protocol: f.protocol, Port: f.port, ID: f.id, Inside: f.inside, Outside: f.public, At: f.at, StartedAt: f.started, StoppedAt: f.ended}
		if test.want != Used {
			want = Event{}
		}
		if v != test.want || e != want {
			t.Errorf("%s: %s %+v, want %s %+v", name, v, e, test.want, want)
		}
	}
	f := testFlow()
	f.zone = 7
	seven := testFilter
	seven.Zone = 7
	var e Event
	if v := seven.Decode(f.message(), &e); v != Used {
		t.Errorf("the collector's own zone: %s", v)
	}
	update := f.netlink()
	update.Header.Flags = 0
	if v := testFilter.Decode(marshal(update), &e); v != Irrelevant {
		t.Errorf("update: %s", v)
	}
}

// Every cut of a message is refused, or tells the same without reading further.
func TestDecodeCut(t *testing.T) {
	f := testFlow()
	f.kind, f.started, f.ended = Destroy, 1e18, 1e18+1
	message := f.message()
	for n := range message {
		var e Event
		if v := testFilter.Decode(message[:n], &e); v == Used && e.Port != f.port {
			t.Errorf("cut to %d bytes: %+v", n, e)
		}
	}
}

// The far side is filled with a canary in every attribute that could carry it.
// Nothing that comes out has it: not the event, not a refused event, not the
// event's memory, not the table, not its records.
func TestFarSideStaysBehind(t *testing.T) {
	canary := []byte{0xde, 0xad, 0xbe, 0xef}
	far := netip.AddrFrom4([4]byte(canary))
	look := func(where string, out string, raw []byte) {
		t.Helper()
		for _, s := range []string{"222.173.190.239", "deadbeef", "DEADBEEF", "51966", "cafe", "222 173 190 239", "202 254"} {
			if bytes.Contains([]byte(out), []byte(s)) {
				t.Errorf("%s shows the far side: %s", where, out)
			}
		}
		for _, c := range [][]byte{canary, {0xef, 0xbe, 0xad, 0xde}, {0xca, 0xfe, 0xca, 0xfe}} {
			if bytes.Contains(raw, c) {
				t.Errorf("%s holds the far side", where)
			}
		}
	}
	table := newTestTable(t, TableConfig{})
	for _, kind := range []EventKind{New, Seen, Destroy} {
		for _, protocol := range []uint8{1, 6, 17, 50} {
			for i, change := range []func(*flow){
				func(*flow) {}, func(f *flow) { f.zone = 3 },
				func(f *flow) { f.inside, f.far = f.far, f.inside }, // came from outside: the source is the far side
				func(f *flow) { f.public = f.far },
			} {
				f := testFlow()
				f.kind, f.protocol, f.far, f.farPort, f.id = kind, protocol, far, 0xcafe, uint32(i)
				change(&f)
				var e Event
				v := testFilter.Decode(f.message(), &e)
				memory := fmt.Appendf(nil, "%v", e)
				memory = append(memory, e.Inside.AsSlice()...)
				memory = append(memory, e.Outside.AsSlice()...)
				memory = binary.BigEndian.AppendUint16(memory, e.Port)
				look("event", fmt.Sprintf("%s %+v %#v", v, e, e), memory)
				if v == Used {
					table.Apply(&e, time.Unix(1e9, 0))
				}
			}
		}
	}
	look("table", fmt.Sprintf("%+v", table), nil)
	records := table.Records(time.Unix(1e9+3600, 0), true)
	if len(records) == 0 {
		t.Fatal("no records to look at")
	}
	for _, r := range records {
		look("record", fmt.Sprintf("%+v", r), nil)
	}
	// The event has no field that could hold it.
	if n := reflect.TypeFor[Event]().NumField(); n != 9 {
		t.Errorf("an event has %d fields; look whether one is for the far side", n)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	message := testFlow().message()
	var e Event
	if n := testing.AllocsPerRun(1000, func() { testFilter.Decode(message, &e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// oracle decodes with ti-mo/conntrack and says what we should have read.
func oracle(t interface{ Fatalf(string, ...any) }, m netlink.Message) Event {
	if m.Header.Flags&flagMulti != 0 { // it takes dumps for updates
		m.Header.Flags |= flagCreate
	}
	var theirs conntrack.Event
	if err := theirs.Unmarshal(m); err != nil {
		t.Fatalf("oracle: %v", err)
	}
	f := theirs.Flow
	want := Event{Protocol: f.TupleReply.Proto.Protocol, Port: f.TupleReply.Proto.DestinationPort, ID: f.ID,
		Inside: f.TupleOrig.IP.SourceAddress, Outside: f.TupleReply.IP.DestinationAddress}
	if want.Protocol == 1 || want.Protocol == 58 {
		want.Port = f.TupleReply.Proto.ICMPID
	}
	if !f.Timestamp.Start.IsZero() {
		want.StartedAt = f.Timestamp.Start.UnixNano()
	}
	if !f.Timestamp.Stop.IsZero() {
		want.StoppedAt = f.Timestamp.Stop.UnixNano()
	}
	return want
}

func TestDecodeAgreesWithOracle(t *testing.T) {
	open := Filter{Inside: prefixes("0.0.0.0/0", "::/0"), Outside: prefixes("0.0.0.0/0", "::/0")}
	rapid.Check(t, func(t *rapid.T) {
		six := rapid.Bool().Draw(t, "six")
		draw := func(name string) netip.Addr {
			raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)
			if six {
				raw[0] = 0x20 // not v4-mapped
				return netip.AddrFrom16([16]byte(raw))
			}
			return netip.AddrFrom4([4]byte(raw))
		}
		f := flow{kind: rapid.SampledFrom([]EventKind{New, Destroy, Seen}).Draw(t, "kind"), inside: draw("inside"), far: draw("far"), public: draw("public"),
			protocol: rapid.SampledFrom([]uint8{1, 6, 17}).Draw(t, "protocol"), insidePort: rapid.Uint16().Draw(t, "port"),
			farPort: rapid.Uint16().Draw(t, "port"), port: rapid.Uint16().Draw(t, "port"), id: rapid.Uint32().Draw(t, "id")}
		if rapid.Bool().Draw(t, "timed") {
			f.started = rapid.Int64Range(1, 2e18).Draw(t, "started")
			if f.kind == Destroy {
				f.ended = rapid.Int64Range(1, 2e18).Draw(t, "ended")
			}
		}
		if f.inside == f.public {
			return
		}
		m := f.netlink()
		want := oracle(t, m)
		want.Kind = f.kind
		var e Event
		if v := open.Decode(marshal(m), &e); v != Used || e != want {
			t.Fatalf("%s %+v, oracle %+v", v, e, want)
		}
	})
}

func FuzzDecode(f *testing.F) {
	seed := testFlow()
	for _, kind := range []EventKind{New, Destroy, Seen} {
		seed.kind, seed.started, seed.ended = kind, 1e18, 1e18
		f.Add(seed.message())
	}
	seed.protocol, seed.zone = 1, 9
	f.Add(seed.message())
	f.Fuzz(func(t *testing.T, datagram []byte) {
		for rest := datagram; ; {
			message, after, ok := split(rest)
			if !ok {
				break
			}
			rest = after
			var e Event
			if v := testFilter.Decode(message, &e); v != Used && e != (Event{}) {
				t.Errorf("%s left %+v", v, e)
			} else if v == Used && (!contains(testFilter.Inside, e.Inside) || !contains(testFilter.Outside, e.Outside)) {
				t.Errorf("used %+v", e)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	f := testFlow()
	f.kind, f.started, f.ended = Destroy, 1e18, 1e18+1
	message := f.message()
	var e Event
	b.ReportAllocs()
	for b.Loop() {
		if testFilter.Decode(message, &e) != Used {
			b.Fatal("not used")
		}
	}
}

func BenchmarkOracle(b *testing.B) {
	f := testFlow()
	f.kind, f.started, f.ended = Destroy, 1e18, 1e18+1
	m := f.netlink()
	b.ReportAllocs()
	for b.Loop() {
		var e conntrack.Event
		if err := e.Unmarshal(m); err != nil {
			b.Fatal(err)
		}
	}
}
