package replay

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"

	"griffier/collector/binding"
	"griffier/schema"
)

// count is packets and their L3 bytes.
type count struct{ bytes, packets uint64 }

// line is one hold of a counter by a line, as a slot of the kernel's is.
type line struct {
	id     schema.ID
	ref    schema.AccessRef
	keys   int
	counts [2][2]count // by direction (up, down) and IP version (4, 6)
}

// key4 is scope << 32 | address: IPv4 goes by single addresses.
type key4 uint64

// key6 is the address bits of an IPv6 prefix and the scope.
type key6 struct{ high, low, scope uint64 }

// table6 holds the IPv6 prefixes of one length.
type table6 struct {
	bits  int
	mask  key6 // of the address bits that count
	lines map[key6]*line
}

// counter is the datapath in user space.
type counter struct {
	ids     func(parts ...string) schema.ID
	lines4  map[key4]*line
	tables6 []*table6 // of the lengths in use, longest first
	lines   map[schema.AccessRef]*line
	retired []*line
	lives   int
	refused int
}

func newCounter(p *schema.Pseudonymiser, collectorID string) *counter {
	return &counter{
		ids:    func(parts ...string) schema.ID { return p.ID("counter", append([]string{collectorID}, parts...)...) },
		lines4: map[key4]*line{},
		lines:  map[schema.AccessRef]*line{},
	}
}

// shortestIPv4 is the shortest IPv4 prefix that the kernel's table can take.
const shortestIPv4 = 24

func newKey4(a netip.Addr, scope uint32) key4 {
	raw := a.As4()
	return key4(scope)<<32 | key4(binary.BigEndian.Uint32(raw[:]))
}

func newKey6(a netip.Addr, scope uint32) key6 {
	raw := a.As16()
	return key6{binary.BigEndian.Uint64(raw[:]), binary.BigEndian.Uint64(raw[8:]), uint64(scope)}
}

func (k key6) masked(m key6) key6 { return key6{k.high & m.high, k.low & m.low, k.scope} }

// table returns the table of a prefix length, which it makes if there is none.
func (c *counter) table(bits int) *table6 {
	i, found := slices.BinarySearchFunc(c.tables6, bits, func(t *table6, bits int) int { return bits - t.bits })
	if !found {
		t := &table6{bits: bits, lines: map[key6]*line{}}
		t.mask.high = ^uint64(0) << (64 - min(bits, 64))
		t.mask.low = ^uint64(0) << (128 - max(bits, 64))
		c.tables6 = slices.Insert(c.tables6, i, t)
	}
	return c.tables6[i]
}

// each calls f for every entry of the tables that a prefix stands for, none if
// it is too short. f returns what the entry becomes, nil for none.
func (c *counter) each(change binding.Change, f func(old *line) *line) {
	p := change.Prefix
	if p.Addr().Is6() {
		t := c.table(p.Bits())
		put(t.lines, newKey6(p.Addr(), change.Scope).masked(t.mask), f)
		return
	}
	if p.Bits() < shortestIPv4 {
		return
	}
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		put(c.lines4, newKey4(a, change.Scope), f)
	}
}

func put[K comparable](m map[K]*line, k K, f func(old *line) *line) {
	if l := f(m[k]); l != nil {
		m[k] = l
	} else {
		delete(m, k)
	}
}

func (c *counter) assign(change binding.Change) {
	l := c.lines[change.AccessRef]
	if l == nil {
		c.lives++
		l = &line{id: c.ids(strconv.Itoa(c.lives)), ref: change.AccessRef}
		c.lines[change.AccessRef] = l
	}
	keys := 0
	c.each(change, func(old *line) *line {
		if old != nil {
			c.drop(old)
		}
		l.keys++
		keys++
		return l
	})
	if keys == 0 {
		c.refused++
	}
}

func (c *counter) unassign(change binding.Change) {
	c.each(change, func(old *line) *line {
		if old != nil {
			c.drop(old)
		}
		return nil
	})
}

// drop takes one key from a line; without keys it gives its counter up.
func (c *counter) drop(l *line) {
	l.keys--
	if l.keys == 0 {
		delete(c.lines, l.ref)
		c.retired = append(c.retired, l)
	}
}

// holder returns the line that an address counts for, or nil.
func (c *counter) holder(a netip.Addr, scope uint32) *line {
	if a.Is4() {
		return c.lines4[newKey4(a, scope)]
	}
	k := newKey6(a, scope)
	for _, t := range c.tables6 {
		if l := t.lines[k.masked(t.mask)]; l != nil {
			return l
		}
	}
	return nil
}

// add counts a packet and reports whether anybody holds either of its addresses.
func (c *counter) add(f *frame, scoped bool) bool {
	scope := f.scope
	if !scoped {
		scope = 0
	}
	version := 0
	if f.source.Is6() {
		version = 1
	}
	up, down := c.holder(f.source, scope), c.holder(f.destination, scope)
	if up != nil {
		up.counts[0][version].bytes += f.bytes
		up.counts[0][version].packets++
	}
	if down != nil {
		down.counts[1][version].bytes += f.bytes
		down.counts[1][version].packets++
	}
	return up != nil || down != nil
}

// readings are those of a drain, in a stable order.
func (c *counter) readings() (out []binding.Reading) {
	lines := make([]*line, 0, len(c.lines))
	for _, l := range c.lines {
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b *line) int { return slices.Compare(a.ref[:], b.ref[:]) })
	for _, l := range c.retired {
		out = l.readings(out, true)
	}
	for _, l := range lines {
		out = l.readings(out, false)
	}
	c.retired = nil
	return out
}

func (l *line) readings(out []binding.Reading, final bool) []binding.Reading {
	for d, direction := range []schema.Direction{schema.Up, schema.Down} {
		for v, version := range []uint8{4, 6} {
			n := l.counts[d][v]
			out = append(out, binding.Reading{
				CounterID: l.id, AccessRef: l.ref, Direction: direction, IPVersion: version,
				Bytes: n.bytes, Packets: n.packets, Final: final,
			})
		}
	}
	return out
}
