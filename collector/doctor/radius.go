package doctor

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
	"layeh.com/radius"
	"layeh.com/radius/rfc2869"

	collector "griffier/collector/radius"
)

// checkRADIUS asks the collector's own port for its status (RFC 5997), the whole
// way that an accounting request takes except for the spool.
func checkRADIUS(ctx context.Context, s *system) Finding {
	listen := s.config.RADIUS.Listen
	if listen == "" {
		return skip("no radius.listen is configured")
	}
	free, err := portFree(ctx, listen)
	switch {
	case err != nil:
		return Finding{Status: Fail, Found: listen + " cannot be listened on", Cause: err.Error(), Cure: "correct radius.listen: an address of this host and a port"}
	case free && s.metrics == nil:
		return pass("%s is free; no collector listens yet", listen)
	case free:
		return Finding{Status: Fail, Found: "nothing listens on " + listen, Cause: "the running collector has another configuration",
			Cure: "systemctl restart griffier-collector"}
	}
	clients, err := s.config.RADIUSClients()
	if err != nil {
		return Finding{Status: Fail, Found: "the secrets cannot be read", Cause: err.Error(), Cure: "see secret-files"}
	}
	target, err := ownAddress(listen)
	if err != nil {
		return Finding{Status: Fail, Found: "radius.listen cannot be read", Cause: err.Error(), Cure: "correct radius.listen"}
	}
	secret := secretFor(clients, target.Addr())
	if secret == nil {
		return Finding{Status: Warn, Found: "something listens on " + listen + ", but could not be asked",
			Cause: fmt.Sprintf("no client in radius.clients covers %s, so a request from there goes unanswered", target.Addr()),
			Cure:  fmt.Sprintf("add a client with prefix %s/%d and a secret of its own", target.Addr(), target.Addr().BitLen())}
	}
	took, err := askStatus(ctx, target, secret)
	switch {
	case err == nil:
		return pass("%s answered Status-Server in %v", target, round(took))
	case s.metrics == nil:
		return Finding{Status: Fail, Found: "something else listens on " + listen, Cause: err.Error(),
			Cure: fmt.Sprintf("find it: ss -ulnp sport = :%d; often it is FreeRADIUS", target.Port())}
	}
	return Finding{Status: Fail, Found: target.String() + " does not answer Status-Server", Cause: err.Error(),
		Cure: "if the secret was changed: systemctl reload griffier-collector; else look at its log"}
}

// portFree tells whether nobody listens there.
func portFree(ctx context.Context, listen string) (bool, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(ctx, "udp", listen)
	if errors.Is(err, unix.EADDRINUSE) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, conn.Close()
}

// ownAddress is where to reach a listener of this host: loopback if it listens
// everywhere.
func ownAddress(listen string) (netip.AddrPort, error) {
	a, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := a.AddrPort()
	addr := at.Addr().Unmap()
	if !addr.IsValid() || addr.IsUnspecified() {
		if addr.Is6() && addr.IsValid() && listen[0] != ':' {
			addr = netip.IPv6Loopback()
		} else {
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	return netip.AddrPortFrom(addr, at.Port()), nil
}

// secretFor is the secret of the longest prefix that has address, as the server
// picks it; nil if none has.
func secretFor(clients []collector.Client, address netip.Addr) []byte {
	bits, secret := -1, []byte(nil)
	for _, c := range clients {
		if c.Prefix.Contains(address) && c.Prefix.Bits() > bits {
			bits, secret = c.Prefix.Bits(), c.Secret
		}
	}
	return secret
}

// askStatus sends Status-Server from the address it goes to, twice at most, and
// returns how long an authentic answer took.
func askStatus(ctx context.Context, to netip.AddrPort, secret []byte) (time.Duration, error) {
	request := radius.New(radius.CodeStatusServer, secret)
	if err := rfc2869.MessageAuthenticator_Set(request, make([]byte, md5.Size)); err != nil {
		return 0, err
	}
	unsigned, err := request.Encode()
	if err != nil {
		return 0, err
	}
	mac := hmac.New(md5.New, secret)
	mac.Write(unsigned)
	if err := rfc2869.MessageAuthenticator_Set(request, mac.Sum(nil)); err != nil {
		return 0, err
	}
	packet, err := request.Encode()
	if err != nil {
		return 0, err
	}
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: to.Addr().AsSlice()}, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	answer := make([]byte, 4096)
	err = errors.New("no answer")
	for range 2 {
		start := time.Now()
		if _, writeErr := conn.Write(packet); writeErr != nil {
			return 0, writeErr
		}
		conn.SetReadDeadline(start.Add(time.Second))
		n, readErr := conn.Read(answer)
		if readErr != nil {
			continue
		}
		if radius.IsAuthenticResponse(answer[:n], packet, secret) {
			return time.Since(start), nil
		}
		err = errors.New("the answer is not authentic: it was made with another secret")
	}
	return 0, err
}
