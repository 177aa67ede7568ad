package cgnat

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func parameters(a Algorithm, outside, inside string, first, each uint16) Parameters {
	return Parameters{a, netip.MustParsePrefix(outside), netip.MustParsePrefix(inside), first, each}
}

// draw makes valid parameters of any shape, small enough to count through.
func draw(t *rapid.T) Parameters {
	for {
		prefix := func(name string, from byte) netip.Prefix {
			bits := rapid.IntRange(22, 32).Draw(t, name)
			raw := binary.BigEndian.AppendUint32(nil, rapid.Uint32().Draw(t, name))
			raw[0] = from
			return netip.PrefixFrom(netip.AddrFrom4([4]byte(raw)), bits).Masked()
		}
		p := Parameters{
			Algorithm: rapid.SampledFrom([]Algorithm{Sequential, Striped}).Draw(t, "algorithm"),
			Outside:   prefix("outside", 203), Inside: prefix("inside", 100),
			FirstPort:          rapid.Uint16Range(1, 65535).Draw(t, "first"),
			PortsPerSubscriber: rapid.Uint16Range(1, 65535).Draw(t, "each"),
		}
		if p.Validate() == nil {
			return p
		}
	}
}

// Every subscriber has exactly one block, no two share a port, and the inverse
// of each of its ports is that subscriber.
func TestBijective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		type place struct {
			outside netip.Addr
			start   uint16
		}
		taken := map[place]netip.Addr{}
		for i := range size(p.Inside) {
			inside := nth(p.Inside, i)
			b, ok := p.BlockOf(inside)
			if !ok || !p.Outside.Contains(b.Outside) || b.PortStart < p.FirstPort || int(b.PortEnd)-int(b.PortStart) != int(p.PortsPerSubscriber)-1 {
				t.Fatalf("%+v: %v has %+v, %v", p, inside, b, ok)
			}
			if (b.PortStart-p.FirstPort)%p.PortsPerSubscriber != 0 {
				t.Fatalf("%+v: %+v is not on a block's edge, so it could overlap another", p, b)
			}
			if other, ok := taken[place{b.Outside, b.PortStart}]; ok {
				t.Fatalf("%+v: %v and %v both have %+v", p, inside, other, b)
			}
			taken[place{b.Outside, b.PortStart}] = inside
			for _, port := range []uint16{b.PortStart, b.PortEnd, b.PortStart + rapid.Uint16Range(0, p.PortsPerSubscriber-1).Draw(t, "port")} {
				if got, block, ok := p.InsideOf(b.Outside, port); !ok || got != inside || block != b {
					t.Fatalf("%+v: port %d of %v is of %v %+v, want %v", p, port, b.Outside, got, block, inside)
				}
			}
		}
		sharers := 0
		for i := range size(p.Outside) {
			sharers += p.Sharers(nth(p.Outside, i))
		}
		if sharers != len(taken) {
			t.Fatalf("%+v: %d sharers of all addresses, want %d", p, sharers, len(taken))
		}
	})
}

// Over every port of every outside address: exactly the ports of the blocks have
// somebody, each as many as a block has.
func TestNobodyElse(t *testing.T) {
	for _, p := range []Parameters{
		parameters(Sequential, "203.0.113.0/30", "100.64.0.0/25", 1024, 1000),
		parameters(Striped, "203.0.113.0/30", "100.64.0.0/25", 1024, 1000),
		parameters(Sequential, "203.0.113.7/32", "100.64.0.0/28", 65520, 1),
	} {
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		have := map[netip.Addr]int{}
		for i := range size(p.Outside) {
			for port := range ports {
				inside, b, ok := p.InsideOf(nth(p.Outside, i), uint16(port))
				if !ok {
					continue
				}
				if again, _ := p.BlockOf(inside); again != b || port < int(b.PortStart) || port > int(b.PortEnd) {
					t.Fatalf("%v: port %d in %+v, has %+v", inside, port, b, again)
				}
				have[inside]++
			}
		}
		if len(have) != int(size(p.Inside)) {
			t.Errorf("%d subscribers have ports, want %d", len(have), size(p.Inside))
		}
		for inside, n := range have {
			if n != int(p.PortsPerSubscriber) {
				t.Errorf("%v has %d ports, want %d", inside, n, p.PortsPerSubscriber)
			}
		}
	}
}

// The layouts are fixed: a stored number means this for ever.
func TestLayout(t *testing.T) {
	for _, test := range []struct {
		p      Parameters
		inside string
		want   Block
	}{
		{parameters(Sequential, "203.0.113.0/31", "100.64.0.0/26", 1024, 1008), "100.64.0.0", Block{netip.MustParseAddr("203.0.113.0"), 1024, 2031}},
		{parameters(Sequential, "203.0.113.0/31", "100.64.0.0/26", 1024, 1008), "100.64.0.63", Block{netip.MustParseAddr("203.0.113.0"), 64528, 65535}},
		{parameters(Sequential, "203.0.113.0/31", "100.64.0.0/25", 1024, 1008), "100.64.0.64", Block{netip.MustParseAddr("203.0.113.1"), 1024, 2031}},
		{parameters(Striped, "203.0.113.0/31", "100.64.0.0/26", 1024, 1008), "100.64.0.1", Block{netip.MustParseAddr("203.0.113.1"), 1024, 2031}},
		{parameters(Striped, "203.0.113.0/31", "100.64.0.0/26", 1024, 1008), "100.64.0.2", Block{netip.MustParseAddr("203.0.113.0"), 2032, 3039}},
	} {
		if got, ok := test.p.BlockOf(netip.MustParseAddr(test.inside)); !ok || got != test.want {
			t.Errorf("%s has %+v, want %+v", test.inside, got, test.want)
		}
	}
}

func TestNobodyHas(t *testing.T) {
	p := parameters(Sequential, "203.0.113.0/31", "100.64.0.0/27", 1024, 1000)
	for name, test := range map[string]struct {
		outside string
		port    uint16
	}{
		"reserved":                 {"203.0.113.0", 1023},
		"port 0":                   {"203.0.113.0", 0},
		"rest at the top":          {"203.0.113.0", 65535},
		"block without subscriber": {"203.0.113.1", 1024},
		"beside the pool":          {"203.0.113.2", 2000},
		"IPv6":                     {"2001:db8::1", 2000},
	} {
		if inside, _, ok := p.InsideOf(netip.MustParseAddr(test.outside), test.port); ok {
			t.Errorf("%s: %v has it", name, inside)
		}
	}
	for _, inside := range []string{"100.64.0.32", "100.63.255.255", "2001:db8::1"} {
		if b, ok := p.BlockOf(netip.MustParseAddr(inside)); ok {
			t.Errorf("%s has %+v", inside, b)
		}
	}
}

func TestValidate(t *testing.T) {
	good := parameters(Sequential, "203.0.113.0/30", "100.64.0.0/24", 1024, 1008)
	if err := good.Validate(); err != nil {
		t.Fatalf("64 blocks on each of 4 addresses for 256 subscribers: %v", err)
	}
	for name, test := range map[string]struct {
		change func(*Parameters)
		want   error
	}{
		"one port too many each": {func(p *Parameters) { p.PortsPerSubscriber++ }, ErrExhausted},
		"one reserved too many":  {func(p *Parameters) { p.FirstPort++ }, ErrExhausted},
		"twice the subscribers":  {func(p *Parameters) { p.Inside = netip.MustParsePrefix("100.64.0.0/23") }, ErrExhausted},
		"no algorithm":           {func(p *Parameters) { p.Algorithm = None }, ErrInvalid},
		"no ports":               {func(p *Parameters) { p.PortsPerSubscriber = 0 }, ErrInvalid},
		"port 0":                 {func(p *Parameters) { p.FirstPort = 0 }, ErrInvalid},
		"host bits":              {func(p *Parameters) { p.Inside = netip.MustParsePrefix("100.64.0.1/24") }, ErrInvalid},
		"IPv6":                   {func(p *Parameters) { p.Outside = netip.MustParsePrefix("2001:db8::/64") }, ErrInvalid},
		"overlap":                {func(p *Parameters) { p.Inside = p.Outside }, ErrInvalid},
		"nothing":                {func(p *Parameters) { *p = Parameters{} }, ErrInvalid},
	} {
		p := good
		test.change(&p)
		if err := p.Validate(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
