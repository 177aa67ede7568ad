package daemon

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// logged is an IPFIX message with the template of RFC 8158 §5.6.12 and one record
// of it: ports of 203.0.113.7 given (16) to, or taken back (17) from, an address.
func logged(sequence uint32, event byte, inside string, start, end uint16) []byte {
	b := []byte{0, 10, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[4:], uint32(time.Now().Unix()))
	b = binary.BigEndian.AppendUint32(b, sequence)
	b = append(b, 0, 0, 0, 1)
	b = append(b, 0, 2, 0, 36, 1, 0, 0, 7, 1, 67, 0, 8, 0, 230, 0, 1, 0, 8, 0, 4, 0, 12, 0, 4, 0, 225, 0, 4, 1, 105, 0, 2, 1, 106, 0, 2)
	b = append(b, 1, 0, 0, 29)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMilli()))
	b = append(append(b, event), netip.MustParseAddr(inside).AsSlice()...)
	b = append(b, 198, 51, 100, 77) // a destination
	b = append(b, 203, 0, 113, 7)
	b = binary.BigEndian.AppendUint16(b, start)
	b = binary.BigEndian.AppendUint16(b, end)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// A translator in the router's namespace logs its blocks. The rows say who has
// which ports although the collector is killed; what it may have missed meanwhile
// shows as inferred, and what sequence numbers show to be lost as a gap.
func TestTranslatorsLog(t *testing.T) {
	s := newSetup(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "cgnat: {inside: [100.64.0.0/24], outside: [203.0.113.0/24], log: {listen: \"127.0.0.1:4739\", exporters: [{address: 127.0.0.1, name: cgn1}]}}\n"...)
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	from := s.socket(s.router, "127.0.0.1:0")
	tell := func(m []byte) {
		t.Helper()
		if _, err := from.WriteToUDPAddrPort(m, netip.MustParseAddrPort("127.0.0.1:4739")); err != nil {
			t.Fatal(err)
		}
	}
	rows := func() string {
		return strings.Join(s.lines(`SELECT concat(toString(inside_address), ' ', toString(port_start), '-', toString(port_end), ' ', certainty, ' ',
			if(open, 'open', end_cause)) FROM traffic.assignment WHERE source = 'ipfix' AND ended_at > started_at ORDER BY port_start, started_at`), "; ")
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", what, rows())
			}
		}
	}
	const anna, bram = "::ffff:100.64.0.11 1024-2047 ", "::ffff:100.64.0.12 2048-3071 "
	c := s.start()
	tell(logged(0, 16, "100.64.0.11", 1024, 2047))
	tell(logged(1, 16, "100.64.0.12", 2048, 3071))
	await("blocks are given", func() bool { return rows() == anna+"observed open; "+bram+"observed open" })
	c.kill()
	c = s.start()
	await("killed", func() bool {
		return rows() == anna+"observed cut; "+anna+"inferred open; "+bram+"observed cut; "+bram+"inferred open"
	})
	tell(logged(2, 17, "100.64.0.11", 1024, 2047))
	tell(logged(3, 16, "100.64.0.13", 1024, 2047))
	want := anna + "observed cut; " + anna + "inferred release; ::ffff:100.64.0.13 1024-2047 observed open; " + bram + "observed cut; " + bram + "inferred open"
	await("a block changes hands", func() bool { return rows() == want })
	if n := s.count("SELECT count() FROM traffic.coverage WHERE cause LIKE 'nat_log%'"); n != 0 {
		t.Errorf("%d gaps although nothing was lost", n)
	}
	tell(logged(14, 17, "100.64.0.13", 1024, 2047))
	await("lost", func() bool {
		return s.count("SELECT count() FROM traffic.coverage WHERE cause = 'nat_log_lost' AND ended_at > started_at") == 1
	})
	c.stop()
	if strings.Contains(fmt.Sprint(s.lines("SELECT toString(tuple(*)) FROM traffic.assignment")), "198.51.100.77") {
		t.Error("a destination is stored")
	}
}
