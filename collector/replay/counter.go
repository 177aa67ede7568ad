package replay

import (
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

type key struct {
	prefix netip.Prefix
	scope  uint32
}

// counter is the datapath in user space.
type counter struct {
	ids     func(parts ...string) schema.ID
	keys    map[key]*line
	lines   map[schema.AccessRef]*line
	lengths []int // of the IPv6 prefixes in use, longest first
	retired []*line
	lives   int
	refused int
}

func newCounter(p *schema.Pseudonymiser, collectorID string) *counter {
	return &counter{
		ids:   func(parts ...string) schema.ID { return p.ID("counter", append([]string{collectorID}, parts...)...) },
		keys:  map[key]*line{},
		lines: map[schema.AccessRef]*line{},
	}
}

// shortestIPv4 is the shortest IPv4 prefix that the kernel's table can take.
const shortestIPv4 = 24

// expand returns the table's keys for a prefix: IPv4 goes by single addresses.
func expand(c binding.Change) []key {
	p := c.Prefix
	if p.Addr().Is6() {
		return []key{{p, c.Scope}}
	}
	if p.Bits() < shortestIPv4 {
		return nil
	}
	var keys []key
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		keys = append(keys, key{netip.PrefixFrom(a, 32), c.Scope})
	}
	return keys
}

func (c *counter) assign(change binding.Change) {
	l := c.lines[change.AccessRef]
	if l == nil {
		c.lives++
		l = &line{id: c.ids(strconv.Itoa(c.lives)), ref: change.AccessRef}
		c.lines[change.AccessRef] = l
	}
	keys := expand(change)
	if len(keys) == 0 {
		c.refused++
	}
	for _, k := range keys {
		if old := c.keys[k]; old != nil {
			c.drop(old)
		}
		c.keys[k] = l
		l.keys++
		if bits := k.prefix.Bits(); k.prefix.Addr().Is6() && !slices.Contains(c.lengths, bits) {
			c.lengths = append(c.lengths, bits)
			slices.Sort(c.lengths)
			slices.Reverse(c.lengths)
		}
	}
}

func (c *counter) unassign(change binding.Change) {
	for _, k := range expand(change) {
		if l := c.keys[k]; l != nil {
			delete(c.keys, k)
			c.drop(l)
		}
	}
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
		return c.keys[key{netip.PrefixFrom(a, 32), scope}]
	}
	for _, bits := range c.lengths {
		if p, err := a.Prefix(bits); err == nil {
			if l := c.keys[key{p, scope}]; l != nil {
				return l
			}
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
