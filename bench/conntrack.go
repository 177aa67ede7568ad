package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"griffier/collector/cgnat"
	"griffier/schema"
)

const (
	conntrackRounds = 7
	conntrackEvents = 200_000
	conntrackLive   = 1_000_000 // mappings
)

// benchConntrack measures nanoseconds and allocations of decoding one event of a
// translated flow, against ti-mo/conntrack, which also decodes the far side, on
// the same messages in turns; then what it takes to keep who had which port.
func benchConntrack(emit func(result)) error {
	begin, end := conntrackMessage(false), conntrackMessage(true)
	filter := cgnat.Filter{Inside: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}, Outside: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	for name, m := range map[string]netlink.Message{"new": begin, "destroy": end} {
		raw, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		var e cgnat.Event
		ours, theirs := func() error {
			if filter.Decode(raw, &e) != cgnat.Used {
				return errors.New("our decoder did not take the message")
			}
			return nil
		}, func() error {
			var x conntrack.Event
			return x.Unmarshal(m)
		}
		var times, allocations [2]float64
		for round := range conntrackRounds {
			for i, f := range []func() error{ours, theirs} {
				ns, n, err := perEvent(f)
				if err != nil {
					return err
				}
				if round == 0 || ns < times[i] {
					times[i], allocations[i] = ns, n
				}
			}
		}
		emit(result{"conntrack/decode_" + name, times[0], "ns/event", "ti-mo/conntrack v0.6.0", times[1], times[0] / times[1]})
		emit(result{"conntrack/decode_" + name + "_allocations", allocations[0], "allocations/event", "ti-mo/conntrack v0.6.0", allocations[1], allocations[0] / allocations[1]})
	}
	if err := conntrackTable(emit); err != nil {
		return err
	}
	return conntrackStore(emit)
}

// perEvent returns nanoseconds and allocations of one call.
func perEvent(f func() error) (ns, allocations float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for range conntrackEvents {
		if err := f(); err != nil {
			return 0, 0, err
		}
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / conntrackEvents, float64(after.Mallocs-before.Mallocs) / conntrackEvents, nil
}

// conntrackTable measures what a flow costs from its first event to its row, and
// the memory of a port in use.
func conntrackTable(emit func(result)) error {
	p, err := schema.NewPseudonymiser(make([]byte, schema.KeyLength))
	if err != nil {
		return err
	}
	flow := func(i int, kind cgnat.EventKind, at time.Time) cgnat.Event {
		return cgnat.Event{Kind: kind, Protocol: 17, Port: uint16(1024 + i%60000), ID: uint32(i), At: at.UnixNano(),
			Inside: netip.AddrFrom4([4]byte{100, 64, byte(i / 60000), byte(i)}), Outside: netip.AddrFrom4([4]byte{203, 0, 113, byte(i / 60000)})}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := cgnat.NewTable(cgnat.TableConfig{CollectorID: "bench", Pseudonymiser: p, MaxMappings: 2 * conntrackLive})
	now := time.Now()
	start := time.Now()
	for i := range conntrackLive {
		e := flow(i, cgnat.New, now)
		table.Apply(&e, now)
	}
	begun := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	start = time.Now()
	for i := range conntrackLive {
		e := flow(i, cgnat.Destroy, now.Add(time.Second))
		table.Apply(&e, now)
	}
	ended := time.Since(start)
	start = time.Now()
	rows := len(table.Records(now.Add(time.Hour), false))
	stored := time.Since(start)
	if rows != conntrackLive {
		return fmt.Errorf("%d rows of %d flows", rows, conntrackLive)
	}
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / conntrackLive }
	emit(result{Name: "conntrack/table", Value: each(begun + ended), Unit: "ns/flow, begin and end, 1M live"})
	emit(result{Name: "conntrack/rows", Value: each(stored), Unit: "ns/row"})
	emit(result{Name: "conntrack/memory", Value: float64(after.HeapAlloc-before.HeapAlloc) / conntrackLive, Unit: "B/mapping"})
	return nil
}

// conntrackMessage is an event as the kernel sends it, with its other attributes.
func conntrackMessage(destroy bool) netlink.Message {
	nest := func(attributes ...netlink.Attribute) []byte {
		b, err := netlink.MarshalAttributes(attributes)
		if err != nil {
			panic(err) // no attribute here is too long
		}
		return b
	}
	const nested = 0x8000
	tuple := func(source, destination string, sourcePort, destinationPort uint16) []byte {
		return nest(
			netlink.Attribute{Type: 1 | nested, Data: nest(netlink.Attribute{Type: 1, Data: netip.MustParseAddr(source).AsSlice()},
				netlink.Attribute{Type: 2, Data: netip.MustParseAddr(destination).AsSlice()})},
			netlink.Attribute{Type: 2 | nested, Data: nest(netlink.Attribute{Type: 1, Data: []byte{17}},
				netlink.Attribute{Type: 2, Data: binary.BigEndian.AppendUint16(nil, sourcePort)},
				netlink.Attribute{Type: 3, Data: binary.BigEndian.AppendUint16(nil, destinationPort)})})
	}
	attributes := []netlink.Attribute{
		{Type: 1 | nested, Data: tuple("100.64.0.10", "198.51.100.2", 43890, 9999)},
		{Type: 2 | nested, Data: tuple("198.51.100.2", "203.0.113.100", 9999, 1507)},
		{Type: 12, Data: []byte{1, 2, 3, 4}}, {Type: 3, Data: []byte{0, 0, 1, 0x9a}}, {Type: 7, Data: []byte{0, 0, 0, 30}},
	}
	m := netlink.Message{Header: netlink.Header{Type: 1 << 8, Flags: netlink.Create | netlink.Excl}}
	if destroy {
		m.Header.Type, m.Header.Flags = 1<<8|2, 0
		counter := nest(netlink.Attribute{Type: 1, Data: make([]byte, 8)}, netlink.Attribute{Type: 2, Data: make([]byte, 8)})
		stamp := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
		attributes = append(attributes, netlink.Attribute{Type: 9 | nested, Data: counter}, netlink.Attribute{Type: 10 | nested, Data: counter},
			netlink.Attribute{Type: 20 | nested, Data: nest(netlink.Attribute{Type: 1, Data: stamp}, netlink.Attribute{Type: 2, Data: stamp})})
	}
	m.Data = append([]byte{2, 0, 0, 0}, nest(attributes...)...)
	m.Header.Length = uint32(16 + (len(m.Data)+3)&^3)
	return m
}
