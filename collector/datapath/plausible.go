package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"griffier/bpf"
)

// Plausibility holds the interfaces' own counters against what the programs saw,
// both since Open. It is a check on blind spots, not a measure: how an interface
// counts an aggregate (GSO, GRO) depends on its driver, so its count has to lie
// between Frames, in which an aggregate is one, and Packets, in which it is as many
// as it stands for. Frames in flight while the two are read count on one side only.
type Plausibility struct {
	Up, Down Compared
}

// Compared is one direction of a Plausibility.
type Compared struct {
	Frames    uint64 // socket buffers that passed the programs
	Packets   uint64 // what they stand for
	Interface uint64 // packets by the interfaces' own counters, received or sent
}

// Unseen returns how many packets the interfaces counted that the programs did not
// see. Up: taken by XDP or dropped before TC. Down: sent past TC. Either: hardware
// offload of flows, or programs that were not attached for a while.
func (c Compared) Unseen() uint64 { return over(c.Interface, c.Packets) }

// Excess returns how many frames the programs counted that the interfaces did not.
// Down: dropped in the queue behind TC, which is upload that was not delivered too.
// Up: there is no innocent reason; the programs may be attached twice.
func (c Compared) Excess() uint64 { return over(c.Frames, c.Interface) }

func over(a, b uint64) uint64 {
	if a > b {
		return a - b
	}
	return 0
}

// linkCounters are an interface's own.
type linkCounters struct {
	received, sent uint64 // packets
}

// linkStats asks the kernel for interface counters, in the network namespace of the
// thread that made it, without allocating.
type linkStats struct {
	mu     sync.Mutex
	fd     int
	seq    uint32
	buffer [4096]byte
}

// errLinkStats means that the kernel's answer was none to the question.
var errLinkStats = errors.New("interface counters: unexpected answer")

// statsTimeout bounds the wait for the kernel, which answers at once.
const statsTimeout = time.Second

func newLinkStats() (*linkStats, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("interface counters: %w", err)
	}
	timeout := unix.NsecToTimeval(statsTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("interface counters: %w", err)
	}
	return &linkStats{fd: fd}, nil
}

func (s *linkStats) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil
	}
	fd := s.fd
	s.fd = -1
	return unix.Close(fd)
}

// read returns the counters of an interface (RTM_GETSTATS, IFLA_STATS_LINK_64).
func (s *linkStats) read(ifindex int) (linkCounters, error) {
	const (
		messageBytes = unix.SizeofNlMsghdr + 12
		statsLink64  = 1 // attribute, and bit of the filter
	)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	ne := binary.NativeEndian
	b := s.buffer[:messageBytes]
	clear(b)
	ne.PutUint32(b[0:], messageBytes)
	ne.PutUint16(b[4:], unix.RTM_GETSTATS)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST)
	ne.PutUint32(b[8:], s.seq)
	ne.PutUint32(b[20:], uint32(ifindex))
	ne.PutUint32(b[24:], 1<<(statsLink64-1))
	if _, err := unix.Write(s.fd, b); err != nil {
		return linkCounters{}, fmt.Errorf("interface counters: %w", err)
	}
	for {
		n, err := unix.Read(s.fd, s.buffer[:])
		if err != nil {
			return linkCounters{}, fmt.Errorf("interface counters: %w", err)
		}
		if n < messageBytes {
			return linkCounters{}, errLinkStats
		}
		answer := s.buffer[:n]
		if ne.Uint32(answer[8:]) != s.seq {
			continue // a late answer to a question that timed out
		}
		return decodeLinkStats(answer)
	}
}

// decodeLinkStats reads one netlink message.
func decodeLinkStats(b []byte) (linkCounters, error) {
	ne := binary.NativeEndian
	if len(b) >= unix.SizeofNlMsghdr+4 && ne.Uint16(b[4:]) == unix.NLMSG_ERROR {
		return linkCounters{}, fmt.Errorf("interface counters: %w", unix.Errno(-int32(ne.Uint32(b[unix.SizeofNlMsghdr:]))))
	}
	const attribute = unix.SizeofNlMsghdr + 12
	if len(b) < attribute+4+16 || ne.Uint16(b[4:]) != unix.RTM_NEWSTATS || ne.Uint16(b[attribute+2:]) != 1 {
		return linkCounters{}, errLinkStats
	}
	// struct rtnl_link_stats64 begins with rx_packets and tx_packets.
	return linkCounters{received: ne.Uint64(b[attribute+4:]), sent: ne.Uint64(b[attribute+12:])}, nil
}

// comparison is what a Plausibility is made from.
type comparison struct {
	stats   *linkStats
	indexes []int
	// First readings, and the last of each interface, which stands for it once it is gone.
	totals      bpf.Totals
	first, last map[int]linkCounters
}

// newComparison begins to compare now: after the programs were attached.
func newComparison(acct *bpf.Accounting, interfaces []Interface) (*comparison, error) {
	stats, err := newLinkStats()
	if err != nil {
		return nil, err
	}
	c := &comparison{stats: stats, first: map[int]linkCounters{}, last: map[int]linkCounters{}}
	for _, i := range interfaces {
		n, err := stats.read(i.Index)
		if err != nil {
			_ = stats.close()
			return nil, fmt.Errorf("interface %s: %w", i.Name, err)
		}
		c.first[i.Index], c.last[i.Index] = n, n
		c.indexes = append(c.indexes, i.Index)
	}
	if c.totals, err = acct.ReadTotals(); err != nil {
		_ = stats.close()
		return nil, err
	}
	return c, nil
}

// compare holds the totals against the interfaces' counters as they are now.
func (c *comparison) compare(now bpf.Totals) Plausibility {
	p := Plausibility{
		Up: Compared{
			Frames: now.Up.Frames - c.totals.Up.Frames, Packets: now.Up.Total.Packets - c.totals.Up.Total.Packets,
		},
		Down: Compared{
			Frames: now.Down.Frames - c.totals.Down.Frames, Packets: now.Down.Total.Packets - c.totals.Down.Total.Packets,
		},
	}
	for _, index := range c.indexes {
		if n, err := c.stats.read(index); err == nil {
			c.last[index] = n
		}
		p.Up.Interface += c.last[index].received - c.first[index].received
		p.Down.Interface += c.last[index].sent - c.first[index].sent
	}
	return p
}
