package datapath

import (
	"bufio"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

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
