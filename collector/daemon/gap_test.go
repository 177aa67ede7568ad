package daemon

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// A collector that cannot keep up with control frames says when it could not.
func TestLostControlFramesAreDeclared(t *testing.T) {
	s := newSetup(t)
	f, err := os.Open("../replay/testdata/dhcp4_client_side_dora_renew_release.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var discover []byte
	for discover == nil {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if len(frame) > 300 && !fromServer(frame) {
			discover = frame
		}
	}
	c := s.start()
	link := s.wire(s.sub, "wan")
	s.readings(1) // it has read the counter of drops
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 { // the ring has room for some 1900
		link.send(t, discover)
		if i%100 == 99 {
			time.Sleep(time.Millisecond)
		}
	}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.readings(1)
	c.stop()
	if n := s.count("SELECT count() FROM traffic.coverage WHERE state = 'gap' AND cause = 'ring_drop' AND ended_at > started_at"); n != 1 {
		t.Errorf("%d gaps are declared, want 1", n)
	}
	if n := s.count("SELECT count() FROM traffic.coverage AS g, traffic.coverage AS c WHERE g.state = 'gap' AND c.state = 'covered' AND c.started_at < g.ended_at AND g.started_at < c.ended_at"); n != 0 {
		t.Errorf("%d covered intervals overlap a gap", n)
	}
}
