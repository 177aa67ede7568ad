package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"griffier/collector/binding"
	"griffier/collector/replay"
	"griffier/schema"
)

// wire sends raw frames out of a link in a namespace.
type wire struct{ fd, index int }

func (n *network) wire(ns, name string) wire {
	n.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		n.t.Fatal(err)
	}
	defer home.Close()
	there, err := netns.GetFromName(ns)
	if err != nil {
		n.t.Fatal(err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		n.t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(home); err != nil {
			panic(err)
		}
	}()
	l, err := netlink.LinkByName(name)
	if err != nil {
		n.t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { unix.Close(fd) })
	return wire{fd, l.Attrs().Index}
}

func (w wire) send(t *testing.T, frame []byte) {
	t.Helper()
	for {
		err := unix.Sendto(w.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: w.index})
		if err == nil {
			return
		}
		if err != unix.ENOBUFS && err != unix.EAGAIN && err != unix.EINTR {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Microsecond) // the receiver's queue is full; the frame was not taken
	}
}

// fromServer says whether a frame of the test captures came from the router's side.
func fromServer(frame []byte) bool {
	if len(frame) > 62 && binary.BigEndian.Uint16(frame[12:]) == 0x86dd && frame[20] == 17 {
		return binary.BigEndian.Uint16(frame[54:]) == 547
	}
	return len(frame) > 42 && binary.BigEndian.Uint16(frame[12:]) == 0x0800 && frame[23] == 17 && binary.BigEndian.Uint16(frame[34:]) == 67
}

// The frames of captures, sent over a real access link past the kernel's
// programs, end up in the store as the records that a replay of the captures gives.
func TestLiveAndReplayAgree(t *testing.T) {
	s := newSetup(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	lines := `static_lines:
  - {identifier: "static-prefix:line-12", prefixes: [100.64.0.12/32, "2001:db8:0:1200::/56"]}
ranges: [{prefix: 100.64.0.0/10}, {prefix: "2001:db8::/32"}]
`
	if err := os.WriteFile(s.config, append(text, lines...), 0o600); err != nil {
		t.Fatal(err)
	}
	c := s.start()
	up, down := s.wire(s.sub, "wan"), s.wire(s.router, accessLink)
	control := 0.0
	captures := []string{"../replay/testdata/dhcp4_client_side_dora_renew_release.pcap", "../replay/testdata/dhcp6_client_side_iana_iapd.pcap", "../replay/testdata/encap_vlan_qinq_pppoe_5000.pcap"}
	for _, path := range captures {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := pcapgo.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; ; i++ {
			frame, _, err := r.ReadPacketData()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if fromServer(frame) {
				down.send(t, frame)
			} else {
				up.send(t, frame)
			}
			switch {
			case strings.Contains(path, "dhcp") && !slices.Equal(frame[12:14], []byte{8, 6}): // but for ARP
				// A lease counts once it is durable; a client takes longer than that.
				control++
				eventually(t, "the control frame", func() bool {
					handled, _, _ := s.sum("control_messages_total")
					return handled >= control
				})
				if fromServer(frame) {
					s.readings(1) // before which all that was learnt is made durable
				}
			case i%50 == 0:
				time.Sleep(2 * time.Millisecond)
			}
		}
	}
	c.stop()

	var replayed []string
	moved := map[string]*schema.Usage{}
	for _, path := range captures {
		o := replay.Options{
			Path: path, CollectorID: "edge1", Pseudonymiser: s.p, Interface: accessLink,
			StaticLines: []binding.StaticLine{{
				Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "line-12"},
				Prefixes:   []netip.Prefix{netip.MustParsePrefix("100.64.0.12/32"), netip.MustParsePrefix("2001:db8:0:1200::/56")},
			}},
		}
		latest := map[schema.ID]string{}
		_, err := replay.Run(t.Context(), o, func(records []schema.Record) error {
			for _, r := range records {
				switch r := r.(type) {
				case *schema.Assignment:
					latest[r.AssignmentID] = fmt.Sprintf("%s %s open=%t %q %s", r.AccessRef, r.Prefix.Addr(), r.Open, r.EndCause, r.Source)
				case *schema.Usage:
					k := fmt.Sprintf("%s %s %d", r.AccessRef, r.Direction, r.IPVersion)
					if moved[k] == nil {
						moved[k] = &schema.Usage{}
					}
					moved[k].Bytes += r.Bytes
					moved[k].Packets += r.Packets
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range latest {
			replayed = append(replayed, l)
		}
	}
	for k, u := range moved {
		replayed = append(replayed, fmt.Sprintf("%s %d bytes %d packets", k, u.Bytes, u.Packets))
	}
	slices.Sort(replayed)
	replayed = slices.Compact(replayed) // the static line is in both

	live := s.lines(`SELECT concat(lower(hex(access_ref)), ' ', if(prefix_length > 96 AND startsWith(toString(prefix_address), '::ffff:'),
			substring(toString(prefix_address), 8), toString(prefix_address)), ' open=', open ? 'true' : 'false', ' "', end_cause, '" ', source)
		FROM traffic.assignment WHERE end_cause != 'cut'`)
	live = append(live, s.lines(`SELECT concat(lower(hex(access_ref)), ' ', direction, ' ', toString(ip_version), ' ', toString(sum(bytes)), ' bytes ',
		toString(sum(packets)), ' packets') FROM traffic.usage GROUP BY access_ref, direction, ip_version`)...)
	slices.Sort(live)
	if !slices.Equal(live, replayed) {
		t.Errorf("live\n  %s\nreplay\n  %s", strings.Join(live, "\n  "), strings.Join(replayed, "\n  "))
	}
	if len(live) < 8 {
		t.Errorf("only %d lines to compare", len(live))
	}
}

func (s *setup) lines(query string) (out []string) {
	s.t.Helper()
	rows, err := s.store.Query(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return out
}
