package radius

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket that answers from the address it was asked on, which a
// plain one on a host with several addresses does not, and that knows how many
// datagrams the kernel dropped for want of buffer.
type socket struct{ conn *net.UDPConn }

// listen opens a socket with the given receive buffer, beyond the system's
// limit where the process may do that.
func listen(ctx context.Context, address string, bufferBytes int) (*socket, error) {
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error {
		var err error
		controlErr := raw.Control(func(fd uintptr) { err = prepare(int(fd), network, bufferBytes) })
		return errors.Join(controlErr, err)
	}}
	conn, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, fmt.Errorf("radius: listen: %w", err)
	}
	return &socket{conn.(*net.UDPConn)}, nil
}

func prepare(fd int, network string, bufferBytes int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferBytes) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bufferBytes); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
		return fmt.Errorf("overflow count: %w", err)
	}
	if network == "udp6" {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
			return fmt.Errorf("ipv6 packet info: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil && network == "udp4" {
		return fmt.Errorf("ipv4 packet info: %w", err)
	}
	return nil
}

// arrival says where a datagram came from.
type arrival struct {
	client   netip.AddrPort
	via      way
	local    []byte // control message that makes the answer leave from where the request came to
	overflow uint32 // datagrams dropped by the kernel so far
}

// way is how an answer gets back to where its request came from.
type way interface {
	write(answer []byte, to arrival) error
}

// read receives one datagram into buffer.
func (s *socket) read(buffer, control []byte) (int, arrival, error) {
	n, controlLength, _, client, err := s.conn.ReadMsgUDPAddrPort(buffer, control)
	if err != nil {
		return 0, arrival{}, err
	}
	a := arrival{client: client, via: s}
	for rest := control[:controlLength]; len(rest) > 0; {
		header, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		switch {
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			a.overflow = binary.NativeEndian.Uint32(data)
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// {ifindex, spec_dst, addr}: spec_dst is the local address; the
			// interface is left to routing.
			info := unix.Inet4Pktinfo{Spec_dst: [4]byte(data[4:8])}
			a.local = unix.PktInfo4(&info)
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := unix.Inet6Pktinfo{Addr: [16]byte(data[:16])}
			if ip := netip.AddrFrom16(info.Addr); ip.IsLinkLocalUnicast() {
				info.Ifindex = binary.NativeEndian.Uint32(data[16:20])
			} else if ip.Is4In6() {
				break // IP_PKTINFO tells it too
			}
			a.local = unix.PktInfo6(&info)
		}
		rest = next
	}
	return n, a, nil
}

func (s *socket) write(answer []byte, to arrival) error {
	_, _, err := s.conn.WriteMsgUDPAddrPort(answer, to.local, to.client)
	return err
}
