package radius

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"
	"layeh.com/radius/rfc6911"

	"griffier/collector/binding"
)

// layehDecode reads a request with layeh.com/radius, as the oracle of [Decode].
func layehDecode(datagram, secret []byte) (Accounting, error) {
	packet, err := layeh.Parse(datagram, secret)
	if err != nil {
		return Accounting{}, err
	}
	if !layeh.IsAuthenticRequest(datagram, secret) {
		return Accounting{}, &DecodeError{ReasonAuthenticator}
	}
	return layehAccounting(packet)
}

func layehAccounting(packet *layeh.Packet) (Accounting, error) {
	var (
		a           Accounting
		hasStatus   bool
		nasV4       netip.Addr
		nasV6       netip.Addr
		nasPort     string
		up, down    uint32
		upG, downG  uint32
		addresses   int
		err         error
		eventSecond uint32
		hasEvent    bool
		raw         []byte // Vendor-Specific attributes of those who tell of ports
		vendors     uint
	)
	for _, avp := range packet.Attributes {
		value := []byte(avp.Attribute)
		switch avp.Type {
		case rfc2866.AcctStatusType_Type:
			var v uint32
			v, err = layeh.Integer(value)
			a.Status, hasStatus = Status(v), true
		case rfc2866.AcctSessionID_Type:
			a.SessionID = layeh.String(avp.Attribute)
		case rfc2866.AcctMultiSessionID_Type:
			a.MultiSession = string(value)
		case rfc2865.UserName_Type:
			a.UserName = string(value)
		case rfc2865.NASIdentifier_Type:
			a.NASIdentifier = string(value)
		case rfc2865.NASIPAddress_Type:
			nasV4, err = layehAddress(layeh.IPAddr(value))
		case rfc3162.NASIPv6Address_Type:
			nasV6, err = layehAddress(layeh.IPv6Addr(value))
		case rfc2869.NASPortID_Type:
			a.NASPort = string(value)
		case rfc2865.NASPort_Type:
			var v uint32
			v, err = layeh.Integer(value)
			nasPort = strconv.FormatUint(uint64(v), 10)
		case rfc2865.VendorSpecific_Type:
			if vendor, _, err := layeh.VendorSpecific(avp.Attribute); err == nil && (vendor == 2011 || vendor == 6527) {
				raw = append(append(raw, byte(avp.Type), byte(2+len(value))), value...)
				vendors |= portVendor(value)
			}
			if vendor, rest, err := layeh.VendorSpecific(avp.Attribute); err == nil && vendor == 3561 {
				if circuit := agentText(append([]byte{0, 0, 0x0d, 0xe9}, rest...), agentCircuitID); circuit != nil {
					a.CircuitID = string(circuit)
				}
				if remote := agentText(append([]byte{0, 0, 0x0d, 0xe9}, rest...), agentRemoteID); remote != nil {
					a.RemoteID = string(remote)
				}
			}
		case rfc2869.EventTimestamp_Type:
			eventSecond, err = layeh.Integer(value)
			hasEvent = true
		case rfc2866.AcctDelayTime_Type:
			a.Delay, err = layehSeconds(value)
			a.HasDelay = true
		case rfc2866.AcctSessionTime_Type:
			a.SessionTime, err = layehSeconds(value)
			a.HasSessionTime = true
		case rfc2866.AcctInputPackets_Type:
			a.PacketsUp, err = layeh.Integer(value)
		case rfc2866.AcctOutputPackets_Type:
			a.PacketsDown, err = layeh.Integer(value)
		case rfc2866.AcctTerminateCause_Type:
			a.TerminateCause, err = layeh.Integer(value)
		case rfc2866.AcctInputOctets_Type:
			a.HasOctets = true
			up, err = layeh.Integer(value)
		case rfc2866.AcctOutputOctets_Type:
			a.HasOctets = true
			down, err = layeh.Integer(value)
		case rfc2869.AcctInputGigawords_Type:
			a.HasOctets, a.HasGigawords = true, true
			upG, err = layeh.Integer(value)
		case rfc2869.AcctOutputGigawords_Type:
			a.HasOctets, a.HasGigawords = true, true
			downG, err = layeh.Integer(value)
		case rfc2865.FramedIPAddress_Type, rfc3162.FramedIPv6Prefix_Type,
			rfc4818.DelegatedIPv6Prefix_Type, rfc6911.FramedIPv6Address_Type:
			addresses++
			err = layehPrefix(&a.Addresses, avp)
		case extendedType1:
			var block binding.PortBlock
			var ok bool
			if block, ok, err = portRange(value); ok {
				a.Blocks = append(a.Blocks, block)
			}
		}
		if err != nil {
			return Accounting{}, &DecodeError{ReasonAttributeValue}
		}
	}
	told, nokia, ok := vendorPorts(raw, vendors)
	a.Blocks, a.nokia, a.BadPorts = append(a.Blocks, told...), nokia, !ok
	if addresses > MaxAddresses || len(a.Blocks) > MaxBlocks {
		return Accounting{}, &DecodeError{ReasonAddressCount}
	}
	if !hasStatus {
		return Accounting{}, &DecodeError{ReasonStatusType}
	}
	if a.SessionID == "" && (a.Status == StatusStart || a.Status == StatusInterim || a.Status == StatusStop) {
		return Accounting{}, &DecodeError{ReasonSessionID}
	}
	if hasEvent {
		a.EventAt = time.Unix(int64(eventSecond), 0).UTC()
	}
	if a.NASPort == "" {
		a.NASPort = nasPort
	}
	if a.NASAddress = nasV4; !nasV4.IsValid() {
		a.NASAddress = nasV6
	}
	a.BytesUp = uint64(upG)<<32 | uint64(up)
	a.BytesDown = uint64(downG)<<32 | uint64(down)
	return a, nil
}

func layehSeconds(value []byte) (time.Duration, error) {
	v, err := layeh.Integer(value)
	return time.Duration(v) * time.Second, err
}

func layehAddress(ip net.IP, err error) (netip.Addr, error) {
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.AddrFromSlice(ip)
	return a, nil
}

// layehPrefix reads an address attribute; layeh refuses prefixes with bits past
// their length, which RFC 3162 §2.3 allows to be there.
func layehPrefix(a *Addresses, avp *layeh.AVP) error {
	add := func(to *[]netip.Prefix, p netip.Prefix) {
		if assignable(p.Addr()) && p.Bits() > 0 {
			*to = appendNew(*to, p)
		}
	}
	switch avp.Type {
	case rfc2865.FramedIPAddress_Type:
		ip, err := layehAddress(layeh.IPAddr(avp.Attribute))
		if err == nil && ip != netip.MustParseAddr("255.255.255.255") && ip != netip.MustParseAddr("255.255.255.254") {
			add(&a.IPv4, netip.PrefixFrom(ip, 32))
		}
		return err
	case rfc6911.FramedIPv6Address_Type:
		ip, err := layehAddress(layeh.IPv6Addr(avp.Attribute))
		if err == nil {
			add(&a.IPv6Address, netip.PrefixFrom(ip, 128))
		}
		return err
	}
	network, err := layeh.IPv6Prefix(avp.Attribute)
	if err != nil {
		return err
	}
	ip, _ := netip.AddrFromSlice(network.IP.To16())
	bits, _ := network.Mask.Size()
	to := &a.IPv6Prefix
	if avp.Type == rfc4818.DelegatedIPv6Prefix_Type {
		to = &a.IPv6Delegated
	}
	add(to, netip.PrefixFrom(ip, bits).Masked())
	return nil
}

// FuzzAsLayeh signs whatever attributes it is given and compares what comes out
// of both codecs.
func FuzzAsLayeh(f *testing.F) {
	for _, c := range readCapture(f) {
		f.Add(c.payload[20:])
	}
	f.Add(encode(f, secret, StatusInterim, everything)[20:])
	f.Add(encode(f, secret, StatusInterim, func(p *layeh.Packet) {
		session42(p)
		p.Add(rfc2865.VendorSpecific_Type, huawei(tlv(161, 203, 0, 113, 7), tlv(162, 0, 0, 4, 0), tlv(163, 0, 0, 7, 255)))
		p.Add(rfc2865.VendorSpecific_Type, nokia("203.0.113.7 1024-2047,4096-5119 router base"))
	})[20:])
	f.Fuzz(func(t *testing.T, attributes []byte) {
		if len(attributes) > 4000 {
			return
		}
		datagram := sign(append(bare(), attributes...))
		ours, err := Decode(datagram, secret)
		theirs, peerErr := layehDecode(datagram, secret)
		var d *DecodeError
		if err != nil && errors.As(err, &d) && d.Reason == ReasonAuthenticator {
			return // a Message-Authenticator, which layeh does not check
		}
		if err == nil && peerErr == nil && !reflect.DeepEqual(ours, theirs) {
			t.Errorf("ours %+v, layeh's %+v", ours, theirs)
		}
		if err != nil && peerErr == nil && !reflect.DeepEqual(theirs, Accounting{}) {
			t.Errorf("we refuse (%v) what layeh reads", err)
		}
	})
}

// everything fills in what a BNG sends of a dual-stack session.
func everything(p *layeh.Packet) {
	session42(p)
	rfc2865.NASIPAddress_Set(p, net.IPv4(192, 0, 2, 1))
	rfc2865.NASPort_Set(p, 1234)
	rfc2869.NASPortID_SetString(p, "eth 0/1/0:100.7")
	rfc2865.FramedIPAddress_Set(p, net.IPv4(100, 64, 0, 10))
	p.Add(rfc3162.FramedIPv6Prefix_Type, append([]byte{0, 64}, net.ParseIP("2001:db8:ff00:1::")[:8]...))
	p.Add(rfc4818.DelegatedIPv6Prefix_Type, append([]byte{0, 56}, net.ParseIP("2001:db8:0:1200::")[:7]...))
	rfc2869.EventTimestamp_Set(p, at(5))
	rfc2866.AcctSessionTime_Set(p, 300)
	rfc2866.AcctInputOctets_Set(p, 1000)
	rfc2866.AcctOutputOctets_Set(p, 2000)
	rfc2869.AcctInputGigawords_Set(p, 0)
	rfc2869.AcctOutputGigawords_Set(p, 1)
	rfc2866.AcctInputPackets_Set(p, 10)
	rfc2866.AcctOutputPackets_Set(p, 20)
}

func TestAsLayeh(t *testing.T) {
	datagram := encode(t, secret, StatusInterim, everything)
	ours, err := Decode(datagram, secret)
	theirs, peerErr := layehDecode(datagram, secret)
	if err != nil || peerErr != nil || !reflect.DeepEqual(ours, theirs) {
		t.Errorf("ours %+v (%v), layeh's %+v (%v)", ours, err, theirs, peerErr)
	}
	if ours.BytesDown != 1<<32+2000 || len(ours.Addresses.prefixes()) != 3 || ours.NASPort != "eth 0/1/0:100.7" {
		t.Errorf("not everything: %+v", ours)
	}
}

func TestDecodeAllocations(t *testing.T) {
	datagram := encode(t, secret, StatusInterim, everything)
	var d Decoder
	if n := testing.AllocsPerRun(100, func() {
		if _, err := d.Decode(datagram, secret); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("Decode allocates %v times, want 2: texts and addresses", n)
	}
}

// TestDecoderIsReusable: nothing of one request shows in another.
func TestDecoderIsReusable(t *testing.T) {
	var d Decoder
	first := encode(t, secret, StatusInterim, everything)
	want, err := d.Decode(first, secret)
	if err != nil {
		t.Fatal(err)
	}
	kept := want
	if _, err := d.Decode(encode(t, secret, StatusStop, func(p *layeh.Packet) { rfc2866.AcctSessionID_SetString(p, "another") }), secret); err != nil {
		t.Fatal(err)
	}
	clear(first)
	if kept.UserName != "alice@isp" || kept.SessionID != "42" || kept.Addresses.IPv4[0].String() != "100.64.0.10/32" {
		t.Errorf("changed by a later request: %+v", kept)
	}
}

func BenchmarkDecode(b *testing.B) {
	datagram := encode(b, secret, StatusInterim, everything)
	b.Run("ours", func(b *testing.B) {
		var d Decoder
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Decode(datagram, secret); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("layeh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := layehDecode(datagram, secret); err != nil {
				b.Fatal(err)
			}
		}
	})
}
