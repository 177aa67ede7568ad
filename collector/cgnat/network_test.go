package cgnat

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// network is subscribers, a translating router and the world, each a network
// namespace. Subscribers are addresses of 100.64.0.0/24 in one namespace.
type network struct {
	t                         *testing.T
	subscriber, router, world string
}

const worldAddress = "198.51.100.2"

func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// newNetwork needs root. rules are the statements of the postrouting chain.
func newNetwork(t *testing.T, subscribers int, rules string) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces and conntrack")
	}
	name := func(s string) string { return fmt.Sprintf("griffier-cgn-%s%d", s, os.Getpid()) }
	n := &network{t, name("s"), name("r"), name("w")}
	for _, ns := range []string{n.subscriber, n.router, n.world} {
		run(t, "", "ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		run(t, "", "ip", "-n", ns, "link", "set", "lo", "up")
	}
	run(t, "", "ip", "-n", n.router, "link", "add", "access0", "type", "veth", "peer", "name", "wan", "netns", n.subscriber)
	run(t, "", "ip", "-n", n.router, "link", "add", "core0", "type", "veth", "peer", "name", "core", "netns", n.world)
	var batch strings.Builder
	for i := range subscribers {
		fmt.Fprintf(&batch, "address add 100.64.0.%d/24 dev wan\n", 10+i)
	}
	batch.WriteString("link set wan up\n")
	run(t, batch.String(), "ip", "-n", n.subscriber, "-batch", "-")
	run(t, "address add 100.64.0.1/24 dev access0\naddress add 198.51.100.1/24 dev core0\nlink set access0 up\nlink set core0 up\nroute add 203.0.113.0/24 dev lo\n",
		"ip", "-n", n.router, "-batch", "-")
	run(t, "address add "+worldAddress+"/24 dev core\nlink set core up\nroute add 203.0.113.0/24 via 198.51.100.1\n", "ip", "-n", n.world, "-batch", "-")
	run(t, "route add default via 100.64.0.1\n", "ip", "-n", n.subscriber, "-batch", "-")
	n.sysctl("net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_events=1", "net.netfilter.nf_conntrack_timestamp=1", "net.netfilter.nf_conntrack_max=262144",
		"net.netfilter.nf_conntrack_udp_timeout=3600") // no flow ends by itself, however slow the machine is
	run(t, "table ip nat { chain post { type nat hook postrouting priority 100; "+rules+"\n}; }\n", "ip", "netns", "exec", n.router, "nft", "-f", "-")
	return n
}

func (n *network) sysctl(settings ...string) {
	n.t.Helper()
	run(n.t, "", "ip", append([]string{"netns", "exec", n.router, "sysctl", "-qw"}, settings...)...)
}

// in runs f with its thread in a namespace. Sockets that f opens stay there.
func (n *network) in(ns string, f func()) {
	n.t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		there, err := netns.GetFromName(ns)
		if err == nil {
			err = netns.Set(there)
			there.Close()
		}
		if err != nil {
			n.t.Error(err)
			return
		}
		f()
	})
	wg.Wait()
}

// flows waits until the router's conntrack has so many entries: on a busy machine
// packets are on their way for some time after they were sent.
func (n *network) flows(want int) {
	n.t.Helper()
	n.in(n.router, func() {
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
			text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
			if have, e := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || e != nil || have >= want {
				if err != nil || e != nil {
					n.t.Error(err, e)
				}
				return
			}
			if time.Now().After(deadline) {
				n.t.Errorf("conntrack has %s entries after two minutes, want %d", text, want)
				return
			}
		}
	})
}

// namespace returns a descriptor of the router's.
func (n *network) namespace() int {
	n.t.Helper()
	h, err := netns.GetFromName(n.router)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { h.Close() })
	return int(h)
}

// sighting is what the world saw: a public address and port at an instant, and,
// from the payload, who it really was.
type sighting struct {
	public     netip.AddrPort
	protocol   uint8
	at         time.Time
	subscriber byte
}

// world collects sightings at UDP and TCP ports from 9000.
type world struct {
	mu   sync.Mutex
	seen []sighting
}

func (w *world) note(protocol uint8, from net.Addr, payload []byte) {
	s := sighting{protocol: protocol, at: time.Now(), subscriber: payload[0]}
	switch a := from.(type) {
	case *net.UDPAddr:
		s.public = a.AddrPort()
	case *net.TCPAddr:
		s.public = a.AddrPort()
	}
	s.public = netip.AddrPortFrom(s.public.Addr().Unmap(), s.public.Port())
	w.mu.Lock()
	w.seen = append(w.seen, s)
	w.mu.Unlock()
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

// await waits until the world has seen so many flows, or two minutes.
func (w *world) await(want int) {
	for deadline := time.Now().Add(2 * time.Minute); w.count() < want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

func (n *network) listen(ports int) *world {
	w := &world{}
	n.in(n.world, func() {
		for i := range ports {
			u, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 9000 + i})
			if err != nil {
				n.t.Error(err)
				return
			}
			u.SetReadBuffer(8 << 20)
			l, err := net.ListenTCP("tcp4", &net.TCPAddr{Port: 9000 + i})
			if err != nil {
				n.t.Error(err)
				return
			}
			n.t.Cleanup(func() { u.Close(); l.Close() })
			go func() {
				payload := make([]byte, 64)
				for {
					_, from, err := u.ReadFrom(payload)
					if err != nil {
						return
					}
					w.note(17, from, payload)
				}
			}()
			go func() {
				payload := make([]byte, 64)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if _, err := c.Read(payload); err == nil {
						w.note(6, c.RemoteAddr(), payload)
					}
					c.Close()
				}
			}()
		}
	})
	return w
}

// send opens one flow from a subscriber's own source port (0: any).
func (n *network) send(network string, subscriber byte, from, to int) {
	local, payload := net.IPv4(100, 64, 0, subscriber), binary.BigEndian.AppendUint64([]byte{subscriber}, uint64(from))
	d := net.Dialer{Timeout: time.Minute}
	if network == "udp4" {
		d.LocalAddr = &net.UDPAddr{IP: local, Port: from}
	} else {
		d.LocalAddr = &net.TCPAddr{IP: local, Port: from}
	}
	c, err := d.Dial(network, net.JoinHostPort(worldAddress, strconv.Itoa(to)))
	if err != nil {
		n.t.Errorf("%s: %v", network, err)
		return
	}
	if _, err := c.Write(payload); err != nil {
		n.t.Error(err)
	}
	if network == "tcp4" {
		c.Read(payload) // until the world closed
	}
	c.Close()
}
