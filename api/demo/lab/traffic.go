package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Moved is what one subscriber's line carried, told by those who sent it.
type Moved struct {
	Up4, Up6, Down4, Down6 Sent
}

// Up is what the line sent; Down what was sent to it.
func (m Moved) Up() Sent {
	return Sent{m.Up4.Bytes + m.Up6.Bytes, m.Up4.Packets + m.Up6.Packets}
}

// Down is what was sent to the line.
func (m Moved) Down() Sent {
	return Sent{m.Down4.Bytes + m.Down6.Bytes, m.Down4.Packets + m.Down6.Packets}
}

// Traffic moves real traffic over a line that has an IP stack: TCP both ways,
// UDP and pings, IPv4 and where there is one IPv6. It returns what the senders'
// own kernels say they sent. Lines are used one after the other, so that a
// host's TCP counters belong to one line.
func (l *Lab) Traffic(ctx context.Context, s Subscriber) (Moved, error) {
	var m Moved
	v4 := netip.PrefixFrom(s.Addr4, 32)
	if err := l.family(ctx, s, v4, internet4, &m.Up4, &m.Down4); err != nil {
		return m, err
	}
	if s.Prefix6.IsValid() {
		if err := l.family(ctx, s, s.Prefix6, internet6, &m.Up6, &m.Down6); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (l *Lab) family(ctx context.Context, s Subscriber, own netip.Prefix, far netip.Addr, up, down *Sent) error {
	name := s.Name + strconv.Itoa(own.Addr().BitLen())
	// The router answers and asks too (neighbour discovery): it is a sender.
	senders := []struct {
		space Namespace
		match string
		into  *Sent
	}{{s.Space, saddr(own), up}, {l.Internet, daddr(own), down}, {l.Router, daddr(own), down}}
	meters := make([]meter, len(senders))
	before := make([]reading, len(senders))
	for i, x := range senders {
		var err error
		if meters[i], err = newMeter(ctx, x.space, name, x.match); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if before[i], err = meters[i].read(ctx); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	if err := l.move(ctx, s, far); err != nil {
		return err
	}
	for i, x := range senders {
		after, err := meters[i].read(ctx)
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		sent := meters[i].between(before[i], after)
		x.into.Bytes += sent.Bytes
		x.into.Packets += sent.Packets
	}
	return nil
}

// move runs the traffic itself, bounded in bytes and in time.
func (l *Lab) move(ctx context.Context, s Subscriber, far netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	runs := [][]string{
		{"-n", "8M", "-b", "400M"},                    // TCP up
		{"-n", "24M", "-b", "400M", "-R"},             // TCP down
		{"-u", "-n", "1M", "-b", "50M", "-l", "1200"}, // UDP up
	}
	for i, args := range runs {
		port := strconv.Itoa(5201 + i)
		server := l.Internet.Command(ctx, "iperf3", "-s", "-1", "-B", far.String(), "-p", port)
		if err := server.Start(); err != nil {
			return fmt.Errorf("lab: iperf3: %w", err)
		}
		err := s.untilConnected(ctx, append([]string{"-c", far.String(), "-p", port, "--connect-timeout", "2000"}, args...))
		if err != nil {
			server.Cancel()
		}
		server.Wait()
		if err != nil {
			return err
		}
	}
	if err := s.Space.Run(ctx, "ping", "-q", "-c", "10", "-i", "0.05", "-s", "700", far.String()); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return l.settle(ctx)
}

// untilConnected runs the client, again while its server is not up yet.
func (s Subscriber) untilConnected(ctx context.Context, args []string) error {
	var err error
	for range 20 {
		if err = s.Space.Run(ctx, "iperf3", args...); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lab: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("lab: %w", err)
}

// settle waits until the last FIN was answered and nothing moves any more.
func (l *Lab) settle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(300 * time.Millisecond):
		return nil
	}
}
