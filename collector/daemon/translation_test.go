package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"griffier/schema"
)

const worldAt = "198.51.100.2:9000"

// world is behind the router, which translates: anna (100.64.0.11) to the ports
// from 1024 of one address, bram (100.64.0.12) to those from 2048.
func (s *setup) world() (ns string) {
	s.t.Helper()
	ns = fmt.Sprintf("griffier-w%d", os.Getpid())
	command(s.t, "ip", "netns", "add", ns)
	s.t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	command(s.t, "ip", "-n", s.router, "link", "add", "core0", "type", "veth", "peer", "name", "core", "netns", ns)
	s.address(s.router, "core0", "198.51.100.1/24")
	s.address(ns, "core", "198.51.100.2/24")
	command(s.t, "ip", "-n", ns, "route", "add", "203.0.113.0/24", "via", "198.51.100.1")
	command(s.t, "ip", "-n", s.sub, "route", "add", "default", "via", "100.64.0.1")
	command(s.t, "ip", "netns", "exec", s.router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_events=1", "net.netfilter.nf_conntrack_timestamp=1",
		"net.netfilter.nf_conntrack_udp_timeout=3600") // no flow ends by itself, however slow the machine is
	command(s.t, "ip", "netns", "exec", s.router, "nft", `add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; };
		add rule ip nat post ip saddr 100.64.0.11 meta l4proto udp snat to 203.0.113.7:1024-2047;
		add rule ip nat post ip saddr 100.64.0.12 meta l4proto udp snat to 203.0.113.7:2048-65535`)
	return ns
}

// socket opens a UDP socket in a namespace, for the caller to use.
func (n *network) socket(ns, address string) *net.UDPConn {
	n.t.Helper()
	result := make(chan *net.UDPConn)
	go func() {
		defer close(result)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		there, err := netns.GetFromName(ns)
		if err == nil {
			err = netns.Set(there)
			there.Close()
		}
		var c *net.UDPConn
		if err == nil {
			c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		}
		if err != nil {
			n.t.Error(err)
		}
		result <- c
	}()
	c := <-result
	if c == nil {
		n.t.FailNow()
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// forgetFlows has the router's conntrack forget every flow.
func (n *network) forgetFlows() {
	n.t.Helper()
	there, err := netns.GetFromName(n.router)
	if err != nil {
		n.t.Fatal(err)
	}
	defer there.Close()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(there)})
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	// IPCTNL_MSG_CT_DELETE of nothing in particular.
	_, err = c.Execute(netlink.Message{Header: netlink.Header{Type: 1<<8 | 2, Flags: netlink.Request | netlink.Acknowledge}, Data: make([]byte, 4)})
	if err != nil {
		n.t.Fatal(err)
	}
}

type seen struct {
	user string
	from netip.AddrPort
	at   time.Time
}

// Flows go in at one end; from what the far end saw of them, the store's views
// lead to who sent each, although the collector is killed in between, misses
// flows while it is stopped, and says so.
func TestWhoHadThePort(t *testing.T) {
	s := newSetup(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "cgnat: {conntrack: true, inside: [100.64.0.0/24], outside: [203.0.113.0/24], read_buffer: 256KiB, linger: 1s}\n"...)
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	world := s.socket(s.world(), worldAt)
	world.SetReadBuffer(8 << 20)
	var truth []seen
	port := 10_000 // of each flow its own, where the kernel might give one twice
	flows := func(user, address string, count int) {
		t.Helper()
		for range count {
			port++
			c := s.socket(s.sub, fmt.Sprintf("%s:%d", address, port))
			if _, err := c.WriteToUDPAddrPort([]byte(user), netip.MustParseAddrPort(worldAt)); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 64)
			world.SetReadDeadline(time.Now().Add(time.Minute))
			n, from, err := world.ReadFromUDPAddrPort(buffer)
			if err != nil || string(buffer[:n]) != user {
				t.Fatalf("the world read %q, %v", buffer[:n], err)
			}
			truth = append(truth, seen{user, from, time.Now()})
			c.Close()
		}
	}
	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	s.session("Start", "bram", "2", "100.64.0.12", "2001:db8:0:1200::/56")
	// Carl's ports are at another translator, which tells of them by RADIUS.
	carl := `User-Name = "carl", Acct-Session-Id = "3", Acct-Status-Type = %s, NAS-Identifier = "bng1", Event-Timestamp = %d, IP-Port-Range-Type = 6, ` +
		`IP-Port-Range-Ext-IPv4-Addr = 203.0.113.9, IP-Port-Range-Alloc = %s, IP-Port-Range-Range-Start = 1024, IP-Port-Range-Range-End = 2047`
	s.account(carl, "Start", time.Now().Unix(), "Allocation")
	time.Sleep(1100 * time.Millisecond) // RADIUS tells whole seconds
	flows("anna", "100.64.0.11", 50)
	flows("bram", "100.64.0.12", 50)
	eventually(t, "a hundred flows in the store", func() bool {
		return s.count("SELECT uniqExact(assignment_id) FROM traffic.assignment WHERE source = 'conntrack'") >= 100
	})
	c.kill()
	s.forgetFlows() // what is not stored by now, nobody can tell any more
	c = s.start()
	flows("anna", "100.64.0.11", 50)
	time.Sleep(1100 * time.Millisecond)

	// Stopped, it cannot read; the kernel runs out of room for it.
	kept := len(truth)
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	flows("bram", "100.64.0.12", 2000)
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond)
	truth = truth[:kept]
	flows("anna", "100.64.0.11", 20)
	s.account(carl, "Interim-Update", time.Now().Unix(), "Deallocation")
	c.stop()

	for _, x := range truth {
		rows, err := s.store.Query(t.Context(), `SELECT lower(hex(who.access_ref)) FROM traffic.assignment AS port
			INNER JOIN traffic.assignment AS who ON who.prefix_address = port.inside_address AND who.prefix_length = 128
			WHERE port.prefix_address = toIPv6($1) AND port.port_start <= $2 AND port.port_end >= $2 AND port.protocol = 17
			AND port.started_at <= fromUnixTimestamp64Milli($3) AND (port.ended_at > fromUnixTimestamp64Milli($3) OR port.open) AND who.started_at <= fromUnixTimestamp64Milli($3) AND (who.ended_at > fromUnixTimestamp64Milli($3) OR who.open)
			GROUP BY who.access_ref`, x.from.Addr().Unmap().String(), x.from.Port(), x.at.UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for rows.Next() {
			var ref string
			if err := rows.Scan(&ref); err != nil {
				t.Fatal(err)
			}
			found = append(found, ref)
		}
		rows.Close()
		want := s.p.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: x.user}).String()
		if strings.Join(found, " ") != want {
			t.Fatalf("%v at %v was of %s (%s), the store says %v", x.from, x.at, x.user, want, found)
		}
	}
	if n := s.count("SELECT count() FROM traffic.coverage WHERE state = 'gap' AND cause = 'conntrack_overrun'"); n == 0 {
		t.Error("the overrun is not declared as a gap")
	}
	if n := s.count("SELECT count() FROM traffic.coverage WHERE state = 'gap' AND cause = 'not_running'"); n != 1 {
		t.Errorf("%d gaps of not running, want 1", n)
	}
	if n := s.count("SELECT count() FROM traffic.assignment WHERE source = 'conntrack' AND ended_at > (SELECT max(ended_at) FROM traffic.coverage)"); n != 0 {
		t.Errorf("%d rows reach beyond the coverage", n)
	}
	// The gap covers every flow that was not seen: what is stored outside of it is all.
	if n := s.count(fmt.Sprintf(`SELECT count() FROM traffic.assignment WHERE prefix_address = toIPv6('203.0.113.9') AND port_start = 1024 AND port_end = 2047
		AND protocol = 6 AND NOT open AND end_cause = 'release' AND lower(hex(access_ref)) = '%s'`, s.p.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "carl"}))); n != 1 {
		t.Errorf("%d rows of the block that RADIUS told of, want one, taken back", n)
	}
	rows := s.count("SELECT uniqExact(assignment_id) FROM traffic.assignment WHERE source = 'conntrack'")
	t.Logf("%d flows asked about, %d assignments of ports", len(truth), rows)
}
