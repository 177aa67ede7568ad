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

// meter starts counting what is sent on a line. The router answers and asks
// too (neighbour discovery), so it is a sender like the others.
func (l *Lab) meter(ctx context.Context, s Subscriber) error {
	prefixes := []netip.Prefix{netip.PrefixFrom(s.Addr4, 32)}
	if s.Prefix6.IsValid() {
		prefixes = append(prefixes, s.Prefix6)
	}
	for _, p := range prefixes {
		table := "lab_" + s.Name + strconv.Itoa(p.Addr().BitLen())
		for _, x := range []struct {
			space Namespace
			match string
			up    bool
		}{{s.Space, saddr(p), true}, {l.Internet, daddr(p), false}, {l.Router, daddr(p), false}} {
			m, err := newMeter(ctx, x.space, table, x.match, x.up)
			if err != nil {
				return fmt.Errorf("lab: %w", err)
			}
			l.meters[s.Name] = append(l.meters[s.Name], m)
		}
	}
	return nil
}

// Moved returns what a line carried so far, by its senders' own count.
func (l *Lab) Moved(ctx context.Context, s Subscriber) (Moved, error) {
	moved := l.frames[s.Name]
	for _, m := range l.meters[s.Name] {
		sent, err := m.sent(ctx)
		if err != nil {
			return moved, fmt.Errorf("lab: %w", err)
		}
		switch {
		case m.up && m.v6:
			moved.Up6.add(sent)
		case m.up:
			moved.Up4.add(sent)
		case m.v6:
			moved.Down6.add(sent)
		default:
			moved.Down4.add(sent)
		}
	}
	return moved, nil
}

// Traffic moves real traffic over a line that has an IP stack: TCP both ways,
// UDP and pings, IPv4 and where there is one IPv6. Only one line and IP version
// moves at a time, so that a host's TCP counters are of that line.
func (l *Lab) Traffic(ctx context.Context, s Subscriber) error {
	far := []netip.Addr{internet4}
	if s.Prefix6.IsValid() {
		far = append(far, internet6)
	}
	for _, to := range far {
		step := func() error { return l.move(ctx, s, to) }
		for _, m := range l.meters[s.Name] {
			if m.v6 == to.Is6() {
				inner := step
				step = func() error { return m.segmented(ctx, inner) }
			}
		}
		if err := step(); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	return nil
}

// move runs the traffic itself, bounded in bytes and in time.
func (l *Lab) move(ctx context.Context, s Subscriber, far netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// What is left in the sender's buffer at the end is never sent: it is small.
	runs := [][]string{
		{"-n", "8M", "-b", "400M", "-w", "64K"},        // TCP up
		{"-n", "24M", "-b", "400M", "-w", "64K", "-R"}, // TCP down
		{"-u", "-n", "1M", "-b", "50M", "-l", "1200"},  // UDP up
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
