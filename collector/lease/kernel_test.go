package lease

import (
	"bytes"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"griffier/bpf"
	"griffier/bpf/bpftest"
	"griffier/collector/binding"
)

// throughKernel passes frames through the kernel's program and returns those that
// it copied to user space, of the kinds asked for, as a Follower gets them.
func throughKernel(t *testing.T, punt bpf.PuntFlags, frames []Frame) (copied []Frame) {
	t.Helper()
	bpftest.NeedRoot(t)
	accounting, err := bpf.Load(bpf.Options{MaxSlots: 8, Punt: punt})
	if err != nil {
		t.Fatal(err)
	}
	defer accounting.Close()
	punts, err := accounting.Punts()
	if err != nil {
		t.Fatal(err)
	}
	defer punts.Close()
	for _, f := range frames {
		direction := bpf.Up
		if f.Direction == "down" {
			direction = bpf.Down
		}
		before, err := accounting.ReadTotals()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := accounting.Program(direction).Run(&ebpf.RunOptions{Data: f.Data}); err != nil {
			t.Fatal(err)
		}
		after, err := accounting.ReadTotals()
		if err != nil {
			t.Fatal(err)
		}
		if before.Up.Punted+before.Down.Punted == after.Up.Punted+after.Down.Punted {
			continue
		}
		punt, err := punts.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(punt.Frame, f.Data) || punt.Direction != direction {
			t.Fatalf("another frame came out than went in")
		}
		f.Data = punt.Frame
		copied = append(copied, f)
	}
	return copied
}

// TestKernelCopiesWhatIsNeeded: a Follower that gets only what the kernel copies
// observes what one observes that sees every frame of the link; and passwords and
// data are not among it.
func TestKernelCopiesWhatIsNeeded(t *testing.T) {
	var frames []Frame
	capture := func(name string, count int, fromServer func([]byte) bool) {
		for _, c := range readCapture(t, name, count) {
			frames = append(frames, Frame{At: c.at, Interface: "e0", Direction: direction(fromServer(c.data)), Data: c.data})
		}
	}
	toClient := func(mac string) func([]byte) bool {
		return func(frame []byte) bool { return string(frame[:6]) == mac }
	}
	capture(pppoeCapture, 41, toClient("\x02\xaa\xbb\xcc\x00\x01"))
	capture(clientSide6, 8, toClient("\x02\x11\x22\x33\x44\x55"))
	capture("dhcp6_release_rapid_client_side.pcap", 16, func(frame []byte) bool { return frame[54] == 2 && frame[55] == 0x23 })
	second := 0
	for _, p := range []pppoe{
		discovery(PADR, 0, tr101(1, 2, 'c', '1')).on(100, 7), discovery(PADS, 3).on(100, 7),
		control(pppLCP, configureRequest, 1).at(3).on(100, 7), control(0xc023, 1, 1, []byte("\x08user0001\x06secret")).at(3).on(100, 7),
		control(pppIPCP, configureRequest, 1, ipcpAddress("100.64.0.10")).at(3).on(100, 7), control(pppIPCP, configureAck, 1, ipcpAddress("100.64.0.10")).at(3).byAC().on(100, 7),
	} {
		frames = append(frames, Frame{At: at(second), Interface: "e0", Direction: direction(p.fromAC), Data: p.frame(t)})
		second++
	}
	for _, d := range []dhcp6{
		message6(Request6).within(3).on(100, 7), message6(Reply6, iapd(1, prefix6("2001:db8:100::/56", 3600))).within(3).on(100, 7),
	} {
		frames = append(frames, Frame{At: at(second), Interface: "e0", Direction: direction(d.typ.fromServer()), Data: d.frame(t)})
		second++
	}
	frames = append(frames, Frame{At: at(second), Interface: "e0", Direction: "up", Data: control(pppLCP, terminateRequest, 1).at(3).on(100, 7).frame(t)})

	follow := func(frames []Frame) (all []binding.Observation) {
		follower := NewFollower(Config{})
		for _, f := range frames {
			r, _ := follower.Apply(f)
			all = append(all, r.Observations...)
		}
		return all
	}
	copied := throughKernel(t, bpf.PuntDHCPv4|bpf.PuntDHCPv6|bpf.PuntPPPoE, frames)
	want, got := follow(frames), follow(copied)
	if len(want) != 2+6+12+5 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d observations of what the kernel copied, %d of everything, want 25", len(got), len(want))
	}
	for _, f := range copied {
		if bytes.Contains(f.Data, []byte("secret")) || bytes.Contains(f.Data, []byte{0xc0, 0x23}) {
			t.Error("a password left the kernel")
		}
	}
	// Of the capture: 4 discovery frames and 2 PADT, 2 IPCP, 1 IPV6CP; not LCP's
	// Configure-Request, PAP, and 30 packets. Of ours: all but LCP's and PAP.
	if n := len(copied); n != 9+8+16+7 {
		t.Errorf("%d of %d frames copied, want 40", n, len(frames))
	}
}

// TestKernelCopiesEchoes: with what the kernel copies if echoes are asked for, a
// session that dies without a word ends at its host's last echo; of the others'
// frames nothing more is copied.
func TestKernelCopiesEchoes(t *testing.T) {
	var frames []Frame
	add := func(second int, p pppoe) {
		frames = append(frames, Frame{At: at(0).Add(time.Duration(second) * time.Second), Interface: "e0", Direction: direction(p.fromAC), Data: p.frame(t)})
	}
	for session, host := range map[uint16]net.HardwareAddr{1: mac1, 2: mac2} {
		add(0, discovery(PADR, 0).by(host))
		add(0, discovery(PADS, session).by(host))
	}
	for s := 0; s < 4000; s += 20 {
		add(s, echoed(2, mac2))
		add(s, control(pppLCP, echoRequest, 7, []byte{1, 2, 3, 4}).at(2).by(mac2).byAC())
		if s < 1000 {
			add(s, echoed(1, mac1))
		}
	}
	copied := throughKernel(t, bpf.PuntPPPoE|bpf.PuntEcho, frames)
	if want := 4 + 200 + 50; len(copied) != want {
		t.Errorf("%d of %d frames copied, want %d", len(copied), len(frames), want)
	}
	follower := NewFollower(Config{})
	var ends []binding.Observation
	for _, f := range copied {
		r, _ := follower.Apply(f)
		for _, o := range r.Observations {
			if o.Kind == binding.End {
				ends = append(ends, o)
			}
		}
	}
	if len(ends) != 1 || !ends[0].At.Equal(at(0).Add(980*time.Second)) || ends[0].EndCause != "lost_carrier" || ends[0].Certainty != "inferred" {
		t.Errorf("%+v", ends)
	}
}
