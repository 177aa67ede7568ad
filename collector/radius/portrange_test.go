package radius

import (
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"griffier/collector/binding"
)

// tlv is a type, the length and a value.
func tlv(kind byte, value ...byte) []byte {
	return append([]byte{kind, byte(2 + len(value))}, value...)
}

// portRangeValue is an IP-Port-Range with the given TLVs.
func portRangeValue(tlvs ...[]byte) []byte {
	value := []byte{extendedPorts}
	for _, x := range tlvs {
		value = append(value, x...)
	}
	return value
}

func TestPortRange(t *testing.T) {
	outside, start, end := tlv(3, 203, 0, 113, 7), tlv(9, 0, 0, 4, 0), tlv(10, 0, 0, 7, 255)
	given := tlv(8, 0, 0, 0, 1)
	want := binding.PortBlock{Outside: netip.MustParseAddr("203.0.113.7"), PortStart: 1024, PortEnd: 2047}
	udp, released := want, want
	udp.Protocol, released.Released = 17, true
	for name, test := range map[string]struct {
		value []byte
		want  binding.PortBlock
		ok    bool
		fails bool
	}{
		"given":           {portRangeValue(given, outside, start, end), want, true, false},
		"taken back":      {portRangeValue(tlv(8, 0, 0, 0, 2), outside, start, end), released, true, false},
		"of UDP":          {portRangeValue(tlv(1, 0, 0, 0, 17), given, outside, start, end), udp, true, false},
		"any order":       {portRangeValue(end, start, tlv(11, 'x', 'y'), outside, given), want, true, false},
		"another":         {append([]byte{5}, given...), binding.PortBlock{}, false, false},
		"no address":      {portRangeValue(given, start, end), binding.PortBlock{PortStart: 0}, false, false},
		"no alloc":        {portRangeValue(outside, start, end), binding.PortBlock{}, false, true},
		"backwards":       {portRangeValue(given, outside, tlv(9, 0, 0, 8, 0), end), binding.PortBlock{}, false, true},
		"port 65536":      {portRangeValue(given, outside, start, tlv(10, 0, 1, 0, 0)), binding.PortBlock{}, false, true},
		"protocol 256":    {portRangeValue(tlv(1, 0, 0, 1, 0), given, outside, start, end), binding.PortBlock{}, false, true},
		"short value":     {portRangeValue(given, outside, start, tlv(10, 1)), binding.PortBlock{}, false, true},
		"TLV of length 1": {portRangeValue(given, []byte{9, 1}), binding.PortBlock{}, false, true},
		"TLV too long":    {portRangeValue(given, []byte{9, 7, 0, 0}), binding.PortBlock{}, false, true},
		"empty":           {nil, binding.PortBlock{}, false, true},
	} {
		got, ok, err := portRange(test.value)
		if ok != test.ok || (err != nil) != test.fails || ok && got != test.want {
			t.Errorf("%s: %+v, %v, %v", name, got, ok, err)
		}
	}
}

// A session's blocks come with its observations; a malformed one spoils the request.
func TestBlocksAreObserved(t *testing.T) {
	at := time.Now()
	send := func(value []byte) (Accounting, error) {
		return Decode(encode(t, captureSecret, StatusStart, func(p *layeh.Packet) {
			p.Add(1, layeh.Attribute("alice"))
			p.Add(44, layeh.Attribute("s1"))
			p.Add(32, layeh.Attribute("bng"))
			p.Add(extendedType1, value)
		}), captureSecret)
	}
	good := portRangeValue(tlv(8, 0, 0, 0, 1), tlv(3, 203, 0, 113, 7), tlv(9, 0, 0, 4, 0), tlv(10, 0, 0, 7, 255))
	a, err := send(good)
	if err != nil || len(a.Blocks) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	r := NewTracker(TrackerConfig{}).Apply(a, netip.MustParseAddr("192.0.2.1"), at)
	if len(r.Observations) != 1 || len(r.Observations[0].Blocks) != 1 || r.Observations[0].Blocks[0].PortEnd != 2047 {
		t.Errorf("%+v", r)
	}
	if _, err := send(good[:9]); err == nil {
		t.Error("half a block was accepted")
	}
}

// FreeRADIUS's own client says the same of the same attribute.
func TestPortRangeFromRadclient(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := exec.CommandContext(t.Context(), "radclient", "-r", "1", "-t", "1", c.LocalAddr().String(), "acct", string(captureSecret))
	cmd.Stdin = strings.NewReader(`User-Name = "alice", Acct-Session-Id = "s1", Acct-Status-Type = Start, NAS-Identifier = "bng", ` +
		`IP-Port-Range-Type = 17, IP-Port-Range-Ext-IPv4-Addr = 203.0.113.7, IP-Port-Range-Alloc = Allocation, ` +
		`IP-Port-Range-Range-Start = 1024, IP-Port-Range-Range-End = 2047` + "\n")
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
	want := binding.PortBlock{Outside: netip.MustParseAddr("203.0.113.7"), Protocol: 17, PortStart: 1024, PortEnd: 2047}
	if err != nil || len(a.Blocks) != 1 || a.Blocks[0] != want {
		t.Errorf("%+v, %v, want %+v", a.Blocks, err, want)
	}
}

func FuzzPortRange(f *testing.F) {
	f.Add(portRangeValue(tlv(8, 0, 0, 0, 1), tlv(3, 203, 0, 113, 7), tlv(9, 0, 0, 4, 0), tlv(10, 0, 0, 7, 255)))
	f.Add([]byte{6, 9, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		if b, ok, err := portRange(value); ok && (err != nil || b.PortStart > b.PortEnd || !b.Outside.Is4()) {
			t.Errorf("%+v, %v", b, err)
		}
	})
}
