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

func (s *Sent) add(o Sent) { s.Bytes += o.Bytes; s.Packets += o.Packets }

// meter counts what one host sends from or to one prefix of a line, as long as
// the host lives.
type meter struct {
	space   Namespace
	table   string
	v6, up  bool
	further Sent // headers that segmentation repeated, and the packets they head
}

// newMeter counts what space sends with match (nftables, such as "ip saddr
// 192.0.2.1").
func newMeter(ctx context.Context, space Namespace, table, match string, up bool) (*meter, error) {
	rules := fmt.Sprintf(`table inet %s {
	counter sent_all {}
	counter sent_tcp {}
	chain out {
		type filter hook output priority 300; policy accept;
		%s counter name sent_all
		%s meta l4proto tcp counter name sent_tcp
	}
}
`, table, match, match)
	cmd := space.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	_, err := output(cmd)
	return &meter{space: space, table: table, v6: strings.HasPrefix(match, "ip6 "), up: up}, err
}

// counters reads what nftables saw: a large segment counts as one packet.
func (m *meter) counters(ctx context.Context) (all, tcp Sent, err error) {
	out, err := m.space.Output(ctx, "nft", "-j", "list", "counters", "table", "inet", m.table)
	if err != nil {
		return all, tcp, err
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
		return all, tcp, fmt.Errorf("meter %s: %w", m.table, err)
	}
	for _, item := range listed.NFTables {
		switch {
		case item.Counter == nil:
		case item.Counter.Name == "sent_all":
			all = Sent{item.Counter.Bytes, item.Counter.Packets}
		case item.Counter.Name == "sent_tcp":
			tcp = Sent{item.Counter.Bytes, item.Counter.Packets}
		}
	}
	return all, tcp, nil
}

// segmented corrects the meter for what f does: f's TCP must be all the TCP
// that the host sends meanwhile, and of this meter.
func (m *meter) segmented(ctx context.Context, f func() error) error {
	before, err := m.space.tcpSegments()
	if err != nil {
		return err
	}
	_, packetsBefore, err := m.counters(ctx)
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	_, packets, err := m.counters(ctx)
	if err != nil {
		return err
	}
	after, err := m.space.tcpSegments()
	if err != nil {
		return err
	}
	tcp := packets.Packets - packetsBefore.Packets
	if tcp == 0 {
		return nil // TCP of another line
	}
	header := uint64(tcpHeader4)
	if m.v6 {
		header = tcpHeader6
	}
	further := after - before - tcp
	m.further.Packets += further
	m.further.Bytes += further * header
	return nil
}

// sent is what the wire carried of this meter so far.
func (m *meter) sent(ctx context.Context) (Sent, error) {
	all, _, err := m.counters(ctx)
	return Sent{all.Bytes + m.further.Bytes, all.Packets + m.further.Packets}, err
}

// tcpSegments is how many TCP segments the host has sent, again included.
func (n Namespace) tcpSegments() (segments uint64, err error) {
	err = n.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		segments, err = tcpSegments(text)
		return err
	})
	return segments, err
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

func saddr(p netip.Prefix) string { return family(p) + " saddr " + p.String() }
func daddr(p netip.Prefix) string { return family(p) + " daddr " + p.String() }

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "ip"
	}
	return "ip6"
}
