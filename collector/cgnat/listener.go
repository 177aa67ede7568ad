package cgnat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"griffier/schema"
)

// Causes of a coverage gap.
const (
	GapOverrun = "conntrack_overrun" // the kernel had events and the socket no room
	GapFull    = "conntrack_full"    // more mappings than MaxMappings
)

// DefaultResync is the default of [ListenerConfig.Resync].
const DefaultResync = 10 * time.Minute

// DefaultReadBuffer is the event socket's buffer: about two seconds at 30,000
// flows a second.
const DefaultReadBuffer = 64 << 20

const (
	groups       = 1<<0 | 1<<2 // NFNLGRP_CONNTRACK_NEW (1) and _DESTROY (3), as bits
	maxDatagram  = 64 << 10
	dumpTimeout  = time.Minute
	catchUpLimit = 200 * time.Millisecond
)

// ListenerConfig says whose flows count and how they are kept.
type ListenerConfig struct {
	Filter     Filter
	Table      TableConfig
	ReadBuffer int // bytes; 0: DefaultReadBuffer
	// Resync is how often all flows are read again while some of them were there
	// before the listener was, of whose end the kernel may not tell.
	Resync time.Duration
	NetNS  int // file descriptor of a network namespace; 0: this one
}

// A Gap is a time in which flows may have come and gone unseen.
type Gap struct {
	From, To time.Time
	Cause    string
}

// A Listener reads conntrack events of a network namespace. Its methods may be
// called by several goroutines. It needs CAP_NET_ADMIN, and goes on needing it:
// the kernel asks for it at every dump.
type Listener struct {
	events, dumps *netlink.Conn
	raw, rawDumps syscall.RawConn

	mu       sync.Mutex
	filter   Filter
	table    *Table
	buffer   []byte
	event    Event
	verdicts map[Verdict]uint64
	sure     time.Time // everything that happened before was read
	lostFrom time.Time // an overrun is not repaired yet; zero: none
	gaps     []Gap
	refused  uint64 // as last declared
	overruns uint64
	syncedAt time.Time
	resync   time.Duration
}

// Listen subscribes to flows and reads those that live. What happens from its
// return on is seen, or declared as a gap.
func Listen(cfg ListenerConfig) (*Listener, error) {
	if len(cfg.Filter.Inside) == 0 || len(cfg.Filter.Outside) == 0 {
		return nil, errors.New("conntrack: inside and outside prefixes are required")
	}
	l := &Listener{filter: cfg.Filter, table: NewTable(cfg.Table), buffer: make([]byte, maxDatagram), verdicts: map[Verdict]uint64{},
		resync: cmp.Or(cfg.Resync, DefaultResync)}
	if err := l.dial(cfg); err != nil {
		l.Close()
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	l.sure = time.Now()
	if err := l.sync(l.sure, false); err != nil {
		l.Close()
		return nil, fmt.Errorf("conntrack: dump: %w", err)
	}
	return l, nil
}

func (l *Listener) dial(cfg ListenerConfig) (err error) {
	if cfg.ReadBuffer == 0 {
		cfg.ReadBuffer = DefaultReadBuffer
	}
	// Dumps first: a subscriber that does not read yet overruns.
	if l.dumps, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: cfg.NetNS}); err != nil {
		return err
	}
	if l.rawDumps, err = l.dumps.SyscallConn(); err != nil {
		return err
	}
	if l.events, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: cfg.NetNS, Groups: groups}); err != nil {
		return err
	}
	if err = l.events.SetReadBuffer(cfg.ReadBuffer); err != nil {
		return fmt.Errorf("read buffer: %w", err)
	}
	l.raw, err = l.events.SyscallConn()
	return err
}

// Close closes the sockets.
func (l *Listener) Close() error {
	var errs []error
	for _, c := range []*netlink.Conn{l.events, l.dumps} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// Run reads events until ctx ends, which is not an error.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for ctx.Err() == nil {
		err := l.raw.Read(func(fd uintptr) bool {
			ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(ready, 0)
			return n != 0 || err != nil && err != unix.EINTR
		})
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("conntrack: wait: %w", err)
		}
		l.mu.Lock()
		_, err = l.drain(time.Now().Add(catchUpLimit))
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// CatchUp reads what there is, for 200 ms at most, and returns the time up to
// which everything was seen, but for the gaps. Coverage may be declared up to
// then once [Listener.Records] are stored.
func (l *Listener) CatchUp() (sure time.Time, gaps []Gap, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	empty, err := l.drain(time.Now().Add(catchUpLimit))
	if err == nil && empty && l.table.Inherited() > 0 && time.Since(l.syncedAt) >= l.resync {
		err = l.sync(l.sure, true)
	}
	if err != nil {
		return l.sure, nil, err
	}
	if refused := l.table.Stats().Refused; refused > l.refused {
		l.refused = refused
		l.gaps = append(l.gaps, Gap{l.sure.Add(-catchUpLimit), l.sure, GapFull})
	}
	gaps, l.gaps = l.gaps, nil
	return l.sure, gaps, nil
}

// Records is [Table.Records].
func (l *Listener) Records(now time.Time, all bool) []schema.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.Records(now, all)
}

// Restate is [Table.Restate].
func (l *Listener) Restate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Restate()
}

// ListenerStats count since Listen.
type ListenerStats struct {
	TableStats
	Overruns uint64
	Messages map[Verdict]uint64
}

// Stats returns the counts.
func (l *Listener) Stats() ListenerStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := ListenerStats{TableStats: l.table.Stats(), Overruns: l.overruns, Messages: make(map[Verdict]uint64, len(l.verdicts))}
	for v, n := range l.verdicts {
		s.Messages[v] = n
	}
	return s
}

// drain reads until there is nothing left, or the deadline; empty says which. An
// overrun is repaired when the queue is empty, since the kernel queues nothing
// until then.
func (l *Listener) drain(deadline time.Time) (empty bool, err error) {
	for {
		now := time.Now()
		n, err := l.receive(l.raw)
		switch {
		case errors.Is(err, unix.EAGAIN):
			l.sure = now
			if l.lostFrom.IsZero() {
				return true, nil
			}
			if err := l.repair(); err != nil {
				return false, err
			}
			deadline = time.Now().Add(catchUpLimit) // for what came during the dump
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			l.overruns++
			if l.lostFrom.IsZero() {
				l.lostFrom = l.sure
			}
			continue
		case err != nil:
			return false, fmt.Errorf("conntrack: receive: %w", err)
		}
		l.feed(l.buffer[:n], now)
		if now.After(deadline) {
			return false, nil
		}
	}
}

// repair makes the table agree with the kernel again and declares the gap.
func (l *Listener) repair() error {
	from := l.lostFrom
	if err := l.sync(from, false); err != nil {
		return fmt.Errorf("conntrack: dump: %w", err)
	}
	l.lostFrom = time.Time{}
	l.gaps = append(l.gaps, Gap{from, time.Now(), GapOverrun})
	return nil
}

// receive reads one datagram without waiting.
func (l *Listener) receive(raw syscall.RawConn) (n int, err error) {
	if controlled := raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), l.buffer, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	}); controlled != nil {
		return 0, controlled
	}
	if n > len(l.buffer) {
		return 0, fmt.Errorf("datagram of %d bytes", n)
	}
	return n, err
}

// feed decodes the messages of a datagram.
func (l *Listener) feed(datagram []byte, now time.Time) {
	for len(datagram) > 0 {
		message, rest, ok := split(datagram)
		if !ok {
			l.verdicts[Malformed]++
			return
		}
		datagram = rest
		v := l.filter.Decode(message, &l.event)
		l.verdicts[v]++
		if v == Used {
			l.table.Apply(&l.event, now)
		}
	}
}

// Settings are what the kernel is set to do, of the calling thread's network
// namespace. Without Events a flow's end may go unseen; without Timestamps
// starts and ends are when they were read.
type Settings struct{ Events, Timestamps bool }

// ReadSettings reads the kernel's settings.
func ReadSettings() Settings {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("/proc/sys/net/netfilter", name))
		if err != nil {
			return "" // conntrack is not loaded
		}
		return strings.TrimSpace(string(text))
	}
	return Settings{Events: read("nf_conntrack_events") == "1", Timestamps: read("nf_conntrack_timestamp") == "1"}
}
