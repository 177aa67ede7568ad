package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// network is a router and its subscribers, each a network namespace, joined by
// the access link.
type network struct {
	t           *testing.T
	router, sub string
}

const accessLink = "access0"

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newNetwork needs root.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t, fmt.Sprintf("griffier-r%d", os.Getpid()), fmt.Sprintf("griffier-s%d", os.Getpid())}
	for _, ns := range []string{n.router, n.sub} {
		command(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		command(t, "ip", "-n", ns, "link", "set", "lo", "up")
	}
	command(t, "ip", "-n", n.router, "link", "add", accessLink, "address", "02:00:00:00:00:01", "type", "veth",
		"peer", "name", "wan", "address", "02:00:00:00:00:02", "netns", n.sub)
	n.address(n.router, accessLink, "100.64.0.1/24", "2001:db8:0:ff00::1/40")
	n.address(n.sub, "wan", "100.64.0.11/24", "100.64.0.12/24", "2001:db8:0:1100::11/40", "2001:db8:0:1200::12/40")
	// Neighbours are known, so that nobody's discovery counts.
	for _, a := range []string{"100.64.0.11", "100.64.0.12", "2001:db8:0:1100::11", "2001:db8:0:1200::12"} {
		command(t, "ip", "-n", n.router, "neigh", "add", a, "lladdr", "02:00:00:00:00:02", "dev", accessLink, "nud", "permanent")
	}
	for _, a := range []string{"100.64.0.1", "2001:db8:0:ff00::1"} {
		command(t, "ip", "-n", n.sub, "neigh", "add", a, "lladdr", "02:00:00:00:00:01", "dev", "wan", "nud", "permanent")
	}
	return n
}

func (n *network) address(ns, link string, addresses ...string) {
	for _, a := range addresses {
		args := []string{"-n", ns, "address", "add", a, "dev", link}
		if strings.Contains(a, ":") {
			args = append(args, "nodad")
		}
		command(n.t, "ip", args...)
	}
	command(n.t, "ip", "-n", ns, "link", "set", link, "up")
}

// listen opens a UDP socket in a namespace. What it receives is read and dropped.
func (n *network) listen(ns, address string) *net.UDPConn {
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
			panic(err) // the thread must not serve anything else
		}
	}()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2048)
		for {
			if _, _, err := c.ReadFromUDPAddrPort(buffer); err != nil {
				return
			}
		}
	}()
	n.t.Cleanup(func() { c.Close(); <-done })
	return c
}

// path is a way for a subscriber's packets, both directions.
type path struct {
	subscriber, router   *net.UDPConn
	subscriberAt, routAt netip.AddrPort
	headers              uint64
}

func (n *network) path(subscriber string) path {
	router, headers := "100.64.0.1", uint64(20+8)
	if strings.Contains(subscriber, ":") {
		router, headers = "2001:db8:0:ff00::1", 40+8
	}
	at := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), 5000) }
	p := path{subscriberAt: at(subscriber), routAt: netip.AddrPortFrom(netip.MustParseAddr(router), 0), headers: headers}
	p.subscriber = n.listen(n.sub, p.subscriberAt.String())
	p.router = n.listen(n.router, p.routAt.String())
	p.routAt = p.router.LocalAddr().(*net.UDPAddr).AddrPort()
	return p
}

// moved is what a sender knows that it sent.
type moved struct{ bytes, packets uint64 }

// traffic is a line's truth, by direction and IP version.
type traffic map[string]moved

func (t traffic) add(key string, m moved) {
	t[key] = moved{t[key].bytes + m.bytes, t[key].packets + m.packets}
}

// exchange sends count packets each way and adds them to the truth.
func (p path) exchange(t *testing.T, truth traffic, count int) {
	t.Helper()
	version := "4"
	if p.headers == 48 {
		version = "6"
	}
	send := func(direction string, from *net.UDPConn, to netip.AddrPort, size int) {
		payload := make([]byte, size)
		for i := range count {
			if _, err := from.WriteToUDPAddrPort(payload, to); err != nil {
				t.Error(err) // may be another goroutine than the test's
				return
			}
			truth.add(direction+version, moved{p.headers + uint64(size), 1})
			if i%50 == 49 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	send("up", p.subscriber, p.routAt, 100)
	send("down", p.router, p.subscriberAt, 1000)
}
