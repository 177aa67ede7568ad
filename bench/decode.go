package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"griffier/collector/lease"
	"griffier/collector/radius"
)

// benchDecode measures the parsers of control traffic against the libraries that
// everyone uses. The peers made the messages. Ours read the whole Ethernet frame,
// insomniacslk the UDP payload of it; layeh's figure is parsing, authenticity and
// the attributes that ours reads too.
func benchDecode(emit func(result)) error {
	discovered, err := dhcpv4Frame()
	if err != nil {
		return err
	}
	relayed, err := dhcpv6Frame()
	if err != nil {
		return err
	}
	interim, secret, err := interimUpdate()
	if err != nil {
		return err
	}
	var m4 lease.Message
	var m6 lease.Message6
	var decoder radius.Decoder
	for _, x := range []struct {
		name, peer   string
		ours, theirs func() error
	}{
		{"DHCPv4 ACK with option 82", "insomniacslk/dhcp", func() error { return refused(m4.Parse(discovered)) },
			func() error { _, err := dhcpv4.FromBytes(discovered[42:]); return err }},
		{"DHCPv6 REPLY, relayed, IA_NA and IA_PD", "insomniacslk/dhcp", func() error { return refused(m6.Parse(relayed)) },
			func() error { _, err := dhcpv6.FromBytes(relayed[62:]); return err }},
		{"RADIUS interim, authenticated", "layeh.com/radius", func() error { _, err := decoder.Decode(interim, secret); return err },
			func() error { return layehInterim(interim, secret) }},
	} {
		ours, theirs, err := bestOf(x.ours, x.theirs)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		emit(result{Name: x.name, Value: ours, Unit: "ns", Baseline: x.peer, BaselineValue: theirs, Ratio: ours / theirs})
		count := func(f func() error) float64 { return testing.AllocsPerRun(100, func() { f() }) }
		mine, their := count(x.ours), count(x.theirs)
		emit(result{Name: x.name, Value: mine, Unit: "allocations", Baseline: x.peer, BaselineValue: their, Ratio: mine / their})
	}
	return nil
}

// bestOf returns the nanoseconds of a call of each in its best of several rounds,
// which alternate, so that both see the same machine at its quietest.
func bestOf(ours, theirs func() error) (a, b float64, err error) {
	const rounds, calls = 15, 20_000
	round := func(f func() error, best *float64) error {
		began := time.Now()
		for range calls {
			if err := f(); err != nil {
				return err
			}
		}
		if took := float64(time.Since(began)) / calls; *best == 0 || took < *best {
			*best = took
		}
		return nil
	}
	for range rounds {
		if err := errors.Join(round(ours, &a), round(theirs, &b)); err != nil {
			return 0, 0, err
		}
	}
	return a, b, nil
}

func refused(reason lease.Reason) error {
	if reason != "" {
		return fmt.Errorf("not read: %s", reason)
	}
	return nil
}

var benchMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func dhcpv4Frame() ([]byte, error) {
	request, err := dhcpv4.New(dhcpv4.WithHwAddr(benchMAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
	if err != nil {
		return nil, err
	}
	ack, err := dhcpv4.NewReplyFromRequest(request,
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithYourIP(net.IPv4(100, 64, 0, 10)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(100, 64, 0, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{1}, benchMAC...))),
		dhcpv4.WithOption(dhcpv4.OptRelayAgentInfo(dhcpv4.OptGeneric(dhcpv4.AgentCircuitIDSubOption, []byte("eth 0/1/0:100")))))
	if err != nil {
		return nil, err
	}
	payload := ack.ToBytes()
	ip := make([]byte, 20, 28)
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], []byte{192, 0, 2, 1, 100, 64, 0, 10})
	return ethernetUDP(0x0800, ip, 67, 68, payload), nil
}

func dhcpv6Frame() ([]byte, error) {
	duid := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: benchMAC}
	_, prefix, err := net.ParseCIDR("2001:db8:4000::/56")
	if err != nil {
		return nil, err
	}
	reply, err := dhcpv6.NewMessage(
		dhcpv6.WithClientID(duid), dhcpv6.WithServerID(duid),
		dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8:10::1000"), PreferredLifetime: time.Hour, ValidLifetime: 2 * time.Hour}),
		dhcpv6.WithIAPD([4]byte{1}, &dhcpv6.OptIAPrefix{Prefix: prefix, PreferredLifetime: time.Hour, ValidLifetime: 2 * time.Hour}))
	if err != nil {
		return nil, err
	}
	reply.MessageType = dhcpv6.MessageTypeReply
	relayed, err := dhcpv6.EncapsulateRelay(reply, dhcpv6.MessageTypeRelayReply, net.ParseIP("2001:db8:10::1"), net.ParseIP("fe80::1"))
	if err != nil {
		return nil, err
	}
	relayed.AddOption(dhcpv6.OptInterfaceID([]byte{1, 0, 0, 0}))
	payload := relayed.ToBytes()
	ip := make([]byte, 40, 48)
	ip[0], ip[6], ip[7] = 0x60, 17, 64
	binary.BigEndian.PutUint16(ip[4:], uint16(8+len(payload)))
	copy(ip[8:], net.ParseIP("2001:db8:9::2"))
	copy(ip[24:], net.ParseIP("2001:db8:9::1"))
	return ethernetUDP(0x86dd, ip, 547, 547, payload), nil
}

func ethernetUDP(ethertype uint16, ip []byte, from, to uint16, payload []byte) []byte {
	frame := append(append([]byte(nil), benchMAC...), benchMAC...)
	frame = append(binary.BigEndian.AppendUint16(frame, ethertype), ip...)
	for _, v := range []uint16{from, to, uint16(8 + len(payload)), 0} {
		frame = binary.BigEndian.AppendUint16(frame, v)
	}
	return append(frame, payload...)
}

func interimUpdate() (datagram, secret []byte, err error) {
	secret = []byte(accountingSecret)
	p := layeh.New(layeh.CodeAccountingRequest, secret)
	for _, err := range []error{
		rfc2866.AcctStatusType_Set(p, rfc2866.AcctStatusType_Value_InterimUpdate),
		rfc2866.AcctSessionID_SetString(p, "00000001-5F3B2C01"), rfc2865.UserName_SetString(p, "user0001@isp.example"),
		rfc2865.NASIdentifier_SetString(p, "bng1"), rfc2865.NASIPAddress_Set(p, net.IPv4(192, 0, 2, 1)),
		rfc2869.NASPortID_SetString(p, "eth 0/1/0:100.7"), rfc2865.FramedIPAddress_Set(p, net.IPv4(100, 64, 0, 10)),
		rfc2869.EventTimestamp_Set(p, time.Unix(1795149940, 0)), rfc2866.AcctSessionTime_Set(p, 300),
		rfc2866.AcctInputOctets_Set(p, 1000), rfc2866.AcctOutputOctets_Set(p, 2000),
		rfc2869.AcctInputGigawords_Set(p, 0), rfc2869.AcctOutputGigawords_Set(p, 1),
	} {
		if err != nil {
			return nil, nil, err
		}
	}
	datagram, err = p.Encode()
	return datagram, secret, err
}

// layehInterim reads with layeh what the collector reads.
func layehInterim(datagram, secret []byte) error {
	if !layeh.IsAuthenticRequest(datagram, secret) {
		return fmt.Errorf("not authentic")
	}
	p, err := layeh.Parse(datagram, secret)
	if err != nil {
		return err
	}
	_ = rfc2866.AcctStatusType_Get(p)
	_ = rfc2866.AcctSessionID_GetString(p)
	_ = rfc2865.UserName_GetString(p)
	_ = rfc2865.NASIdentifier_GetString(p)
	_ = rfc2865.NASIPAddress_Get(p)
	_ = rfc2869.NASPortID_GetString(p)
	_ = rfc2865.FramedIPAddress_Get(p)
	_ = rfc2869.EventTimestamp_Get(p)
	_ = rfc2866.AcctSessionTime_Get(p)
	_ = rfc2866.AcctInputOctets_Get(p)
	_ = rfc2866.AcctOutputOctets_Get(p)
	_ = rfc2869.AcctInputGigawords_Get(p)
	_ = rfc2869.AcctOutputGigawords_Get(p)
	return nil
}
