package radius

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"griffier/collector/binding"
	"griffier/schema"
)

func vendor(number uint32, tlvs ...[]byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, number), slices.Concat(tlvs...)...)
}

func huawei(tlvs ...[]byte) []byte { return vendor(2011, tlvs...) }
func nokia(text string) []byte     { return vendor(6527, tlv(121, []byte(text)...)) }

func number(kind byte, n uint32) []byte { return tlv(kind, binary.BigEndian.AppendUint32(nil, n)...) }

func TestVendorPorts(t *testing.T) {
	outside := tlv(161, 203, 0, 113, 7)
	block := func(start, end uint16) binding.PortBlock {
		return binding.PortBlock{Outside: netip.MustParseAddr("203.0.113.7"), PortStart: start, PortEnd: end}
	}
	gone := block(1024, 2047)
	gone.Released = true
	for _, test := range []struct {
		name       string
		attributes [][]byte // Vendor-Specific
		want       []binding.PortBlock
		bad        bool
	}{
		{"Huawei", [][]byte{huawei(outside), huawei(number(162, 1024)), huawei(number(163, 2047))}, []binding.PortBlock{block(1024, 2047)}, false},
		{"Huawei, all in one attribute", [][]byte{huawei(number(163, 2047), number(162, 1024), tlv(160, 'p'), outside)}, []binding.PortBlock{block(1024, 2047)}, false},
		{"Huawei, two blocks", [][]byte{huawei(outside, number(162, 1024), number(163, 2047), number(162, 4096), number(163, 5119))}, []binding.PortBlock{block(1024, 2047), block(4096, 5119)}, false},
		{"Huawei, added", [][]byte{huawei(outside, number(162, 1024), number(163, 2047), number(165, 0))}, []binding.PortBlock{block(1024, 2047)}, false},
		{"Huawei, deleted", [][]byte{huawei(outside, number(162, 1024), number(163, 2047), number(165, 1))}, []binding.PortBlock{gone}, false},
		{"Huawei, changed", [][]byte{huawei(outside, number(162, 1024), number(163, 2047), number(165, 3))}, []binding.PortBlock{block(1024, 2047)}, false},
		{"Huawei, an update nobody knows", [][]byte{huawei(outside, number(162, 1024), number(163, 2047), number(165, 2))}, nil, true},
		{"Huawei, an address of its own", [][]byte{huawei(outside)}, nil, false},
		{"Huawei, no address", [][]byte{huawei(number(162, 1024), number(163, 2047))}, nil, true},
		{"Huawei, no address yet", [][]byte{huawei(tlv(161, 0, 0, 0, 0), number(162, 1024), number(163, 2047))}, nil, true},
		{"Huawei, no end", [][]byte{huawei(outside, number(162, 1024))}, nil, true},
		{"Huawei, end before start", [][]byte{huawei(outside, number(162, 2047), number(163, 1024))}, nil, true},
		{"Huawei, port 65536", [][]byte{huawei(outside, number(162, 1024), number(163, 65536))}, nil, true},
		{"Huawei, one of two blocks impossible", [][]byte{huawei(outside, number(162, 1024), number(163, 2047), number(162, 9), number(163, 8))}, nil, true},
		{"Huawei, start of two octets", [][]byte{huawei(outside, tlv(162, 4, 0), number(163, 2047))}, nil, true},
		{"Huawei, other attributes alone", [][]byte{huawei(number(26, 1), tlv(160, 'p'))}, nil, false},
		{"Nokia", [][]byte{nokia("203.0.113.7 1024-2047 router base")}, []binding.PortBlock{block(1024, 2047)}, false},
		{"Nokia, two ranges", [][]byte{nokia("203.0.113.7 1024-2047,4096-5119 vprn 100")}, []binding.PortBlock{block(1024, 2047), block(4096, 5119)}, false},
		{"Nokia, two attributes", [][]byte{nokia("203.0.113.7 1024-2047 router base"), nokia("203.0.113.7 4096-5119 router base")}, []binding.PortBlock{block(1024, 2047), block(4096, 5119)}, false},
		{"Nokia, one of two attributes impossible", [][]byte{nokia("203.0.113.7 4096-5119,9-8 router base"), nokia("203.0.113.7 1024-2047 router base")}, []binding.PortBlock{block(1024, 2047)}, true},
		{"Nokia, no instance", [][]byte{nokia("203.0.113.7 1024-2047")}, nil, true},
		{"Nokia, no range", [][]byte{nokia("203.0.113.7")}, nil, true},
		{"Nokia, one port", [][]byte{nokia("203.0.113.7 1024 router base")}, nil, true},
		{"Nokia, port 65536", [][]byte{nokia("203.0.113.7 1024-65536 router base")}, nil, true},
		{"Nokia, a sign", [][]byte{nokia("203.0.113.7 +1024-2047 router base")}, nil, true},
		{"Nokia, IPv6", [][]byte{nokia("2001:db8::1 1024-2047 router base")}, nil, true},
		{"Nokia, no address yet", [][]byte{nokia("0.0.0.0 1024-2047 router base")}, nil, true},
		{"Nokia, empty", [][]byte{nokia("")}, nil, true},
		{"Nokia, other attributes alone", [][]byte{vendor(6527, tlv(11, 's'))}, nil, false},
		{"a length past the end", [][]byte{vendor(6527, []byte{121, 9, '2'})}, nil, false},
		{"both vendors", [][]byte{nokia("203.0.113.7 4096-5119 router base"), huawei(outside, number(162, 1024), number(163, 2047))}, []binding.PortBlock{block(1024, 2047), block(4096, 5119)}, false},
		{"another vendor's numbers", [][]byte{vendor(9, outside, number(162, 1024), number(163, 2047)), vendor(9, tlv(121, []byte("203.0.113.7 1024-2047 router base")...))}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := Decode(encode(t, secret, StatusInterim, func(p *layeh.Packet) {
				session42(p)
				for _, x := range test.attributes {
					p.Add(rfc2865.VendorSpecific_Type, x)
				}
			}), secret)
			if err != nil || !slices.Equal(a.Blocks, test.want) || a.BadPorts != test.bad {
				t.Errorf("%+v, bad %v, %v; want %+v", a.Blocks, a.BadPorts, err, test.want)
			}
			if r := NewTracker(TrackerConfig{}).Apply(a, netip.MustParseAddr("192.0.2.1"), at(0)); (r.Reason == ReasonPorts) != test.bad || len(r.Observations) != 1 || !slices.Equal(r.Observations[0].Blocks, test.want) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestVendorPortsFromRadclient: FreeRADIUS's own client writes the attributes as its
// dictionaries have them.
func TestVendorPortsFromRadclient(t *testing.T) {
	for text, want := range map[string]binding.PortBlock{
		"Huawei-NAT-Public-Address = 203.0.113.7, Huawei-NAT-Start-Port = 1024, Huawei-NAT-End-Port = 2047, Huawei-NAT-Port-Range-Update = 1": {
			Outside: netip.MustParseAddr("203.0.113.7"), PortStart: 1024, PortEnd: 2047, Released: true},
		`Alc-Nat-Port-Range = "203.0.113.7 1024-2047 router base"`: {Outside: netip.MustParseAddr("203.0.113.7"), PortStart: 1024, PortEnd: 2047},
	} {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cmd := exec.CommandContext(t.Context(), "radclient", "-r", "1", "-t", "1", c.LocalAddr().String(), "acct", string(captureSecret))
		cmd.Stdin = strings.NewReader(`User-Name = "alice", Acct-Session-Id = "s1", Acct-Status-Type = Start, NAS-Identifier = "bng", ` + text + "\n")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait() // it fails, for it gets no answer
		datagram := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(patience))
		n, _, err := c.ReadFrom(datagram)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Decode(datagram[:n], captureSecret)
		if err != nil || a.BadPorts || !slices.Equal(a.Blocks, []binding.PortBlock{want}) {
			t.Errorf("%s: %+v, %v", text, a.Blocks, err)
		}
	}
}

// TestNokiaPartStop: a Stop that takes back one block of several is not the end of
// the session that all of them share.
func TestNokiaPartStop(t *testing.T) {
	for name, test := range map[string]struct {
		cause uint32
		multi string
		ports bool
		want  binding.ObservationKind
	}{
		"a block that is not the last":          {12, "", true, binding.Refresh},
		"the last block":                        {18, "", true, binding.End},
		"a block with a session of its own":     {12, "m", true, binding.End},
		"no ports: a link of a bundle, perhaps": {12, "", false, binding.End},
	} {
		t.Run(name, func(t *testing.T) {
			tracker := NewTracker(TrackerConfig{})
			apply := func(status Status, seconds int, more func(*layeh.Packet)) Result {
				a, err := Decode(encode(t, secret, status, func(p *layeh.Packet) { session42(p); more(p) }), secret)
				if err != nil {
					t.Fatal(err)
				}
				return tracker.Apply(a, netip.MustParseAddr("192.0.2.1"), at(seconds))
			}
			ports := func(p *layeh.Packet) {
				p.Add(rfc2865.VendorSpecific_Type, nokia("203.0.113.7 1024-2047 router base"))
			}
			apply(StatusStart, 0, ports)
			r := apply(StatusStop, 5, func(p *layeh.Packet) {
				p.Add(49, binary.BigEndian.AppendUint32(nil, test.cause))
				if test.multi != "" {
					p.Add(50, layeh.Attribute(test.multi))
				}
				if test.ports {
					ports(p)
				}
			})
			if len(r.Observations) != 1 || r.Observations[0].Kind != test.want {
				t.Fatalf("%+v", r)
			}
			if b := r.Observations[0].Blocks; test.want == binding.Refresh && (len(b) != 1 || !b[0].Released) {
				t.Errorf("%+v", b)
			}
		})
	}
}

// TestNokiaTranslator: a translator that knows no subscribers keeps accounts of
// inside addresses. They say who has which ports, and make no session.
func TestNokiaTranslator(t *testing.T) {
	tracker := NewTracker(TrackerConfig{})
	outside := netip.MustParseAddr("203.0.113.7")
	for i, step := range []struct {
		name   string
		status Status
		user   string
		ports  string
		want   []binding.PortBlock
		reason Reason
	}{
		{"given", StatusStart, "LSN44@100.64.0.10", "203.0.113.7 1024-2047 router base", []binding.PortBlock{{Outside: outside, PortStart: 1024, PortEnd: 2047, Inside: netip.MustParseAddr("100.64.0.10")}}, ""},
		{"still", StatusInterim, "LSN44@100.64.0.10", "203.0.113.7 1024-2047,4096-5119 router base", []binding.PortBlock{
			{Outside: outside, PortStart: 1024, PortEnd: 2047, Inside: netip.MustParseAddr("100.64.0.10")}, {Outside: outside, PortStart: 4096, PortEnd: 5119, Inside: netip.MustParseAddr("100.64.0.10")}}, ""},
		{"taken back", StatusStop, "LSN44@100.64.0.10", "203.0.113.7 1024-2047 router base", []binding.PortBlock{{Outside: outside, PortStart: 1024, PortEnd: 2047, Released: true, Inside: netip.MustParseAddr("100.64.0.10")}}, ""},
		{"DS-Lite", StatusStart, "DS-lite@2001:db8::1", "203.0.113.7 1024-2047 router base", []binding.PortBlock{{Outside: outside, PortStart: 1024, PortEnd: 2047, Inside: netip.MustParseAddr("2001:db8::1")}}, ""},
		{"NAT64", StatusStart, "NAT64@2001:db8::1", "203.0.113.7 1024-2047 router base", []binding.PortBlock{{Outside: outside, PortStart: 1024, PortEnd: 2047, Inside: netip.MustParseAddr("2001:db8::1")}}, ""},
		{"no ports", StatusStop, "LSN44@100.64.0.10", "", nil, ReasonNoPorts},
	} {
		a, err := Decode(encode(t, secret, step.status, func(p *layeh.Packet) {
			p.Add(1, layeh.Attribute(step.user))
			p.Add(8, layeh.Attribute{100, 64, 0, 10})
			p.Add(32, layeh.Attribute("bng|1"))
			p.Add(44, layeh.Attribute("s1"))
			if step.ports != "" {
				p.Add(rfc2865.VendorSpecific_Type, nokia(step.ports))
			}
		}), secret)
		if err != nil {
			t.Fatal(err)
		}
		r := tracker.Apply(a, netip.MustParseAddr("192.0.2.1"), at(i))
		if r.Reason != step.reason || tracker.sessions != 0 || (len(r.Observations) == 1) != (step.want != nil) {
			t.Fatalf("%s: %+v, %d sessions", step.name, r, tracker.sessions)
		}
		for _, o := range r.Observations {
			if o.Kind != binding.Translation || o.Source != schema.SourceRADIUS || o.NAS != "bng|1" || o.SessionKey == "" || !o.At.Equal(at(i)) || !reflect.DeepEqual(o.Blocks, step.want) || o.Prefixes != nil {
				t.Errorf("%s: %+v", step.name, o)
			}
			if err := tracker.Redo(o); err != nil || tracker.sessions != 0 {
				t.Errorf("%s: redo: %v", step.name, err)
			}
		}
	}
}

// TestNokiaNames: an ordinary User-Name is no translator's.
func TestNokiaNames(t *testing.T) {
	for name, want := range map[string]string{
		"LSN44@192.0.2.1": "192.0.2.1", "lsn44@192.0.2.1": "192.0.2.1", "DS-Lite@2001:db8::1": "2001:db8::1",
		"LSN44@isp": "", "LSN44@": "", "LSN44": "", "alice@192.0.2.1": "", "": "", "NAT64@fe80::1%eth0": "",
	} {
		got := nokiaInside(name)
		if got.IsValid() != (want != "") || want != "" && got != netip.MustParseAddr(want) {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// TestOtherStatusTypes: tunnels, their links and failures are acknowledged and
// counted each by its type, and leave nothing behind.
func TestOtherStatusTypes(t *testing.T) {
	for status, want := range map[Status]Reason{
		9: "tunnel_start", 10: "tunnel_stop", 11: "tunnel_reject", 12: "tunnel_link_start", 13: "tunnel_link_stop",
		14: "tunnel_link_reject", 15: "failed", 4: ReasonOtherStatus, 16: ReasonOtherStatus, 0: ReasonOtherStatus,
	} {
		for _, withSession := range []bool{true, false} {
			a, err := Decode(encode(t, secret, status, func(p *layeh.Packet) {
				if withSession {
					everything(p)
				}
			}), secret)
			if err != nil {
				t.Fatalf("%d: %v", status, err)
			}
			tracker := NewTracker(TrackerConfig{})
			r := tracker.Apply(a, netip.MustParseAddr("192.0.2.1"), at(0))
			if r.Reason != want || r.Refused || len(r.Observations) > 0 || tracker.sessions != 0 {
				t.Errorf("%d: %+v, want %s", status, r, want)
			}
		}
	}
}

func FuzzVendorPorts(f *testing.F) {
	f.Add(huawei(tlv(161, 203, 0, 113, 7), number(162, 1024), number(163, 2047), number(165, 1)))
	f.Add(nokia("203.0.113.7 1024-2047,4096-5119 router base"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) > 253 {
			return
		}
		blocks, _, _ := vendorPorts(tlv(typeVendorSpecific, value...), portVendor(value))
		for _, b := range blocks {
			if b.PortStart > b.PortEnd || !b.Outside.Is4() || !assignable(b.Outside) {
				t.Errorf("%+v", b)
			}
		}
	})
}
