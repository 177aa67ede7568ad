package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// What a host sent is taken from its own kernel, before the packet reaches any
// wire: an nftables counter at the output hook for one address pair, corrected
// for segmentation. The counter sees one large segment where the wire carries
// many packets, each with a header of its own; how many follows from the
// kernel's TCP counters (segments sent, and sent again).

// tcpHeader4 and tcpHeader6 are IP and TCP header with timestamps: what
// segmentation repeats in every further packet.
const (
	tcpHeader4 = 20 + 32
	tcpHeader6 = 40 + 32
)

// Sent is what a host sent on an address, in L3 bytes and packets of the wire.
type Sent struct{ Bytes, Packets uint64 }

func (s Sent) minus(o Sent) Sent { return Sent{s.Bytes - o.Bytes, s.Packets - o.Packets} }

// meter counts what one host sends from or to one prefix.
type meter struct {
	space Namespace
	name  string
	v6    bool
}

// newMeter counts what space sends with match (nftables, such as "ip saddr
// 192.0.2.1") until the namespace goes away. A meter of TCP assumes that it is
// the only TCP of the host while it runs.
func newMeter(ctx context.Context, space Namespace, name, match string) (meter, error) {
	m := meter{space, name, strings.HasPrefix(match, "ip6 ")}
	rules := fmt.Sprintf(`table inet lab_%s {
	counter sent_all {}
	counter sent_tcp {}
	chain out {
		type filter hook output priority 300; policy accept;
		%s counter name sent_all
		%s meta l4proto tcp counter name sent_tcp
	}
}
`, name, match, match)
	cmd := space.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	_, err := output(cmd)
	return m, err
}

// reading is the state of a meter and of the host's TCP at one time.
type reading struct {
	all, tcp    Sent // as nftables saw them: large segments count as one packet
	tcpSegments uint64
}

func (m meter) read(ctx context.Context) (reading, error) {
	out, err := m.space.Output(ctx, "nft", "-j", "list", "counters", "table", "inet", "lab_"+m.name)
	if err != nil {
		return reading{}, err
	}
	var listed struct {
		NFTables []struct {
			Counter *struct {
				Name           string
				Bytes, Packets uint64
			}
		}
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		return reading{}, fmt.Errorf("meter %s: %w", m.name, err)
	}
	var r reading
	for _, item := range listed.NFTables {
		switch {
		case item.Counter == nil:
		case item.Counter.Name == "sent_all":
			r.all = Sent{item.Counter.Bytes, item.Counter.Packets}
		case item.Counter.Name == "sent_tcp":
			r.tcp = Sent{item.Counter.Bytes, item.Counter.Packets}
		}
	}
	err = m.space.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		r.tcpSegments, err = tcpSegments(text)
		return err
	})
	return r, err
}

// tcpSegments reads OutSegs + RetransSegs from /proc/net/snmp.
func tcpSegments(snmp []byte) (uint64, error) {
	var names []string
	for _, line := range bytes.Split(snmp, []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		var sum uint64
		for i, name := range names {
			if name == "OutSegs" || name == "RetransSegs" {
				n, err := strconv.ParseUint(fields[i], 10, 64)
				if err != nil {
					return 0, fmt.Errorf("snmp %s: %w", name, err)
				}
				sum += n
			}
		}
		return sum, nil
	}
	return 0, fmt.Errorf("snmp: no Tcp line")
}

// between is what the wire carried from one reading to a later one.
func (m meter) between(from, to reading) Sent {
	sent := to.all.minus(from.all)
	tcp := to.tcp.minus(from.tcp)
	if tcp.Packets == 0 {
		return sent
	}
	further := to.tcpSegments - from.tcpSegments - tcp.Packets
	header := uint64(tcpHeader4)
	if m.v6 {
		header = tcpHeader6
	}
	return Sent{sent.Bytes + further*header, sent.Packets + further}
}

func saddr(p netip.Prefix) string { return family(p) + " saddr " + p.String() }
func daddr(p netip.Prefix) string { return family(p) + " daddr " + p.String() }

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "ip"
	}
	return "ip6"
}
