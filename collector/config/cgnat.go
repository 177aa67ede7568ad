package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/cgnat/natlog"
	"griffier/schema"
)

// CGNAT says how subscribers share public addresses. Blocks that RADIUS tells of
// need no configuration, and deterministic translators only the register.
type CGNAT struct {
	// Conntrack observes this machine's own translation, flow by flow.
	Conntrack bool `yaml:"conntrack"`
	// Log receives what translators log of their ports, by IPFIX or NetFlow 9.
	Log NATLog `yaml:"log"`
	// Inside are the subscribers' addresses, Outside those they share. Both are
	// required with conntrack or log: what is not inside is a far end and not
	// looked at.
	Inside  []Prefix `yaml:"inside"`
	Outside []Prefix `yaml:"outside"`
	// Zone is the conntrack zone that counts.
	Zone uint16 `yaml:"zone"`
	// Linger is how long a port may rest between two flows of one subscriber and
	// still be one row.
	Linger Duration `yaml:"linger"`
	// ReadBuffer is how much the kernel may queue for the collector; what comes
	// beyond is a gap.
	ReadBuffer Bytes `yaml:"read_buffer"`
	// MaxMappings is how many ports in use are remembered, about 200 bytes each.
	MaxMappings int `yaml:"max_mappings"`
	// Blocks are ports that a translator gives to a subscriber for good.
	Blocks []PortBlock `yaml:"blocks"`
}

// NATLog is the receiver of translators' logs (RFC 8158).
type NATLog struct {
	// Listen is a UDP address such as ":4739"; empty: no log.
	Listen string `yaml:"listen"`
	// Exporters are the translators that may send; anyone else is dropped and
	// counted.
	Exporters []Exporter `yaml:"exporters"`
}

// Exporter is a translator that logs its ports.
type Exporter struct {
	Address Prefix `yaml:"address"` // one address
	Name    string `yaml:"name,omitempty"`
	// Realm is the ingressVRFID whose inside addresses are the subscribers'.
	Realm uint32 `yaml:"realm,omitempty"`
}

// PortBlock gives ports of a shared address to an inside address or to a line.
type PortBlock struct {
	Outside    Prefix     `yaml:"outside"` // one address
	Ports      Ports      `yaml:"ports"`
	Protocol   Protocol   `yaml:"protocol"`
	Inside     Prefix     `yaml:"inside,omitempty"` // one address; or identifier
	Identifier Identifier `yaml:"identifier,omitempty"`
}

// Ports is a range of ports, both inclusive, written 1024-2047.
type Ports struct{ Start, End uint16 }

// UnmarshalYAML reads a range of ports, or one port.
func (p *Ports) UnmarshalYAML(node ast.Node) error {
	from, to, isRange := strings.Cut(scalar(node), "-")
	if !isRange {
		to = from
	}
	start, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
	end, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
	if err1 != nil || err2 != nil || start == 0 || start > end {
		return wrong(node, "want ports such as 1024-2047")
	}
	*p = Ports{uint16(start), uint16(end)}
	return nil
}

// MarshalYAML writes the range.
func (p Ports) MarshalYAML() ([]byte, error) {
	return fmt.Appendf(nil, "%d-%d", p.Start, p.End), nil
}

// Protocol is the IANA number of a transport protocol, 0 for any, written any,
// tcp, udp, icmp, dccp or sctp.
type Protocol uint8

var protocolNames = map[Protocol]string{0: "any", 1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 132: "sctp"}

// UnmarshalYAML reads a protocol.
func (p *Protocol) UnmarshalYAML(node ast.Node) error {
	for number, name := range protocolNames {
		if name == scalar(node) {
			*p = number
			return nil
		}
	}
	return wrong(node, "want any, tcp, udp, icmp, dccp or sctp")
}

// MarshalYAML writes the protocol's name.
func (p Protocol) MarshalYAML() ([]byte, error) { return []byte(protocolNames[p]), nil }

// IsZero leaves out of the printed configuration what is not there.
func (p Prefix) IsZero() bool { return !p.IsValid() }

// IsZero leaves out of the printed configuration what is not there.
func (i Identifier) IsZero() bool { return i.Value == "" }

const (
	maxPools       = 64
	maxExporters   = 256
	maxBlocks      = 1_000_000
	minReadBuffer  = 256 << 10
	maxReadBuffer  = 1 << 30
	maxMaxMappings = 100_000_000
)

func (c *Config) checkCGNAT() *problem {
	g := c.CGNAT
	for path, list := range map[string][]Prefix{"cgnat.inside": g.Inside, "cgnat.outside": g.Outside} {
		if g.Conntrack && len(list) == 0 {
			return &problem{path, "is required with cgnat.conntrack"}
		}
		if g.Log.Listen != "" && len(list) == 0 {
			return &problem{path, "is required with cgnat.log"}
		}
		if len(list) > maxPools {
			return &problem{path, fmt.Sprintf("at most %d", maxPools)}
		}
	}
	for i, in := range g.Inside {
		for _, out := range g.Outside {
			if in.Overlaps(out.Prefix) {
				return &problem{fmt.Sprintf("cgnat.inside[%d]", i), "overlaps cgnat.outside"}
			}
		}
	}
	switch {
	case time.Duration(g.Linger) < 0 || time.Duration(g.Linger) > time.Hour:
		return &problem{"cgnat.linger", "want 0s to 1h"}
	case g.ReadBuffer < minReadBuffer || g.ReadBuffer > maxReadBuffer:
		return &problem{"cgnat.read_buffer", "want 256KiB to 1GiB"}
	case g.MaxMappings < 1 || g.MaxMappings > maxMaxMappings:
		return &problem{"cgnat.max_mappings", fmt.Sprintf("want 1 to %d", maxMaxMappings)}
	case len(g.Blocks) > maxBlocks:
		return &problem{"cgnat.blocks", fmt.Sprintf("at most %d", maxBlocks)}
	}
	if p := g.Log.check(); p != nil {
		return p
	}
	return checkBlocks(g.Blocks)
}

func (l NATLog) check() *problem {
	switch {
	case l.Listen == "" && len(l.Exporters) > 0:
		return &problem{"cgnat.log.listen", "is required with exporters, such as :4739"}
	case l.Listen != "" && len(l.Exporters) == 0:
		return &problem{"cgnat.log.exporters", "is empty: nobody could send"}
	case len(l.Exporters) > maxExporters:
		return &problem{"cgnat.log.exporters", fmt.Sprintf("at most %d", maxExporters)}
	}
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for i, e := range l.Exporters {
		path := fmt.Sprintf("cgnat.log.exporters[%d]", i)
		switch a := e.Address.Addr().Unmap(); {
		case !e.Address.IsValid() || !e.Address.IsSingleIP():
			return &problem{path + ".address", "want one address"}
		case addresses[a]:
			return &problem{path + ".address", "is another exporter's too"}
		case len(e.Name) > 64 || strings.ContainsRune(e.Name, '|'):
			return &problem{path + ".name", "want up to 64 characters and no |"}
		case e.Name != "" && names[e.Name]:
			return &problem{path + ".name", "is another exporter's too"}
		default:
			addresses[a], names[e.Name] = true, true
		}
	}
	return nil
}

// checkBlocks also refuses one port given to two.
func checkBlocks(blocks []PortBlock) *problem {
	given := map[netip.Addr][]int{}
	for i, b := range blocks {
		path := fmt.Sprintf("cgnat.blocks[%d]", i)
		switch {
		case !b.Outside.IsValid() || !b.Outside.IsSingleIP():
			return &problem{path + ".outside", "want one address"}
		case b.Ports.Start == 0:
			return &problem{path + ".ports", "is required, such as 1024-2047"}
		case (b.Identifier.Value == "") == !b.Inside.IsValid():
			return &problem{path, "want either inside or identifier"}
		case b.Inside.IsValid() && !b.Inside.IsSingleIP():
			return &problem{path + ".inside", "want one address"}
		}
		for _, j := range given[b.Outside.Addr()] {
			o := blocks[j]
			if b.Ports.Start <= o.Ports.End && o.Ports.Start <= b.Ports.End && (b.Protocol == 0 || o.Protocol == 0 || b.Protocol == o.Protocol) {
				return &problem{path + ".ports", fmt.Sprintf("overlaps cgnat.blocks[%d]", j)}
			}
		}
		given[b.Outside.Addr()] = append(given[b.Outside.Addr()], i)
	}
	return nil
}

// Blocks returns the configured blocks.
func (c Config) Blocks() []cgnat.StaticBlock {
	out := make([]cgnat.StaticBlock, 0, len(c.CGNAT.Blocks))
	for _, b := range c.CGNAT.Blocks {
		s := cgnat.StaticBlock{Identifier: b.Identifier.Identifier, Inside: b.Inside.Addr(), Block: binding.PortBlock{
			Outside: b.Outside.Addr(), Protocol: uint8(b.Protocol), PortStart: b.Ports.Start, PortEnd: b.Ports.End}}
		out = append(out, s)
	}
	return out
}

// Flows returns how to observe conntrack.
func (c Config) Flows(p *schema.Pseudonymiser) cgnat.ListenerConfig {
	linger := time.Duration(c.CGNAT.Linger)
	if linger == 0 {
		linger = 1 // not the default
	}
	return cgnat.ListenerConfig{
		Filter:     cgnat.Filter{Inside: plain(c.CGNAT.Inside), Outside: plain(c.CGNAT.Outside), Zone: c.CGNAT.Zone},
		Table:      cgnat.TableConfig{CollectorID: c.CollectorID, Pseudonymiser: p, Linger: linger, MaxMappings: c.CGNAT.MaxMappings},
		ReadBuffer: int(min(c.CGNAT.ReadBuffer, math.MaxInt32)),
	}
}

// NATLog returns how to receive translators' logs.
func (c Config) NATLog() natlog.Config {
	n := natlog.Config{
		Listen: c.CGNAT.Log.Listen, ReadBuffer: int(min(c.CGNAT.ReadBuffer, math.MaxInt32)),
		Filter: natlog.Filter{Inside: plain(c.CGNAT.Inside), Outside: plain(c.CGNAT.Outside)},
	}
	for _, e := range c.CGNAT.Log.Exporters {
		n.Exporters = append(n.Exporters, natlog.Exporter{Address: e.Address.Addr(), Name: e.Name, Realm: e.Realm})
	}
	return n
}

func plain(in []Prefix) (out []netip.Prefix) {
	for _, p := range in {
		out = append(out, p.Prefix)
	}
	return out
}
