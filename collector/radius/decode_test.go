package radius

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"
	"layeh.com/radius/rfc6911"
)

var secret = []byte("s3cret")

func TestDecodeAttributes(t *testing.T) {
	raw := func(kind byte, value ...byte) func(*layeh.Packet) {
		return func(p *layeh.Packet) { p.Add(layeh.Type(kind), value) }
	}
	tests := []struct {
		name  string
		build func(*layeh.Packet)
		want  func(*Accounting)
	}{
		{"nothing more", func(*layeh.Packet) {}, func(*Accounting) {}},
		{"NAS-IP-Address", func(p *layeh.Packet) { rfc2865.NASIPAddress_Set(p, net.IPv4(10, 0, 0, 1)) },
			func(a *Accounting) { a.NASAddress = prefixes("10.0.0.1/32")[0].Addr() }},
		{"NAS-IPv6-Address", func(p *layeh.Packet) { rfc3162.NASIPv6Address_Set(p, net.ParseIP("2001:db8::1")) },
			func(a *Accounting) { a.NASAddress = prefixes("2001:db8::1/128")[0].Addr() }},
		{"NAS-Port", func(p *layeh.Packet) { rfc2865.NASPort_Set(p, 7) }, func(a *Accounting) { a.NASPort = "7" }},
		{"NAS-Port-Id wins over NAS-Port", func(p *layeh.Packet) { rfc2865.NASPort_Set(p, 7); rfc2869.NASPortID_SetString(p, "eth0:1.2") },
			func(a *Accounting) { a.NASPort = "eth0:1.2" }},
		{"Framed-IP-Address", raw(8, 100, 64, 0, 1), func(a *Accounting) { a.Addresses.IPv4 = prefixes("100.64.0.1/32") }},
		{"Framed-IP-Address chosen by the NAS", raw(8, 255, 255, 255, 254), func(*Accounting) {}},
		{"Framed-IP-Address chosen by the user", raw(8, 255, 255, 255, 255), func(*Accounting) {}},
		{"Framed-IP-Address zero", raw(8, 0, 0, 0, 0), func(*Accounting) {}},
		{"link-local prefix", raw(97, 0, 64, 0xfe, 0x80, 0, 0, 0, 0, 0, 0), func(*Accounting) {}},
		{"prefix of length zero", raw(97, 0, 0), func(*Accounting) {}},
		{"multicast address", raw(8, 224, 0, 0, 1), func(*Accounting) {}},
		{"Framed-IPv6-Address", func(p *layeh.Packet) { rfc6911.FramedIPv6Address_Set(p, net.ParseIP("2001:db8::2")) },
			func(a *Accounting) { a.Addresses.IPv6Address = prefixes("2001:db8::2/128") }},
		{"Framed-IPv6-Prefix in full", raw(97, append([]byte{0, 64}, net.ParseIP("2001:db8:1:2::")...)...),
			func(a *Accounting) { a.Addresses.IPv6Prefix = prefixes("2001:db8:1:2::/64") }},
		{"Framed-IPv6-Prefix cut short", raw(97, 0, 64, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2),
			func(a *Accounting) { a.Addresses.IPv6Prefix = prefixes("2001:db8:1:2::/64") }},
		{"bits past the prefix length", raw(97, 0, 60, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0x2f),
			func(a *Accounting) { a.Addresses.IPv6Prefix = prefixes("2001:db8:1:20::/60") }},
		{"two delegated prefixes", func(p *layeh.Packet) {
			for _, s := range []string{"2001:db8:0:100::/56", "2001:db8:0:200::/56"} {
				_, n, _ := net.ParseCIDR(s)
				rfc4818.DelegatedIPv6Prefix_Add(p, n)
			}
		}, func(a *Accounting) {
			a.Addresses.IPv6Delegated = prefixes("2001:db8:0:100::/56", "2001:db8:0:200::/56")
		}},
		{"the same prefix twice", func(p *layeh.Packet) {
			raw(8, 100, 64, 0, 1)(p)
			raw(8, 100, 64, 0, 1)(p)
		}, func(a *Accounting) { a.Addresses.IPv4 = prefixes("100.64.0.1/32") }},
		{"Event-Timestamp", func(p *layeh.Packet) { eventAt(p, 5) }, func(a *Accounting) { a.EventAt = at(5) }},
		{"Acct-Delay-Time", func(p *layeh.Packet) { rfc2866.AcctDelayTime_Set(p, 30) },
			func(a *Accounting) { a.Delay, a.HasDelay = 30*time.Second, true }},
		{"Acct-Delay-Time zero", func(p *layeh.Packet) { rfc2866.AcctDelayTime_Set(p, 0) },
			func(a *Accounting) { a.HasDelay = true }},
		{"Acct-Session-Time", func(p *layeh.Packet) { rfc2866.AcctSessionTime_Set(p, 300) },
			func(a *Accounting) { a.SessionTime, a.HasSessionTime = 300*time.Second, true }},
		{"Acct-Terminate-Cause", func(p *layeh.Packet) { rfc2866.AcctTerminateCause_Set(p, 2) },
			func(a *Accounting) { a.TerminateCause = 2 }},
		{"octets alone", func(p *layeh.Packet) { rfc2866.AcctInputOctets_Set(p, 1<<32-1); rfc2866.AcctOutputOctets_Set(p, 5) },
			func(a *Accounting) { a.HasOctets = true; a.BytesUp, a.BytesDown = 1<<32-1, 5 }},
		{"octets with gigawords", func(p *layeh.Packet) {
			rfc2866.AcctInputOctets_Set(p, 3)
			rfc2869.AcctInputGigawords_Set(p, 1)
			rfc2866.AcctOutputOctets_Set(p, 230196224)
			rfc2869.AcctOutputGigawords_Set(p, 6)
		}, func(a *Accounting) {
			a.HasOctets, a.HasGigawords = true, true
			a.BytesUp, a.BytesDown = 1<<32+3, 26_000_000_000
		}},
		{"gigawords alone", func(p *layeh.Packet) { rfc2869.AcctOutputGigawords_Set(p, 2) },
			func(a *Accounting) { a.HasOctets, a.HasGigawords = true, true; a.BytesDown = 2 << 32 }},
		{"packets", func(p *layeh.Packet) { rfc2866.AcctInputPackets_Set(p, 7); rfc2866.AcctOutputPackets_Set(p, 9) },
			func(a *Accounting) { a.PacketsUp, a.PacketsDown = 7, 9 }},
		{"Agent-Circuit-Id", raw(26, 0, 0, 0x0d, 0xe9, 2, 3, 'r', 1, 5, 'c', '/', '1'),
			func(a *Accounting) { a.CircuitID, a.RemoteID = "c/1", "r" }},
		{"another vendor's attribute 1", raw(26, 0, 0, 0, 9, 1, 5, 'c', '/', '1'), func(*Accounting) {}},
		{"broken vendor attribute", raw(26, 0, 0, 0x0d, 0xe9, 1, 9, 'c'), func(*Accounting) {}},
		{"vendor attribute too short", raw(26, 0, 0), func(*Accounting) {}},
		{"Acct-Multi-Session-Id", raw(50, 'b', '7'), func(a *Accounting) { a.MultiSession = "b7" }},
		{"Class and Acct-Link-Count are not needed", func(p *layeh.Packet) {
			p.Add(25, []byte("class"))
			p.Add(51, []byte{0, 0, 0, 2})
		}, func(*Accounting) {}},
		{"unknown attribute", raw(241, 1, 2, 3), func(*Accounting) {}},
		{"Calling-Station-Id is not kept", func(p *layeh.Packet) { rfc2865.CallingStationID_SetString(p, "02:00:00:00:00:01") }, func(*Accounting) {}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			datagram := encode(t, secret, StatusInterim, func(p *layeh.Packet) { session42(p); test.build(p) })
			want := Accounting{Status: StatusInterim, SessionID: "42", UserName: "alice@isp", NASIdentifier: "bng1"}
			test.want(&want)
			for _, key := range [][]byte{secret, nil} {
				got, err := Decode(datagram, key)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("Decode = %+v, want %+v", got, want)
				}
			}
		})
	}
}

func TestDecodeRejects(t *testing.T) {
	good := func() []byte { return encode(t, secret, StatusStart, session42) }
	with := func(kind byte, value ...byte) func() []byte {
		return func() []byte {
			return encode(t, secret, StatusStart, func(p *layeh.Packet) { session42(p); p.Add(layeh.Type(kind), value) })
		}
	}
	tests := []struct {
		name   string
		make   func() []byte
		reason Reason
	}{
		{"empty", func() []byte { return nil }, ReasonLength},
		{"nineteen octets", func() []byte { return good()[:19] }, ReasonLength},
		{"cut", func() []byte { d := good(); return d[:len(d)-1] }, ReasonLength},
		{"Length under twenty", func() []byte { d := good(); binary.BigEndian.PutUint16(d[2:], 19); return d }, ReasonLength},
		{"Length over 4096", func() []byte {
			d := append(good(), make([]byte, 5000)...)
			binary.BigEndian.PutUint16(d[2:], 4097)
			return d
		}, ReasonLength},
		{"Access-Request", func() []byte { d := good(); d[0] = 1; return d }, ReasonCode},
		{"code zero", func() []byte { d := good(); d[0] = 0; return d }, ReasonCode},
		{"other secret", func() []byte { return encode(t, []byte("other"), StatusStart, session42) }, ReasonAuthenticator},
		{"flipped bit", func() []byte { d := good(); d[len(d)-1] ^= 1; return d }, ReasonAuthenticator},
		{"Message-Authenticator wrong", with(80, make([]byte, 16)...), ReasonAuthenticator},
		{"Message-Authenticator short", with(80, 1), ReasonAuthenticator},
		{"attribute length one", func() []byte { return sign(append(bare(), 5, 1)) }, ReasonAttribute},
		{"attribute past the end", func() []byte { return sign(append(bare(), 5, 9, 0)) }, ReasonAttribute},
		{"attribute without length", func() []byte { return sign(append(bare(), 5)) }, ReasonAttribute},
		{"status type short", with(40, 1), ReasonAttributeValue},
		{"Framed-IP-Address short", with(8, 1, 2, 3), ReasonAttributeValue},
		{"Framed-IPv6-Address short", with(168, 1, 2, 3), ReasonAttributeValue},
		{"Framed-IPv6-Prefix over 128", with(97, append([]byte{0, 129}, make([]byte, 16)...)...), ReasonAttributeValue},
		{"Framed-IPv6-Prefix shorter than its length", with(97, 0, 64, 0x20, 1), ReasonAttributeValue},
		{"Delegated-IPv6-Prefix empty", with(123), ReasonAttributeValue},
		{"Delegated-IPv6-Prefix too long", with(123, append([]byte{0, 56}, make([]byte, 17)...)...), ReasonAttributeValue},
		{"Event-Timestamp short", with(55, 1, 2), ReasonAttributeValue},
		{"Acct-Input-Octets long", with(42, 1, 2, 3, 4, 5), ReasonAttributeValue},
		{"65 addresses", func() []byte {
			return encode(t, secret, StatusStart, func(p *layeh.Packet) {
				session42(p)
				for i := range 65 {
					p.Add(8, []byte{100, 64, 0, byte(i + 1)})
				}
			})
		}, ReasonAddressCount},
		{"no status type", func() []byte { return sign(bare()) }, ReasonStatusType},
		{"no session id", func() []byte { return encode(t, secret, StatusStop, nil) }, ReasonSessionID},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Decode(test.make(), secret)
			var d *DecodeError
			if !errors.As(err, &d) || d.Reason != test.reason {
				t.Errorf("Decode error = %v, want reason %s", err, test.reason)
			}
			if !reflect.DeepEqual(got, Accounting{}) {
				t.Errorf("Decode gave a partial record: %+v", got)
			}
		})
	}
}

// bare is an Accounting-Request without attributes; sign fixes its Length and
// authenticator.
func bare() []byte { return append([]byte{4, 1}, make([]byte, 18)...) }

func sign(d []byte) []byte {
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	clear(d[4:20])
	sum := md5.Sum(append(append([]byte(nil), d...), secret...))
	copy(d[4:20], sum[:])
	return d
}

func TestDecodeIgnoresPadding(t *testing.T) {
	datagram := append(encode(t, secret, StatusStart, session42), 0, 0, 0, 0xff)
	if _, err := Decode(datagram, secret); err != nil {
		t.Errorf("Decode of a padded datagram: %v", err)
	}
}

func TestDecodeCapture(t *testing.T) {
	requests := 0
	for _, c := range readCapture(t) {
		if !c.request {
			if _, err := Decode(c.payload, nil); err == nil {
				t.Error("an Accounting-Response was decoded")
			}
			continue
		}
		requests++
		if _, err := Decode(c.payload, captureSecret); err != nil {
			t.Error(err)
		}
		if _, err := Decode(c.payload, []byte("testing124")); err == nil {
			t.Error("accepted with the wrong secret")
		}
	}
	if requests != 14 {
		t.Errorf("decoded %d requests, want 14", requests)
	}
}

// TestResponseMatchesPeer recomputes the answers that FreeRADIUS gave.
func TestResponseMatchesPeer(t *testing.T) {
	all := readCapture(t)
	for i := 0; i < len(all); i += 2 {
		packet, err := new(Decoder).frame(all[i].payload, captureSecret)
		if err != nil {
			t.Fatal(err)
		}
		got := replyTo(packet).encode(captureSecret)
		if string(got) != string(all[i+1].payload) {
			t.Errorf("response to datagram %d = %x, FreeRADIUS answered %x", i, got, all[i+1].payload)
		}
	}
}

// FuzzDecode checks that no datagram panics, that layeh's codec accepts what we
// accept, and that what both authenticate is the same.
func FuzzDecode(f *testing.F) {
	for _, c := range readCapture(f) {
		f.Add(c.payload)
	}
	f.Add(encode(f, captureSecret, StatusInterim, session42))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		a, err := Decode(datagram, nil)
		_, codecErr := layeh.Parse(datagram, captureSecret)
		if err == nil && codecErr != nil {
			t.Errorf("accepted what the codec refuses: %v", codecErr)
		}
		if err != nil && !reflect.DeepEqual(a, Accounting{}) {
			t.Error("partial record with an error")
		}
		if len(a.Addresses.prefixes()) > MaxAddresses {
			t.Error("too many addresses")
		}
		for _, p := range a.Addresses.prefixes() {
			if p != p.Masked() || !p.IsValid() {
				t.Errorf("prefix %v is not canonical", p)
			}
		}
		_, signedErr := Decode(datagram, captureSecret)
		if signedErr == nil {
			length := binary.BigEndian.Uint16(datagram[2:])
			if !layeh.IsAuthenticRequest(datagram[:length], captureSecret) {
				t.Error("authenticated what the codec does not")
			}
		}
	})
}
