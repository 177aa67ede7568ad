package config

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"griffier/collector/binding"
	"griffier/collector/cgnat/natlog"
)

const shared = small + `cgnat:
  conntrack: true
  inside: [100.64.0.0/10]
  outside: [203.0.113.0/24]
  blocks:
    - {outside: 203.0.113.7, ports: 1024-2047, inside: 100.64.0.10}
    - {outside: 203.0.113.7, ports: 2048-3071, protocol: udp, identifier: "radius-user:bob"}
    - {outside: 203.0.113.7, ports: 2048-3071, protocol: tcp, inside: 100.64.0.11}
`

func TestCGNAT(t *testing.T) {
	c, err := Parse("x.yaml", []byte(shared))
	if err != nil {
		t.Fatal(err)
	}
	blocks := c.Blocks()
	want := binding.PortBlock{Outside: netip.MustParseAddr("203.0.113.7"), Protocol: 17, PortStart: 2048, PortEnd: 3071}
	if len(blocks) != 3 || blocks[1].Block != want || blocks[1].Identifier.Value != "bob" || blocks[0].Inside.String() != "100.64.0.10" {
		t.Errorf("blocks %+v", blocks)
	}
	if f := c.Flows(nil); len(f.Filter.Inside) != 1 || f.ReadBuffer != 64<<20 || f.Table.Linger.String() != "30s" {
		t.Errorf("flows %+v", f)
	}
	var printed bytes.Buffer
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if again, err := Parse("printed.yaml", printed.Bytes()); err != nil || len(again.CGNAT.Blocks) != 3 || again.CGNAT.Blocks[1] != c.CGNAT.Blocks[1] {
		t.Errorf("%+v, %v", again.CGNAT, err)
	}
}

const logging = small + `cgnat:
  inside: [100.64.0.0/10]
  outside: [203.0.113.0/24]
  log:
    listen: ":4739"
    exporters:
      - {address: 192.0.2.9, name: cgn1, realm: 7}
      - {address: "2001:db8::9"}
`

func TestNATLog(t *testing.T) {
	c, err := Parse("x.yaml", []byte(logging))
	if err != nil {
		t.Fatal(err)
	}
	n := c.NATLog()
	want := natlog.Exporter{Address: netip.MustParseAddr("192.0.2.9"), Name: "cgn1", Realm: 7}
	if len(n.Exporters) != 2 || n.Exporters[0] != want || n.Listen != ":4739" || len(n.Filter.Inside) != 1 || len(n.Filter.Outside) != 1 || n.ReadBuffer != 64<<20 {
		t.Errorf("%+v", n)
	}
	var printed bytes.Buffer
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if again, err := Parse("printed.yaml", printed.Bytes()); err != nil || len(again.CGNAT.Log.Exporters) != 2 || again.CGNAT.Log.Exporters[0] != c.CGNAT.Log.Exporters[0] {
		t.Errorf("%+v, %v", again.CGNAT, err)
	}
	for name, x := range map[string]struct{ old, with, want string }{
		"no inside":      {"  inside: [100.64.0.0/10]\n", "", "cgnat.inside: is required with cgnat.log"},
		"no listen":      {"    listen: \":4739\"\n", "", "cgnat.log.listen: is required"},
		"a network":      {"192.0.2.9", "192.0.2.0/24", "cgnat.log.exporters[0].address: want one address"},
		"one twice":      {"2001:db8::9", "::ffff:192.0.2.9", "cgnat.log.exporters[1].address"},
		"a name twice":   {"\"2001:db8::9\"", "192.0.2.8, name: cgn1", "cgnat.log.exporters[1].name"},
		"a name with |":  {"name: cgn1", "name: \"a|b\"", "cgnat.log.exporters[0].name"},
		"unknown key":    {"realm: 7", "vrf: 7", "unknown field"},
		"realm is large": {"realm: 7", "realm: 4294967296", "x.yaml:"},
	} {
		if !strings.Contains(logging, x.old) {
			t.Fatalf("%s: the sample has no %q", name, x.old)
		}
		_, err := Parse("x.yaml", []byte(strings.Replace(logging, x.old, x.with, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:") || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if _, err := Parse("x.yaml", []byte(strings.Split(logging, "    exporters:")[0])); err == nil || !strings.Contains(err.Error(), "nobody could send") {
		t.Errorf("no exporters: %v", err)
	}
}

func TestCGNATRefused(t *testing.T) {
	for name, x := range map[string]struct{ old, with, want string }{
		"no inside":        {"  inside: [100.64.0.0/10]\n", "", "cgnat.inside: is required"},
		"no outside":       {"  outside: [203.0.113.0/24]\n", "", "cgnat.outside: is required"},
		"overlap":          {"inside: [100.64.0.0/10]", "inside: [203.0.113.128/25]", "overlaps cgnat.outside"},
		"ports backwards":  {"1024-2047", "2047-1024", "want ports"},
		"port 65536":       {"1024-2047", "1024-65536", "want ports"},
		"protocol":         {"protocol: udp", "protocol: esp", "want any, tcp"},
		"blocks overlap":   {"ports: 1024-2047", "ports: 1024-2048", "cgnat.blocks[1].ports: overlaps cgnat.blocks[0]"},
		"nobody's":         {", inside: 100.64.0.10", "", "want either inside or identifier"},
		"both":             {"inside: 100.64.0.10", "inside: 100.64.0.10, identifier: \"mac:x\"", "want either inside or identifier"},
		"a prefix outside": {"{outside: 203.0.113.7, ports: 1024", "{outside: 203.0.113.0/30, ports: 1024", "want one address"},
		"small buffer":     {"  conntrack: true\n", "  conntrack: true\n  read_buffer: 1KiB\n", "cgnat.read_buffer"},
		"long linger":      {"  conntrack: true\n", "  conntrack: true\n  linger: 2h\n", "cgnat.linger"},
	} {
		if !strings.Contains(shared, x.old) {
			t.Fatalf("%s: the sample has no %q", name, x.old)
		}
		_, err := Parse("x.yaml", []byte(strings.Replace(shared, x.old, x.with, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:") || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
}
