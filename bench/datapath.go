package main

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"griffier/bpf"
	"griffier/bpf/bpfbench"
	"griffier/bpf/bpftest"
)

const (
	datapathRounds = 9 // interleaved; the best of each program counts
	datapathRepeat = 300_000
	datapathSlots  = 1 << 20
)

var baselines = []string{"empty TCX program", "5-tuple per-CPU hash program"}

// benchDatapath measures nanoseconds a packet of the accounting program, by
// BPF_PROG_TEST_RUN with one warm line and with many at random, against a program that does nothing (the
// harness itself) and a 5-tuple flow program with a per-CPU hash and the same
// parser. It needs root.
func benchDatapath(emit func(result)) error {
	acct, err := bpf.Load(bpf.Options{MaxSlots: datapathSlots})
	if err != nil {
		return err
	}
	defer acct.Close()
	for _, p := range []netip.Prefix{netip.PrefixFrom(bpftest.Sub4, 32), mustMask(bpftest.Sub6, 56)} {
		if err := acct.Put(bpf.Key{Prefix: p}, 1); err != nil {
			return err
		}
	}
	var peers bpfbench.FlowObjects
	flows, err := bpfbench.LoadFlow()
	if err != nil {
		return fmt.Errorf("load baselines: %w", err)
	}
	flows.Maps["flows"].MaxEntries = 2 * datapathSlots
	if err := flows.LoadAndAssign(&peers, nil); err != nil {
		return fmt.Errorf("load baselines: %w", err)
	}
	defer peers.Close()

	// Longer prefixes that other lines hold, or nobody would look for them.
	for i := range 1 << 16 {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb9, byte(i >> 8), byte(i), 15: 1})
		for _, bits := range []int{64, 128} {
			if err := acct.Put(bpf.Key{Prefix: mustMask(a, bits)}, 2); err != nil {
				return err
			}
		}
	}
	udp := bpftest.UDP(50000, 443, make([]byte, 1000))
	v4 := bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, udp)
	v6 := bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, udp)
	for _, f := range []struct {
		name    string
		frame   []byte
		lengths []int // looked up before the line's own, and missed
	}{
		{"v4", bpftest.Ethernet(0x0800, v4), nil},
		{"v6", bpftest.Ethernet(0x86dd, v6), nil},
		{"v6_third_length", bpftest.Ethernet(0x86dd, v6), []int{128, 64}},
		{"qinq_pppoe_v4", bpftest.Ethernet(0x8864, bpftest.Session(0x0021, v4), bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7)), nil},
		{"qinq_pppoe_v6", bpftest.Ethernet(0x8864, bpftest.Session(0x0057, v6), bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7)), nil},
	} {
		if err := acct.SetDelegatedLengths(append(f.lengths, 56)); err != nil {
			return err
		}
		before, err := acct.ReadSlot(1)
		if err != nil {
			return err
		}
		times, err := best(f.frame, acct.Program(bpf.Up), peers.Nothing, peers.FiveTuple)
		if err != nil {
			return err
		}
		after, err := acct.ReadSlot(1)
		if err != nil {
			return err
		}
		// The figure is of packets that were counted, or it is of nothing.
		c := after.Minus(before)
		if got := c.Up4.Packets + c.Up6.Packets; got < datapathRounds*datapathRepeat {
			return fmt.Errorf("%s: counted %d packets of %d", f.name, got, datapathRounds*datapathRepeat)
		}
		ours := times[0]
		for i, baseline := range baselines {
			emit(result{
				Name: "datapath/" + f.name, Value: ours, Unit: "ns/packet",
				Baseline: baseline, BaselineValue: times[i+1], Ratio: ours / times[i+1],
			})
		}
	}
	if err := spread(emit, acct, &peers, bpftest.Ethernet(0x0800, v4)); err != nil {
		return err
	}
	if err := benchDrain(emit); err != nil {
		return err
	}
	if err := benchDrainedLoss(emit); err != nil {
		return err
	}
	return benchRestartLoss(emit)
}

// spread measures the same with each packet of a random line and flow: 8,192 lines
// with 16 flows each, and 65,536 lines and a million with one. The harness, which picks them, is in
// every figure.
func spread(emit func(result), acct *bpf.Accounting, peers *bpfbench.FlowObjects, frame []byte) error {
	if err := putSpread(acct, func(i int) uint32 { return uint32(i) + 1 }); err != nil {
		return err
	}
	for _, s := range []struct {
		name         string
		lines, flows uint32
		oneSlot      bool // all addresses count in one slot: only the look-up is cold
	}{
		{"v4_8192_lines_16_flows", 1 << 13, 16, false},
		{"v4_65536_lines_1_flow", 1 << 16, 1, false},
		{"v4_1048576_lines_1_flow", 1 << 20, 1, false},
		{"v4_1048576_addresses_of_one_line", 1 << 20, 1, true},
	} {
		if s.oneSlot {
			if err := putSpread(acct, func(int) uint32 { return 1 }); err != nil {
				return err
			}
		}
		if err := peers.Masks.Put(uint32(0), s.lines-1); err != nil {
			return err
		}
		if err := peers.Masks.Put(uint32(1), s.flows-1); err != nil {
			return err
		}
		targets := []*ebpf.Program{acct.Program(bpf.Up), peers.Nothing, peers.FiveTuple}
		times := make([]float64, len(targets))
		for round := range datapathRounds {
			for i, p := range targets {
				if err := peers.Target.Put(uint32(0), p); err != nil {
					return err
				}
				_, took, err := peers.Spread.Benchmark(frame, datapathRepeat, func() {})
				if err != nil {
					return fmt.Errorf("program run: %w", err)
				}
				if ns := float64(took.Nanoseconds()); round == 0 || ns < times[i] {
					times[i] = ns
				}
			}
		}
		for i, baseline := range baselines {
			emit(result{
				Name: "datapath/" + s.name, Value: times[0], Unit: "ns/packet",
				Baseline: baseline, BaselineValue: times[i+1], Ratio: times[0] / times[i+1],
			})
		}
	}
	totals, err := acct.ReadTotals()
	if err != nil {
		return err
	}
	if missed := totals.Up.Total.Minus(totals.Up.Attributed4).Minus(totals.Up.Attributed6); missed.Packets != 0 {
		return fmt.Errorf("%d packets found no line", missed.Packets)
	}
	return nil
}

// putSpread puts the addresses that the spreading program makes.
func putSpread(acct *bpf.Accounting, slot func(i int) uint32) error {
	for i := range datapathSlots {
		a := netip.AddrFrom4([4]byte{bpftest.Sub4.As4()[0], 64 | byte(i>>16), byte(i), byte(i >> 8)})
		if err := acct.Put(bpf.Key{Prefix: netip.PrefixFrom(a, 32)}, slot(i)); err != nil {
			return err
		}
	}
	return nil
}

// best runs the programs in turn and returns each one's best nanoseconds a packet.
func best(frame []byte, programs ...*ebpf.Program) ([]float64, error) {
	times := make([]float64, len(programs))
	for round := range datapathRounds {
		for i, p := range programs {
			_, took, err := p.Benchmark(frame, datapathRepeat, func() {})
			if err != nil {
				return nil, fmt.Errorf("program run: %w", err)
			}
			if ns := float64(took.Nanoseconds()); round == 0 || ns < times[i] {
				times[i] = ns
			}
		}
	}
	return times, nil
}

func mustMask(a netip.Addr, bits int) netip.Prefix {
	return netip.PrefixFrom(a, bits).Masked()
}
