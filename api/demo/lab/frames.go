package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// VLAN tags and session of Cas's line.
const (
	outerVLAN    = 100
	innerVLAN    = 200
	pppoeSession = 0x0a1b
)

// Frames sends n IPv4 and n IPv6 packets over Cas's line, in QinQ and PPPoE, by
// a raw socket on his side, and counts what the socket took.
func (l *Lab) Frames(ctx context.Context, n int) error {
	m := l.frames[l.Cas.Name]
	mac, err := net.ParseMAC(l.Cas.MAC)
	if err != nil {
		return fmt.Errorf("lab: frames: %w", err)
	}
	err = l.Cas.Space.Do(func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6}
		for i := range n {
			for _, x := range []struct {
				own, far netip.Addr
				into     *Sent
			}{{l.Cas.Addr4, internet4, &m.Up4}, {l.Cas.Addr6, internet6, &m.Up6}} {
				frame, bytes, err := pppoeFrame(mac, x.own, x.far, 64+i%1000)
				if err != nil {
					return err
				}
				if err := unix.Sendto(fd, frame, 0, to); err != nil {
					return err
				}
				x.into.add(Sent{uint64(bytes), 1})
			}
			if i%100 == 99 { // slow enough that no queue overflows
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
		return nil
	})
	l.frames[l.Cas.Name] = m
	if err != nil {
		return fmt.Errorf("lab: frames: %w", err)
	}
	return nil
}

// pppoeFrame is a UDP packet in PPPoE in two VLAN tags; bytes is its L3 length.
func pppoeFrame(mac net.HardwareAddr, own, far netip.Addr, payload int) (frame []byte, bytes int, err error) {
	udp := &layers.UDP{SrcPort: 40000, DstPort: 9}
	var ip gopacket.SerializableLayer
	ppp := uint16(layers.PPPTypeIPv4)
	if own.Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: own.AsSlice(), DstIP: far.AsSlice()}
		udp.SetNetworkLayerForChecksum(v4)
		ip = v4
	} else {
		ppp = uint16(layers.PPPTypeIPv6)
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: own.AsSlice(), DstIP: far.AsSlice()}
		udp.SetNetworkLayerForChecksum(v6)
		ip = v6
	}
	l3 := gopacket.NewSerializeBuffer()
	fix := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(l3, fix, ip, udp, gopacket.Payload(make([]byte, payload))); err != nil {
		return nil, 0, err
	}
	packet := l3.Bytes()
	head := make([]byte, 0, 30)
	head = append(head, 0x02, 0, 0x5e, 0, 0, 0xff) // the access concentrator
	head = append(head, mac...)
	head = binary.BigEndian.AppendUint16(head, 0x88a8)
	head = binary.BigEndian.AppendUint16(head, outerVLAN)
	head = binary.BigEndian.AppendUint16(head, 0x8100)
	head = binary.BigEndian.AppendUint16(head, innerVLAN)
	head = binary.BigEndian.AppendUint16(head, 0x8864)
	head = append(head, 0x11, 0) // version 1, type 1; session data (RFC 2516 §4)
	head = binary.BigEndian.AppendUint16(head, pppoeSession)
	head = binary.BigEndian.AppendUint16(head, uint16(len(packet)+2))
	head = binary.BigEndian.AppendUint16(head, ppp)
	return append(head, packet...), len(packet), nil
}
