package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"griffier/bpf"
	"griffier/bpf/bpfbench"
	"griffier/bpf/bpftest"
	"griffier/collector/datapath"
)

const (
	drainedFrames   = 20_000_000
	drainedChunk    = 100_000
	restartedFrames = 10_000_000
	restarts        = 8
)

// benchDrainedLoss counts 20 million packets on two CPUs while all counters are read
// over and over, and emits how many are missing; against a flow program's per-CPU hash
// that is emptied by look-up-and-delete, as flow exporters do, under the same packets.
func benchDrainedLoss(emit func(result)) error {
	acct, err := bpf.Load(bpf.Options{MaxSlots: 4096})
	if err != nil {
		return err
	}
	defer acct.Close()
	if err := acct.Put(bpf.Key{Prefix: netip.PrefixFrom(bpftest.Sub4, 32)}, 1); err != nil {
		return err
	}
	var peers bpfbench.FlowObjects
	if err := bpfbench.LoadFlowObjects(&peers, nil); err != nil {
		return fmt.Errorf("load baselines: %w", err)
	}
	defer peers.Close()
	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(50000, 443, make([]byte, 100))))
	counters := make([]bpf.Counters, acct.MaxSlots()+1)
	sum := func() (uint64, error) {
		if err := acct.ReadCounters(counters); err != nil {
			return 0, err
		}
		n := uint64(0)
		for _, c := range counters {
			n += c.Up4.Packets
		}
		return n, nil
	}
	ours, drains, err := underLoad(acct.Program(bpf.Up), frame, func() (err error) {
		_, err = sum()
		return err
	})
	if err != nil {
		return err
	}
	after, err := sum()
	if err != nil {
		return err
	}
	lost := int64(ours) - int64(after)

	var flows uint64
	empty := func() error {
		var key, next [40]byte
		var values []bpf.Count
		err := peers.Flows.NextKey(nil, &next)
		for ; err == nil; err = peers.Flows.NextKey(key, &next) {
			key = next
			if err := peers.Flows.LookupAndDelete(key, &values); err != nil {
				return err
			}
			for _, v := range values {
				flows += v.Packets
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		return err
	}
	theirs, emptied, err := underLoad(peers.FiveTuple, frame, empty)
	if err != nil {
		return err
	}
	if err := empty(); err != nil {
		return err
	}
	lostFlows := int64(theirs) - int64(flows)
	emit(result{
		Name: fmt.Sprintf("datapath/lost_of_%d_in_%d_drains", ours, drains), Value: float64(lost), Unit: "packets",
		Baseline:      fmt.Sprintf("lookup-and-delete of a 5-tuple hash, %d times, of %d", emptied, theirs),
		BaselineValue: float64(lostFlows), Ratio: ratio(lost, lostFlows),
	})
	if lost != 0 {
		return fmt.Errorf("%d packets of %d are missing", lost, ours)
	}
	return nil
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// underLoad runs the program on the frame on two threads, and drain over and over
// meanwhile. It returns how many packets and drains there were.
func underLoad(p *ebpf.Program, frame []byte, drain func() error) (packets, drains uint64, err error) {
	var running sync.WaitGroup
	var failed, again atomic.Uint64
	var done atomic.Bool
	for range 2 {
		running.Go(func() {
			if err := withoutPreemption(); err != nil {
				failed.Add(1)
				return
			}
			for range drainedFrames / drainedChunk / 2 {
				// The kernel ends a run that a signal interrupts, and it is repeated: then
				// nobody knows how many packets there were.
				if _, _, err := p.Benchmark(frame, drainedChunk, func() { again.Add(1) }); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	go func() { running.Wait(); done.Store(true) }()
	for !done.Load() {
		if err := drain(); err != nil {
			running.Wait()
			return 0, 0, err
		}
		drains++
	}
	if n := failed.Load() + again.Load(); n > 0 {
		return 0, 0, fmt.Errorf("%d program runs failed or were interrupted: run it again", n)
	}
	return drainedFrames, drains, nil
}

// withoutPreemption keeps the Go runtime from signalling this thread, which ends with
// the goroutine.
func withoutPreemption() error {
	runtime.LockOSThread()
	var set unix.Sigset_t
	const bit = uint(unix.SIGURG) - 1
	set.Val[bit/64] |= 1 << (bit % 64)
	return unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}

const collectorEnv = "GRIFFIER_BENCH_COLLECTOR"

// A bench that kills collectors starts itself as one.
func init() {
	if dir := os.Getenv(collectorEnv); dir != "" {
		fmt.Println(collect(dir))
		os.Exit(1)
	}
}

// collect counts until it is killed; what it returns is why it could not.
func collect(dir string) error {
	index, err := strconv.Atoi(os.Getenv(collectorEnv + "_IFINDEX"))
	if err != nil {
		return err
	}
	hook, err := strconv.Atoi(os.Getenv(collectorEnv + "_HOOK"))
	if err != nil {
		return err
	}
	d, err := datapath.Open(restartConfig(dir, index, bpf.Hook(hook)), time.Now)
	if err != nil {
		return err
	}
	if _, err := d.Assign(datapath.Key{Prefix: netip.PrefixFrom(bpftest.Sub4, 32)}, [16]byte{1}); err != nil {
		return err
	}
	fmt.Println("counting")
	for {
		if _, err := d.Drain(time.Now()); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func restartConfig(dir string, index int, hook bpf.Hook) datapath.Config {
	return datapath.Config{PinDir: dir, MaxSlots: 64, Hook: hook, Interfaces: []datapath.Interface{{Index: index}}}
}

// benchRestartLoss sends 10 million frames over a veth pair while collectors are
// started, each swapping in its own program, and killed with -9, and emits how many
// frames the last one does not know of.
func benchRestartLoss(emit func(result)) error {
	for _, hook := range []bpf.Hook{bpf.HookTCX, bpf.HookClsact} {
		bench := &asTest{}
		lost, swaps, took, err := bench.restartLoss(hook)
		bench.end()
		if err = errors.Join(err, bench.failed); err != nil {
			return err
		}
		emit(result{
			Name:  fmt.Sprintf("datapath/lost_of_%d_frames_in_%d_restarts_%s", restartedFrames, swaps, hook),
			Value: float64(lost), Unit: "frames",
			Baseline: "frames sent a second", BaselineValue: restartedFrames / took.Seconds(),
		})
		if lost != 0 {
			return fmt.Errorf("%s: %d frames of %d are missing", hook, lost, restartedFrames)
		}
	}
	return nil
}

func (b *asTest) restartLoss(hook bpf.Hook) (lost int64, swaps int, took time.Duration, err error) {
	w := bpftest.NewWire(b)
	dir := filepath.Join(bpftest.BPFFS(b), "g")
	send := bpftest.Sender(b, w.Sub, w.SubIndex)
	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
	collector, err := startCollector(b, w, dir, hook)
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	var sent atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sent.Load() < restartedFrames {
			send(frame)
			sent.Add(1)
		}
	}()
	// Every death and every swap is in the midst of the frames.
	for i := range restarts {
		for sent.Load() < int64((i+1)*restartedFrames/(restarts+1)) {
			time.Sleep(time.Millisecond)
		}
		_ = collector.Process.Kill()
		_ = collector.Wait() // it says "killed", as it should
		if collector, err = startCollector(b, w, dir, hook); err != nil {
			<-done
			return 0, 0, 0, err
		}
		if sent.Load() == restartedFrames {
			return 0, 0, 0, errors.New("a restart was not under traffic")
		}
		swaps++
	}
	<-done
	took = time.Since(begin)
	_ = collector.Process.Kill()
	_ = collector.Wait()
	var d *datapath.Datapath
	bpftest.In(b, w.Edge, func() { d, err = datapath.Open(restartConfig(dir, w.EdgeIndex, hook), time.Now) })
	if err != nil {
		return 0, 0, 0, err
	}
	defer d.Detach()
	for last := uint64(0); ; time.Sleep(100 * time.Millisecond) {
		r, err := d.Drain(time.Now())
		if err != nil {
			return 0, 0, 0, err
		}
		if len(r.Slots) != 1 {
			return 0, 0, 0, fmt.Errorf("%d lines", len(r.Slots))
		}
		got := r.Slots[0].Up4
		if got.Packets == last { // nothing is in flight
			if got.Bytes != 100*got.Packets {
				return 0, 0, 0, fmt.Errorf("%d bytes of %d packets", got.Bytes, got.Packets)
			}
			return restartedFrames - int64(got.Packets), swaps, took, nil
		}
		last = got.Packets
	}
}

func startCollector(b testing.TB, w *bpftest.Wire, dir string, hook bpf.Hook) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), collectorEnv+"="+dir,
		fmt.Sprintf("%s_IFINDEX=%d", collectorEnv, w.EdgeIndex), fmt.Sprintf("%s_HOOK=%d", collectorEnv, hook))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	bpftest.In(b, w.Edge, func() { err = cmd.Start() })
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "counting\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("collector: %q, %v", line, err)
	}
	return cmd, nil
}

// asTest lets a bench use what tests have for wires and file systems.
type asTest struct {
	testing.TB // the methods that are not below are not used
	mu         sync.Mutex
	cleanups   []func()
	failed     error
}

func (b *asTest) Helper()          {}
func (b *asTest) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }
func (b *asTest) Fatal(args ...any) {
	panic(fmt.Sprintln(args...))
}
func (b *asTest) Skip(args ...any) { b.Fatal(args...) }

func (b *asTest) Errorf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = errors.Join(b.failed, fmt.Errorf(format, args...))
}

func (b *asTest) TempDir() string {
	dir, err := os.MkdirTemp("", "griffier-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (b *asTest) end() {
	for i := len(b.cleanups) - 1; i >= 0; i-- {
		b.cleanups[i]()
	}
}
