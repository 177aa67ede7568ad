package datapath

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// childEnv makes this test binary a collector that opens a datapath, says so, and
// waits to be killed.
const childEnv = "GRIFFIER_DATAPATH_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		// A history loads programs into the kernel several times, so a few go a long way.
		_ = flag.Set("rapid.checks", "20")
		_ = flag.Set("rapid.steps", "80")
	}
	os.Exit(m.Run())
}

func child(dir string) int {
	index, err := strconv.Atoi(os.Getenv(childEnv + "_IFINDEX"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	d, err := Open(Config{PinDir: dir, MaxSlots: 8, Interfaces: []Interface{{Index: index}}}, time.Now)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := d.Assign(Key{Prefix: netip.MustParsePrefix("100.64.0.12/32")}, ref(1)); err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := d.Drain(time.Now()); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("counting")
	select {}
}

// open opens a datapath at the edge of a wire.
func open(t testing.TB, w *bpftest.Wire, cfg Config) *Datapath {
	t.Helper()
	cfg.Interfaces = []Interface{{Index: w.EdgeIndex}}
	var d *Datapath
	bpftest.In(t, w.Edge, func() {
		var err error
		if d, err = Open(cfg, time.Now); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { d.Detach() })
	return d
}

// settled drains until nothing has moved for a while and frames have passed.
func settled(t testing.TB, d *Datapath, frames uint64) Report {
	t.Helper()
	var last Report
	for deadline, quiet := time.Now().Add(20*time.Second), 0; time.Now().Before(deadline); {
		r, err := d.Drain(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !r.Totals.Balanced() {
			t.Fatalf("the equation does not close: %+v", r.Totals)
		}
		if r.Totals == last.Totals && r.Totals.Up.Frames+r.Totals.Down.Frames >= frames {
			if quiet++; quiet == 5 {
				return r
			}
		} else {
			quiet = 0
		}
		last = r
		time.Sleep(30 * time.Millisecond)
	}
	t.Fatalf("%d frames passed, want %d", last.Totals.Up.Frames+last.Totals.Down.Frames, frames)
	return last
}

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

// TestRealTraffic sends UDP, ICMP and TCP (with segmentation offload) both ways
// over a wire and compares with the senders' own counters: equal, not about.
func TestRealTraffic(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 16})
	address(t, w)
	for _, p := range []string{"100.64.0.12/32", "2001:db8:0:1200::/56"} {
		if _, err := d.Assign(Key{Prefix: netip.MustParsePrefix(p)}, ref(1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []struct {
		version   int
		edge      string
		headers   uint64 // of a TCP segment: IP, TCP, time stamp option
		udpHeader uint64
	}{
		{4, "100.64.0.1", 20 + 20 + 12, 28},
		{6, "2001:db8:0:1234::1", 40 + 20 + 12, 48},
	} {
		t.Run(fmt.Sprintf("IPv%d", v.version), func(t *testing.T) {
			count := func(r Report) (up, down bpf.Count) {
				if v.version == 4 {
					return r.Slots[0].Up4, r.Slots[0].Down4
				}
				return r.Slots[0].Up6, r.Slots[0].Down6
			}
			compare := func(what string, move func()) {
				t.Helper()
				up0, down0 := count(settled(t, d, 0))
				sub0, edge0 := sentCounters(t, w.Sub, v.version), sentCounters(t, w.Edge, v.version)
				move()
				r := settled(t, d, 0)
				up, down := count(r)
				sub := sentCounters(t, w.Sub, v.version).minus(sub0)
				edge := sentCounters(t, w.Edge, v.version).minus(edge0)
				if got, want := up.Minus(up0), sub.onTheWire(v.headers); got != want {
					t.Errorf("%s: up %+v, the subscriber sent %+v (%+v)", what, got, want, sub)
				}
				if got, want := down.Minus(down0), edge.onTheWire(v.headers); got != want {
					t.Errorf("%s: down %+v, the edge sent %+v (%+v)", what, got, want, edge)
				}
				if up == up0 {
					t.Errorf("%s: nothing moved", what)
				}
				t.Logf("%s: up %+v, down %+v", what, up.Minus(up0), down.Minus(down0))
			}
			compare("UDP", func() {
				const n, size = 2000, 242
				up0, _ := count(settled(t, d, 0))
				sendUDP(t, w, v.edge, n, size)
				up, _ := count(settled(t, d, 0))
				// What the application did, besides what its kernel says.
				if got, want := up.Minus(up0), (bpf.Count{Bytes: n * (size + v.udpHeader), Packets: n}); got != want {
					t.Errorf("UDP: up %+v, the application sent %+v", got, want)
				}
			})
			compare("ping", func() { ping(t, w, v.edge, 20) })
			compare("TCP", func() { sendTCP(t, w, v.edge, 64<<20, 16<<20) })
		})
	}
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

// TestRecyclingUnderTraffic hands two slots from line to line while every line's
// frames flow all the time, each line's of its own size. A line that inherited or
// lent a single byte would not divide by its size.
func TestRecyclingUnderTraffic(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 2})
	const lines = 12
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	var frames [lines][]byte
	size := func(i byte) uint64 { return uint64(101 + 2*int(i)) }
	key := func(i byte) Key {
		return Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 32)}
	}
	for i := range byte(lines) {
		packet := bpftest.IPv4(key(i).Prefix.Addr(), bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, size(i)-28)))
		frames[i] = bpftest.Ethernet(0x0800, packet)
	}
	stop, sent := make(chan struct{}), make(chan uint64)
	go func() {
		n := uint64(0)
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			for _, f := range frames {
				send(f)
				n++
			}
			runtime.Gosched()
			time.Sleep(100 * time.Microsecond)
		}
	}()
	got := map[hold]SlotCount{}
	lives := map[uint32]int{}
	drain := func() Report {
		r, err := d.Drain(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !r.Totals.Balanced() {
			t.Fatalf("the equation does not close under traffic: %+v", r.Totals)
		}
		for _, s := range append(r.Slots, r.Final...) {
			// One hold's readings under traffic can lie between the two additions for a
			// packet; its final one cannot.
			got[hold{r.Epoch, s.Slot, s.Generation}] = s
		}
		return r
	}
	for round := range 40 {
		a, b := byte(round%lines), byte((round+5)%lines)
		for _, i := range []byte{a, b} {
			n, err := d.Assign(key(i), ref(i+1))
			if err != nil {
				t.Fatal(err)
			}
			lives[n]++
		}
		time.Sleep(6 * time.Millisecond)
		for _, i := range []byte{a, b} {
			if err := d.Unassign(key(i)); err != nil {
				t.Fatal(err)
			}
		}
		if r := drain(); len(r.Final) != 2 {
			t.Fatalf("round %d: final %+v, want two", round, r.Final)
		}
		drain() // acknowledges, so both slots are free
	}
	close(stop)
	n := <-sent
	r := settled(t, d, n)
	var sum uint64
	for h, s := range got {
		i := s.Owner[0] - 1
		if s.Up4.Bytes != s.Up4.Packets*size(i) {
			t.Errorf("slot %d generation %d: %+v is not packets of %d bytes", h.slot, h.generation, s.Up4, size(i))
		}
		sum += s.Up4.Packets
	}
	if len(got) != 80 || len(lives) != 2 {
		t.Errorf("%d holds of %d slots, want 80 of 2", len(got), len(lives))
	}
	if up := r.Totals.Up; up.Frames != n || sum != up.Attributed4.Packets || up.Attributed4.Packets+up.Unattributed4.Packets != n || sum == 0 {
		t.Errorf("sent %d, counted %d in slots, totals %+v", n, sum, up)
	}
	t.Logf("%d frames, %d of them in 80 holds of 2 slots", n, sum)
}

// TestKilledCollectorsLoseNothing kills collectors with -9 while frames flow; what
// came while none lived is the same line's.
func TestKilledCollectorsLoseNothing(t *testing.T) {
	w := bpftest.NewWire(t)
	dir := filepath.Join(bpftest.BPFFS(t), "g")
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))

	cmd := start(t, w, dir)
	stop, sent := make(chan struct{}), make(chan uint64)
	go func() {
		n := uint64(0)
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			for range 50 {
				send(frame)
				n++
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for range 4 {
		kill(t, cmd)
		time.Sleep(20 * time.Millisecond)
		cmd = start(t, w, dir)
	}
	kill(t, cmd)
	time.Sleep(20 * time.Millisecond)
	close(stop)
	n := <-sent

	d := open(t, w, Config{PinDir: dir, MaxSlots: 8})
	if r := d.Reconciled(); r.Resumed != 1 || r.StrayKeys != 0 || r.NewCounters {
		t.Errorf("Reconciled = %+v, want one resumed", r)
	}
	r := settled(t, d, n)
	if len(r.Slots) != 1 || r.Slots[0].Owner != ref(1) || r.Slots[0].Generation != 1 ||
		r.Slots[0].Up4 != (bpf.Count{Bytes: 100 * n, Packets: n}) {
		t.Errorf("report %+v, want all %d packets", r.Slots, n)
	}
	if r.Totals.Up.Frames != n || len(r.Lost) != 0 {
		t.Errorf("totals %+v, lost %v, want %d frames", r.Totals.Up, r.Lost, n)
	}
	t.Logf("%d frames over 5 collectors killed", n)
}

func start(t *testing.T, w *bpftest.Wire, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childEnv+"_IFINDEX="+strconv.Itoa(w.EdgeIndex))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bpftest.In(t, w.Edge, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "counting\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("child: %q, %v", line, err)
	}
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says "killed", as it should
}

// TestPunts: a control frame arrives with the time it passed and its tags, also
// when it passed while no collector lived; anything else does not arrive.
func TestPunts(t *testing.T) {
	w := bpftest.NewWire(t)
	dir := filepath.Join(bpftest.BPFFS(t), "g")
	d := open(t, w, Config{PinDir: dir, MaxSlots: 8})
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	dhcp := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 300))),
		bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7))
	other := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 53, bpftest.DHCP4(1, 300))))
	receive := func(d *Datapath, before, after time.Time) {
		t.Helper()
		select {
		case f := <-d.Punts():
			if string(f.Frame) != string(dhcp) || f.Len != len(dhcp) || f.Interface != "r0" || f.Ifindex != w.EdgeIndex || f.Direction != bpf.Up {
				t.Errorf("frame %+v", f)
			}
			if len(f.VLANs) != 2 || f.VLANs[0] != (VLAN{0x88a8, 100}) || f.VLANs[1] != (VLAN{0x8100, 7}) {
				t.Errorf("tags %v", f.VLANs)
			}
			if f.At.Before(before.Add(-time.Millisecond)) || f.At.After(after.Add(time.Millisecond)) {
				t.Errorf("at %v, want between %v and %v", f.At, before, after)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no frame")
		}
	}
	before := time.Now()
	send(other)
	send(dhcp)
	receive(d, before, time.Now())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-d.Punts(); ok {
		t.Error("a frame after Close")
	}
	before = time.Now()
	send(dhcp)
	send(other)
	time.Sleep(30 * time.Millisecond)
	after := time.Now()
	time.Sleep(30 * time.Millisecond)
	d = open(t, w, Config{PinDir: dir, MaxSlots: 8})
	receive(d, before, after)
	r := settled(t, d, 4)
	if r.Totals.Up.Punted != 2 || r.Totals.Up.PuntDrops != 0 || d.PuntsMalformed() != 0 {
		t.Errorf("totals %+v, want 2 punted", r.Totals.Up)
	}
	select {
	case f := <-d.Punts():
		t.Errorf("another frame: %+v", f)
	default:
	}
}

// TestLostInterface: a report names the interface that went away.
func TestLostInterface(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 8})
	if r := settled(t, d, 0); len(r.Lost) != 0 {
		t.Errorf("lost %v", r.Lost)
	}
	bpftest.RemoveLink(t, w.Edge, "r0")
	if r := settled(t, d, 0); len(r.Lost) != 1 || r.Lost[0] != "r0" {
		t.Errorf("lost %v, want r0", r.Lost)
	}
}

// TestInterfacesThatCannotBeCounted are refused before anything is attached.
func TestInterfacesThatCannotBeCounted(t *testing.T) {
	w := bpftest.NewWire(t)
	bpftest.In(t, w.Edge, func() {
		h, err := netlink.NewHandle()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		r0, err := h.LinkByName("r0")
		if err != nil {
			t.Fatal(err)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "br0"
		bridge := &netlink.Bridge{LinkAttrs: attrs}
		if err := h.LinkAdd(bridge); err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetMaster(r0, bridge); err != nil {
			t.Fatal(err)
		}
		attrs = netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "mv0", bridge.Attrs().Index
		if err := h.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			t.Fatal(err)
		}
		for _, names := range [][]string{{"nosuch"}, {"lo"}, {"r0", "r0"}, {"r0", "br0"}, {"br0", "r0"}, {"br0", "mv0"}, {"mv0", "br0"}} {
			var is []Interface
			for _, n := range names {
				is = append(is, Interface{Name: n})
			}
			if d, err := Open(Config{Interfaces: is, MaxSlots: 1}, time.Now); !errors.Is(err, ErrInterface) {
				if err == nil {
					d.Detach()
				}
				t.Errorf("Open(%v) = %v, want ErrInterface", names, err)
			}
		}
		if _, err := resolve([]Interface{{Name: "r0"}, {Name: "mv0"}}); err != nil {
			t.Errorf("resolve of two that share nothing = %v", err)
		}
	})
}
