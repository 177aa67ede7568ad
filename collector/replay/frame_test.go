package replay

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// gopacket is the second opinion on what is in a frame.
func TestFrameAgreesWithGopacket(t *testing.T) {
	for _, name := range []string{"encap_vlan_qinq_pppoe_5000", "dhcp4_client_side_dora_renew_release", "radius_acct_start_interim_stop_gigawords"} {
		c, err := openCapture("testdata/" + name + ".pcap")
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		compared := 0
		for {
			data, length, _, _, err := c.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var f frame
			reason := f.read(data, length)
			p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
			switch ip := p.NetworkLayer().(type) {
			case *layers.IPv4:
				if reason != "" || f.bytes != uint64(ip.Length) || f.source.String() != ip.SrcIP.String() || f.destination.String() != ip.DstIP.String() {
					t.Fatalf("%s: %q %+v, gopacket says %v", name, reason, f, ip)
				}
				compared++
			case *layers.IPv6:
				if reason != "" || f.bytes != 40+uint64(ip.Length) || f.source.String() != ip.SrcIP.String() || f.destination.String() != ip.DstIP.String() {
					t.Fatalf("%s: %q %+v, gopacket says %v", name, reason, f, ip)
				}
				compared++
			default:
				if reason != reasonNonIP {
					t.Fatalf("%s: %q, gopacket sees no IP", name, reason)
				}
			}
		}
		if compared == 0 {
			t.Errorf("%s: nothing compared", name)
		}
	}
}

func TestFrameRejects(t *testing.T) {
	ip4 := append(append(make([]byte, 12), 0x08, 0x00), 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2, 0, 8, 0, 0)
	edit := func(f func([]byte)) []byte {
		c := append([]byte(nil), ip4...)
		f(c)
		return c
	}
	// labels puts a stack of n labels in front of the packet.
	labels := func(n int, bottom bool) []byte {
		c := append(append([]byte(nil), ip4[:12]...), 0x88, 0x47)
		for i := range n {
			last := byte(0)
			if bottom && i == n-1 {
				last = 1
			}
			c = append(c, 0, 1, 0xf0|last, 64)
		}
		return append(c, ip4[14:]...)
	}
	for name, x := range map[string]struct {
		data   []byte
		length int
		want   string
	}{
		"whole":              {ip4, len(ip4), ""},
		"padded":             {append(append([]byte(nil), ip4...), make([]byte, 18)...), 60, ""},
		"cut by the capture": {ip4[:34], len(ip4), ""},
		"cut on the wire":    {ip4[:len(ip4)-1], len(ip4) - 1, reasonParseError},
		"short":              {ip4[:13], 13, reasonParseError},
		"header length":      {edit(func(b []byte) { b[14] = 0x44 }), len(ip4), reasonParseError},
		"version":            {edit(func(b []byte) { b[14] = 0x65 }), len(ip4), reasonParseError},
		"ARP":                {edit(func(b []byte) { b[13] = 0x06 }), len(ip4), reasonNonIP},
		"one label":          {labels(1, true), len(ip4) + 4, ""},
		"six labels":         {labels(6, true), len(ip4) + 24, ""},
		"seven labels":       {labels(7, true), len(ip4) + 28, reasonParseError},
		"labels without end": {labels(2, false), len(ip4) + 8, reasonParseError},
		"tags without end":   {edit(func(b []byte) { b[12], b[13] = 0x81, 0 }), len(ip4), reasonNonIP},
	} {
		var f frame
		if got := f.read(x.data, x.length); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, name := range []string{"encap_vlan_qinq_pppoe_5000", "dhcp4_client_side_dora_renew_release"} {
		c, err := openCapture("testdata/" + name + ".pcap")
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; ; i++ {
			data, length, _, _, err := c.next()
			if err != nil {
				break
			}
			if i%500 == 0 || length > 300 {
				f.Add(slices.Clone(data), length)
			}
		}
		c.close()
	}
	f.Fuzz(func(t *testing.T, data []byte, length int) {
		var x frame
		if length < len(data) || length > 1<<16 {
			length = len(data)
		}
		if reason := x.read(data, length); reason == "" && (x.bytes < 20 || x.bytes > uint64(length) || len(x.udp) > len(data)) {
			t.Fatalf("%d L3 bytes in a frame of %d", x.bytes, length)
		}
	})
}
