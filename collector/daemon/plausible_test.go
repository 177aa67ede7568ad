package daemon

import (
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/bpf"
	"griffier/collector/datapath"
)

func TestImplausibleReadingsAreLoggedOncePerChange(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	p := plausibility{balanced: true}
	good := bpf.Totals{}
	bad := bpf.Totals{}
	bad.Up.Total.Packets = 1
	compared := func(frames, packets, iface uint64) datapath.Plausibility {
		return datapath.Plausibility{Up: datapath.Compared{Frames: frames, Packets: packets, Interface: iface}}
	}
	for i, x := range []struct {
		totals bpf.Totals
		now    datapath.Plausibility
		want   string // what is logged, "" for nothing
	}{
		{good, compared(0, 0, 0), ""},
		{good, compared(1000, 44000, 20000), ""},                       // aggregates: between the two
		{good, compared(1000, 44000, 44150), ""},                       // in flight
		{good, compared(1_001_000, 1_044_000, 1_045_000), ""},          // a thousandth
		{good, compared(1_002_000, 1_045_000, 1_048_000), "not see"},   // 2,000 of 3,000 were not
		{good, compared(1_003_000, 1_046_000, 1_051_000), ""},          // still so
		{good, compared(1_004_000, 1_047_000, 1_052_000), "alike"},     // and no more: what was missed is past
		{good, compared(1_014_000, 1_057_000, 1_052_000), ""},          // the gap closes
		{good, compared(1_064_000, 1_097_000, 1_052_100), "twice"},     // now the programs have more
		{bad, compared(1_065_000, 1_098_000, 1_053_100), "not add up"}, // and "alike" with it
		{bad, compared(1_066_000, 1_099_000, 1_054_100), ""},
		{good, compared(1_067_000, 1_100_000, 1_055_100), "add up again"},
	} {
		log.Reset()
		p.judge(logger, x.totals, x.now)
		if got := log.String(); (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
			t.Errorf("reading %d logs %q, want %q", i, got, x.want)
		}
	}
}

// Frames that go out past the programs, as an offload would have them, show in
// metrics and log.
func TestTrafficPastTheProgramsShows(t *testing.T) {
	s := newSetup(t)
	c := s.start()
	link := s.wire(s.router, accessLink)
	if err := unix.SetsockoptInt(link.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		t.Fatal(err)
	}
	s.readings(1)
	frame := make([]byte, 60)
	copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
	// Stopped, it reads them in one piece: a reading in a pause of theirs would end
	// the first warning, and the next begin a second.
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 4000 {
		link.send(t, frame)
		if i%100 == 99 {
			time.Sleep(time.Millisecond)
		}
	}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.readings(2) // the first may have been under way
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-c.read
	if n := strings.Count(c.output.String(), "that the programs do not see"); n != 1 {
		t.Errorf("it was logged %d times, want once:\n%s", n, c.output.String())
	}
}
