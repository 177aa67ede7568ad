package cgnat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Algorithm says how subscribers are laid out over addresses and blocks of
// ports. Its numbers are stored: they never change their meaning.
type Algorithm uint8

// Algorithms (RFC 7422 §2.2). With n blocks an address, subscriber i, counted
// from the first inside address, has
const (
	None Algorithm = 0
	// Sequential: block i mod n of address i / n. An address fills up before the
	// next is used.
	Sequential Algorithm = 1
	// Striped: block i / m of address i mod m, of m addresses. Neighbours are on
	// different addresses.
	Striped Algorithm = 2
)

// Errors of [Parameters.Validate].
var (
	ErrExhausted = errors.New("more inside addresses than blocks of ports")
	ErrInvalid   = errors.New("invalid translation parameters")
)

// Parameters describe a deterministic translator: every address of Inside is a
// subscriber, and has PortsPerSubscriber ports of one address of Outside, of
// every protocol alike. Ports below FirstPort are reserved, and so are those at
// the top that do not make up a whole block: nobody has them.
type Parameters struct {
	Algorithm          Algorithm
	Outside, Inside    netip.Prefix // IPv4
	FirstPort          uint16
	PortsPerSubscriber uint16
}

// A Block is what one subscriber has, both ports inclusive.
type Block struct {
	Outside            netip.Addr
	PortStart, PortEnd uint16
}

// ports is how many port numbers there are.
const ports = 1 << 16

// Validate reports whether every inside address gets a block, as [ErrExhausted]
// says if not; other errors wrap [ErrInvalid].
func (p Parameters) Validate() error {
	switch {
	case p.Algorithm != Sequential && p.Algorithm != Striped:
		return fmt.Errorf("%w: unknown algorithm %d", ErrInvalid, p.Algorithm)
	case !usable(p.Outside) || !usable(p.Inside):
		return fmt.Errorf("%w: inside and outside are IPv4 prefixes of /8 or longer without host bits", ErrInvalid)
	case p.Outside.Overlaps(p.Inside):
		return fmt.Errorf("%w: inside and outside overlap", ErrInvalid)
	case p.FirstPort == 0:
		return fmt.Errorf("%w: port 0 is not reserved", ErrInvalid)
	case p.PortsPerSubscriber == 0:
		return fmt.Errorf("%w: no ports per subscriber", ErrInvalid)
	case p.blocks()*size(p.Outside) < size(p.Inside):
		return fmt.Errorf("%w: %d blocks for %d addresses", ErrExhausted, p.blocks()*size(p.Outside), size(p.Inside))
	}
	return nil
}

func usable(p netip.Prefix) bool {
	return p.IsValid() && p.Addr().Is4() && p.Bits() >= 8 && p == p.Masked()
}

func size(p netip.Prefix) uint64 { return 1 << (32 - p.Bits()) }

// blocks is how many blocks one outside address has.
func (p Parameters) blocks() uint64 {
	return uint64(ports-int(p.FirstPort)) / uint64(p.PortsPerSubscriber)
}

// BlockOf returns what the subscriber with an inside address has; false if the
// address is not one of Inside. The parameters must be valid.
func (p Parameters) BlockOf(inside netip.Addr) (Block, bool) {
	if !p.Inside.Contains(inside) {
		return Block{}, false
	}
	i := index(p.Inside, inside)
	address, block := i/p.blocks(), i%p.blocks()
	if p.Algorithm == Striped {
		address, block = i%size(p.Outside), i/size(p.Outside)
	}
	return p.block(address, block), true
}

func (p Parameters) block(address, block uint64) Block {
	start := uint64(p.FirstPort) + block*uint64(p.PortsPerSubscriber)
	return Block{nth(p.Outside, address), uint16(start), uint16(start + uint64(p.PortsPerSubscriber) - 1)}
}

// InsideOf is the exact inverse: the inside address that has a port of an
// outside address, and its whole block. False: nobody has it, since the address
// is not one of Outside, the port is reserved, or the block belongs to no inside
// address. The parameters must be valid.
func (p Parameters) InsideOf(outside netip.Addr, port uint16) (netip.Addr, Block, bool) {
	if !p.Outside.Contains(outside) || port < p.FirstPort {
		return netip.Addr{}, Block{}, false
	}
	address, block := index(p.Outside, outside), uint64(port-p.FirstPort)/uint64(p.PortsPerSubscriber)
	if block >= p.blocks() {
		return netip.Addr{}, Block{}, false
	}
	i := p.subscriber(address, block)
	if i >= size(p.Inside) {
		return netip.Addr{}, Block{}, false
	}
	return nth(p.Inside, i), p.block(address, block), true
}

func (p Parameters) subscriber(address, block uint64) uint64 {
	if p.Algorithm == Striped {
		return block*size(p.Outside) + address
	}
	return address*p.blocks() + block
}

// Sharers returns how many inside addresses share an outside address.
func (p Parameters) Sharers(outside netip.Addr) int {
	if !p.Outside.Contains(outside) {
		return 0
	}
	n, address, inside := 0, index(p.Outside, outside), size(p.Inside)
	for block := range p.blocks() {
		if p.subscriber(address, block) >= inside {
			break // it only grows
		}
		n++
	}
	return n
}

func index(p netip.Prefix, a netip.Addr) uint64 { return uint64(number(a) - number(p.Addr())) }

func nth(p netip.Prefix, i uint64) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, number(p.Addr())+uint32(i))))
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
