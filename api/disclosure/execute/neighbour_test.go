package execute_test

import (
	"net/netip"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/schema"
)

// A line that has two addresses next to each other, in the same session, has them
// both: the key of the question finds rows of 192.0.2.44 when it is about .45, since
// a /31 would begin there, and what is left out as a repetition is not one.
func TestNeighbouringAddresses(t *testing.T) {
	l := newLab(t)
	var records []schema.Record
	n := byte(0)
	for _, name := range []string{"alice", "bob"} {
		for _, address := range []string{"192.0.2.40", "192.0.2.41", "192.0.2.42", "192.0.2.43", "192.0.2.44", "192.0.2.45"} {
			n++
			whole := l.Assigned(schema.ID{19, n}, name, address, -time.Hour, time.Hour)
			records = append(records, whole)
			shared := *whole
			shared.Prefix, shared.PortStart, shared.PortEnd = netip.MustParsePrefix("198.51.100."+address[len("192.0.2."):]+"/32"), 1024, 2047
			records = append(records, &shared)
		}
	}
	if err := schema.Insert(t.Context(), l.Conn, "neighbours", records); err != nil {
		t.Fatal(err)
	}
	for _, net := range []string{"192.0.2.", "198.51.100."} {
		for _, host := range []string{"40", "41", "42", "43", "44", "45"} {
			address := netip.MustParseAddr(net + host)
			rows, err := l.Traffic.Assignments(t.Context(), disclosure.NewPlan(disclosure.Question{Address: address, Instant: l.Noon}, disclosure.DefaultClockMargin))
			if err != nil || len(rows) != 2 || rows[0].AccessRef == rows[1].AccessRef {
				t.Errorf("%v: %d rows, %v; want those of two lines", address, len(rows), err)
			}
		}
	}
}

// What a neighbour had, however much, is not read: more rows than a question may have
// are of 192.0.2.44, and .45 is answered.
func TestNeighboursAreNotRead(t *testing.T) {
	l := newLab(t)
	records := []schema.Record{l.Assigned(schema.ID{20}, "alice", "192.0.2.45", -time.Hour, time.Hour)}
	for n := range 10_001 {
		id := schema.ID{21, byte(n >> 8), byte(n)}
		records = append(records, l.Assigned(id, "bob", "192.0.2.44", time.Duration(n)*time.Millisecond-time.Minute, time.Hour))
	}
	if err := schema.Insert(t.Context(), l.Conn, "neighbour", records); err != nil {
		t.Fatal(err)
	}
	for _, port := range []uint16{0, 443} {
		q := disclosure.Question{Address: netip.MustParseAddr("192.0.2.45"), Port: port, Instant: l.Noon}
		rows, err := l.Traffic.Assignments(t.Context(), disclosure.NewPlan(q, disclosure.DefaultClockMargin))
		if err != nil || len(rows) != 1 {
			t.Errorf("port %d: %d rows, %v; want the one of alice", port, len(rows), err)
		}
		q.Address = netip.MustParseAddr("192.0.2.44")
		if _, err := l.Traffic.Assignments(t.Context(), disclosure.NewPlan(q, disclosure.DefaultClockMargin)); err == nil {
			t.Errorf("port %d: more rows of one address than may be read are an answer", port)
		}
	}
}
