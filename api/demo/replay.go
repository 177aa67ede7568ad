package demo

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// captures are of real DHCP software and of real frames, made in a laboratory
// with addresses of documentation ranges only.
//
//go:embed capture/*.pcap
var captures embed.FS

// frames is the capture of the story without root: 1,000 frames each of 802.1Q,
// QinQ, QinQ and PPPoE (IPv4), QinQ and PPPoE, PPPoE (IPv6), sent by two lines.
const frames = "encap_vlan_qinq_pppoe_5000.pcap"

// What that capture's sender sent, in L3 bytes: its own record of link-layer
// bytes, less link headers of 14 bytes, 4 a tag, and 8 for PPPoE with its PPP
// protocol.
const (
	sentV4 = 454_000 - 1000*(14+4) - 1000*(14+2*4) - 1000*(14+2*4+8)
	sentV6 = 348_000 - 1000*(14+2*4+8) - 1000*(14+8)
)

// leases is a capture of dhclient and Kea through a relay: 100.64.0.10 was held
// for 15 seconds until it was released.
const leases = "dhcp4_client_side_dora_renew_release.pcap"

// lease is the beginning of that capture, until 100.64.0.10 was given out. No
// volume is counted in it, which half a year later would be of a class whose
// limit is long past.
const lease = "dhcp4_client_side_dora.pcap"

// static are lines of the capture of frames, which no protocol in it names.
var static = []string{
	`{identifier: "radius-user:bea@isp.example", prefixes: [100.64.0.12/32]}`,
	`{identifier: "radius-user:cas@isp.example", prefixes: ["2001:db8:0:1200::/56"]}`,
}

// replay has the collector read a capture whose last packet is at ends, and
// store its records.
func (d *demo) replay(ctx context.Context, id, name string, ends time.Time, lines []string) error {
	path, err := program("griffier-collector")
	if err != nil {
		return err
	}
	capture, err := d.capture(name)
	if err != nil {
		return err
	}
	config := fmt.Appendf(nil, "collector_id: %s\npseudonym_key_file: %s\nspool: {dir: %s}\nstore: {socket: %s}\nmetrics_listen: \"\"\ninterfaces: [{name: acc1}]\n",
		id, d.config.Keys.PseudonymFile, filepath.Join(d.dir, "spool-"+id), d.config.Store.Socket)
	if len(lines) > 0 {
		config = append(config, "static_lines:\n"...)
		for _, line := range lines {
			config = append(config, "  - "+line+"\n"...)
		}
	}
	file := filepath.Join(d.dir, id+".yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, "-config", file, "-replay", capture, "-ends-at", ends.UTC().Format(time.RFC3339Nano)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("griffier-collector -replay %s: %w: %s", name, err, out)
	}
	return nil
}

// replayCaptures is what the story shows of the network without root.
func (d *demo) replayCaptures(ctx context.Context) error {
	d.say("You are not root, so nothing is counted in this machine's kernel: the collector reads captures of real")
	d.say("frames and leases instead, and everything after it is the same. As root, the kernel counts real traffic.")
	d.leasesEnd = time.Now().Add(-time.Minute).Truncate(time.Second)
	if err := d.replay(ctx, collectorID, frames, d.leasesEnd.Add(-10*time.Minute), static); err != nil {
		return err
	}
	if err := d.replay(ctx, collectorID, leases, d.leasesEnd, nil); err != nil {
		return err
	}
	for _, line := range []struct {
		who  string
		sent uint64
	}{{"bea", sentV4}, {"cas", sentV6}} {
		counted, err := d.counted(ctx, line.who)
		if err != nil {
			return err
		}
		total := counted.GetBytesUp() + counted.GetBytesDown()
		d.say("%s sent %d bytes; sees %d", line.who, line.sent, total)
		d.report.Subscribers = append(d.report.Subscribers, Subscriber{line.who, line.sent, total})
	}
	return nil
}

// replayQuestion is the question of the story without root: the lease ended
// with the second last exchange of the capture, 80 ms before its last packet.
func (d *demo) replayQuestion() asked {
	return asked{netip.MustParseAddr("100.64.0.10"), d.leasesEnd.Add(-8 * time.Second)}
}
