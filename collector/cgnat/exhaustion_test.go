package cgnat

import (
	"testing"
	"time"
)

func TestParseExhaustion(t *testing.T) {
	e, err := parseExhaustion([]byte("entries  insert_failed drop early_drop\n0000000a 00000010 00000001 00000000\n0000000a  0000000f 00000000 00000002\n"))
	if err != nil || e != (Exhaustion{31, 1, 2}) {
		t.Errorf("%+v, %v", e, err)
	}
	for _, bad := range []string{"", "entries drop\n", "insert_failed drop early_drop\n1 2\n", "insert_failed drop early_drop\nx 1 2\n"} {
		if e, err := parseExhaustion([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, e)
		}
	}
}

// Two subscribers, one port, one far end: the second flow gets no port, no event
// tells of it, and it is counted.
func TestExhaustionIsSeen(t *testing.T) {
	n := newNetwork(t, 2, "meta l4proto udp snat to 203.0.113.90:5000-5000;")
	w := n.listen(1)
	l := n.observe(nil)
	n.in(n.subscriber, func() {
		n.send("udp4", 10, 4000, 9000)
		n.send("udp4", 11, 4000, 9000)
	})
	var e Exhaustion
	var err error
	for deadline := time.Now().Add(2 * time.Minute); err == nil && (e.InsertFailed == 0 || w.count() == 0) && time.Now().Before(deadline); {
		n.in(n.router, func() { e, err = ReadExhaustion() })
	}
	if err != nil || e.InsertFailed == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if rows := n.rows(l); len(rows) != 1 || w.count() != 1 {
		t.Errorf("%d rows, the world saw %d, want one of two", len(rows), w.count())
	}
}

func FuzzParseExhaustion(f *testing.F) {
	f.Add([]byte("entries  insert_failed drop early_drop\n0000000a 00000010 00000001 00000000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if e, err := parseExhaustion(text); err == nil && len(text) == 0 {
			t.Errorf("%+v of nothing", e)
		}
	})
}
