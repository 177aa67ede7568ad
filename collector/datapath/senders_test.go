package datapath

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// address gives both ends addresses and fixed neighbours, so that every packet on
// the wire is one that a socket of the test sent.
func address(t testing.TB, w *bpftest.Wire) {
	t.Helper()
	type end struct {
		ns         netns.NsHandle
		index      int
		addrs      []string
		mac        net.HardwareAddr
		neighbours []string
	}
	ends := []*end{
		{ns: w.Sub, index: w.SubIndex, addrs: []string{"100.64.0.12/24", "2001:db8:0:1234::17/64"}, neighbours: []string{"100.64.0.1", "2001:db8:0:1234::1"}},
		{ns: w.Edge, index: w.EdgeIndex, addrs: []string{"100.64.0.1/24", "2001:db8:0:1234::1/64"}, neighbours: []string{"100.64.0.12", "2001:db8:0:1234::17"}},
	}
	handle := func(ns netns.NsHandle) *netlink.Handle {
		h, err := netlink.NewHandleAt(ns)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		return h
	}
	for _, e := range ends {
		l, err := handle(e.ns).LinkByIndex(e.index)
		if err != nil {
			t.Fatal(err)
		}
		e.mac = l.Attrs().HardwareAddr
	}
	for i, e := range ends {
		h := handle(e.ns)
		l, err := h.LinkByIndex(e.index)
		if err != nil {
			t.Fatal(err)
		}
		// Without ARP there is no neighbour discovery and no multicast report either.
		if err := h.LinkSetARPOff(l); err != nil {
			t.Fatal(err)
		}
		for _, a := range e.addrs {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				t.Fatal(err)
			}
			addr.Flags = 0x02 // no duplicate address detection
			if err := h.AddrAdd(l, addr); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range e.neighbours {
			if err := h.NeighSet(&netlink.Neigh{
				LinkIndex: e.index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(n), HardwareAddr: ends[1-i].mac,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// kernelSent is what the kernel of one namespace says it sent: its own counters,
// which the programs under test have no part in.
type kernelSent struct {
	octets, packets uint64 // as handed to the interface, an aggregate being one
	tcpSegments     uint64 // on the wire, v4 and v6
	notTCP          uint64 // packets that were no TCP
}

func sentCounters(t testing.TB, ns netns.NsHandle, version int) kernelSent {
	t.Helper()
	values := map[string]uint64{}
	bpftest.In(t, ns, func() {
		// /proc/net is the calling thread's.
		for _, name := range []string{"snmp", "netstat", "snmp6"} {
			f, err := os.Open(fmt.Sprintf("/proc/thread-self/net/%s", name))
			if err != nil {
				t.Fatal(err)
			}
			readCounters(t, f, values)
			f.Close()
		}
	})
	k := kernelSent{tcpSegments: values["Tcp:OutSegs"] + values["Tcp:RetransSegs"]}
	if version == 4 {
		k.octets, k.packets = values["IpExt:OutOctets"], values["Ip:OutRequests"]
		k.notTCP = values["Udp:OutDatagrams"] + values["Icmp:OutMsgs"]
	} else {
		k.octets, k.packets = values["Ip6OutOctets"], values["Ip6OutRequests"]
		k.notTCP = values["Udp6OutDatagrams"] + values["Icmp6OutMsgs"]
	}
	return k
}

// readCounters reads either form: a line of names and a line of values, or a name
// and a value a line.
func readCounters(t testing.TB, r io.Reader, into map[string]uint64) {
	t.Helper()
	var names []string
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) == 2 && !strings.HasSuffix(f[0], ":") {
			n, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			into[f[0]] = n
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i, v := range f[1:] {
			if n, err := strconv.ParseUint(v, 10, 64); err == nil {
				into[f[0]+names[i+1]] = n
			}
		}
		names = nil
	}
}

func (k kernelSent) minus(o kernelSent) kernelSent {
	return kernelSent{k.octets - o.octets, k.packets - o.packets, k.tcpSegments - o.tcpSegments, k.notTCP - o.notTCP}
}

// onTheWire is what the kernel sent as packets on the wire. Aggregates are of TCP
// with time stamps only, whose segments repeat headers bytes.
func (k kernelSent) onTheWire(headers uint64) bpf.Count {
	extra := k.tcpSegments - (k.packets - k.notTCP)
	return bpf.Count{Bytes: k.octets + extra*headers, Packets: k.packets + extra}
}

// sendUDP sends datagrams from the subscriber to a socket of the edge that reads them.
func sendUDP(t *testing.T, w *bpftest.Wire, edge string, n, size int) {
	t.Helper()
	var sink net.PacketConn
	bpftest.In(t, w.Edge, func() {
		var err error
		if sink, err = net.ListenPacket("udp", net.JoinHostPort(edge, "0")); err != nil {
			t.Fatal(err)
		}
	})
	defer sink.Close()
	var c net.Conn
	bpftest.In(t, w.Sub, func() {
		var err error
		if c, err = net.Dial("udp", sink.LocalAddr().String()); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	b := make([]byte, size)
	for i := range n {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			time.Sleep(time.Millisecond)
		}
	}
}

func ping(t *testing.T, w *bpftest.Wire, edge string, n int) {
	t.Helper()
	bpftest.In(t, w.Sub, func() {
		out, err := exec.Command("ping", "-n", "-i", "0.01", "-c", strconv.Itoa(n), edge).CombinedOutput()
		if err != nil {
			t.Fatalf("ping: %v\n%s", err, out)
		}
	})
}

// sendTCP sends up bytes to the edge, which then sends down bytes back.
func sendTCP(t *testing.T, w *bpftest.Wire, edge string, up, down int64) {
	t.Helper()
	var l net.Listener
	bpftest.In(t, w.Edge, func() {
		var err error
		if l, err = net.Listen("tcp", net.JoinHostPort(edge, "0")); err != nil {
			t.Fatal(err)
		}
	})
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer c.Close()
		if _, err := io.CopyN(io.Discard, c, up); err != nil {
			served <- err
			return
		}
		_, err = io.CopyN(c, zeros{}, down)
		served <- err
	}()
	var c net.Conn
	bpftest.In(t, w.Sub, func() {
		var err error
		if c, err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	if _, err := io.CopyN(c, zeros{}, up); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); err != nil || n != down {
		t.Fatalf("read %d, %v, want %d", n, err, down)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
