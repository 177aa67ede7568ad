// Command dropcaps opens a datapath, gives up all capabilities, and shows that
// everything a collector does from then on still works.
package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"griffier/bpf"
	"griffier/collector/datapath"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(pinDir, index, hook string) error {
	ifindex, err := strconv.Atoi(index)
	if err != nil {
		return err
	}
	how, err := strconv.Atoi(hook)
	if err != nil {
		return err
	}
	d, err := datapath.Open(datapath.Config{
		PinDir: pinDir, MaxSlots: 4, Hook: bpf.Hook(how), Interfaces: []datapath.Interface{{Index: ifindex}},
	}, time.Now)
	if err != nil {
		return err
	}
	if err := datapath.DropCapabilities(); err != nil {
		return err
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		status, err := os.ReadFile("/proc/self/task/" + t.Name() + "/status")
		if err != nil {
			return err
		}
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			if !strings.Contains(string(status), set+":\t0000000000000000\n") {
				return fmt.Errorf("thread %s still has %s", t.Name(), set)
			}
		}
	}
	if _, err := bpf.Load(bpf.Options{MaxSlots: 1}); !errors.Is(err, bpf.ErrNotPermitted) {
		return fmt.Errorf("load without capabilities: %w", err)
	}
	// A length that is not looked up yet, a move, a retirement, the reuse of slots.
	for round := range 6 {
		key := datapath.Key{Prefix: netip.MustParsePrefix("2001:db8::/" + strconv.Itoa(48+round%2))}
		if _, err := d.Assign(key, [16]byte{byte(round + 1)}); err != nil {
			return err
		}
		r, err := d.Drain(time.Now())
		if err != nil {
			return err
		}
		if r.Plausible.Up.Unseen() != 0 || r.Plausible.Down.Unseen() != 0 {
			return fmt.Errorf("interface counters %+v", r.Plausible)
		}
		if len(r.Slots) == 0 || !r.Totals.Balanced() || len(r.Lost) != 0 {
			return fmt.Errorf("report %+v", r)
		}
	}
	if err := d.Unassign(datapath.Key{Prefix: netip.MustParsePrefix("2001:db8::/48")}); err != nil {
		return err
	}
	fmt.Println("send")
	f, ok := <-d.Punts()
	if !ok || len(f.Frame) == 0 {
		return errors.New("no control frame")
	}
	r, err := d.Drain(time.Now())
	if err != nil {
		return err
	}
	if r.Plausible.Up.Interface != 1 || r.Plausible.Up.Frames != 1 {
		return fmt.Errorf("interface counters %+v after one frame", r.Plausible)
	}
	return d.Close()
}
