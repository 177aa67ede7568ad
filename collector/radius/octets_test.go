package radius

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/collector/binding"
)

// countedStep is a request with counters: an interim, unless status says otherwise.
type countedStep struct {
	second    int
	status    Status
	up, down  uint64
	packets   uint32
	gigawords bool // the attributes are there
	none      bool // no octets at all
	lasted    int
	want      string // "up down[ reason]", or "-" for no octets
}

func (s countedStep) accounting() Accounting {
	a := Accounting{
		Status: s.status, SessionID: "42", UserName: "alice", NASIdentifier: "bng1", EventAt: at(s.second),
		BytesUp: s.up, BytesDown: s.down, PacketsUp: s.packets, PacketsDown: s.packets, HasOctets: !s.none, HasGigawords: s.gigawords,
		SessionTime: time.Duration(s.lasted) * time.Second, HasSessionTime: s.lasted > 0,
	}
	if a.Status == 0 {
		a.Status = StatusInterim
	}
	return a
}

func TestOctets(t *testing.T) {
	const g = 1 << 32
	start := countedStep{second: 0, status: StatusStart, none: true, want: "-"}
	tests := []struct {
		name  string
		steps []countedStep
	}{
		{"interims and a stop", []countedStep{start, {second: 300, up: 10, down: 100, want: "10 100"}, {second: 600, up: 20, down: 200, want: "20 200"},
			{second: 700, status: StatusStop, up: 25, down: 250, want: "25 250"}, {second: 700, status: StatusStop, up: 25, down: 250, want: "25 250"}}},
		{"gigawords", []countedStep{start, {second: 300, down: g - 1, gigawords: true, want: "0 4294967295"}, {second: 600, down: g + 5, gigawords: true, want: "0 4294967301"}}},
		{"gigawords only once there are any", []countedStep{start, {second: 300, down: g - 1, want: "0 4294967295"}, {second: 600, down: g + 5, gigawords: true, want: "0 4294967301"}}},
		{"32-bit counters that wrap", []countedStep{start, {second: 300, up: 7, down: 4_000_000_000, want: "7 4000000000"},
			{second: 600, up: 8, down: 5, want: "8 4294967301 counter_wrapped"}, {second: 900, up: 9, down: 4_000_000_000, want: "9 8294967296"},
			{second: 1200, up: 9, down: 4_000_000_000, want: "9 8294967296"}, {second: 1500, up: 9, down: 100, want: "9 8589934692 counter_wrapped"},
			{second: 1600, status: StatusStop, up: 9, down: 50, want: "9 12884901938 counter_wrapped"}}},
		{"packets wrap with the octets", []countedStep{start, {second: 300, down: 4_000_000_000, packets: 4_000_000_000, want: "0 4000000000"}, {second: 600, down: 5, packets: 7, want: "0 4294967301 counter_wrapped"}}},
		{"counters begin again, as packets show", []countedStep{start, {second: 300, down: 4_000_000_000, packets: 3_000_000, want: "0 4000000000"},
			{second: 600, down: 500, packets: 10, want: "0 4000000500 counter_restart"}, {second: 900, down: 700, packets: 12, want: "0 4000000700"}}},
		{"lower than before with gigawords", []countedStep{start, {second: 300, down: g + 5, gigawords: true, want: "0 4294967301"}, {second: 600, down: 7, gigawords: true, want: "0 4294967301 counter_lower"},
			{second: 900, down: g + 9, gigawords: true, want: "0 4294967305"}}},
		{"gigawords forgotten", []countedStep{start, {second: 300, down: g + 5, gigawords: true, want: "0 4294967301"}, {second: 600, down: 7, want: "0 4294967301 counter_lower"}}},
		{"stop without counters", []countedStep{start, {second: 300, up: 10, down: 100, want: "10 100"}, {second: 600, status: StatusStop, none: true, want: "10 100 stop_incomplete"}}},
		{"stop with counters of zero", []countedStep{start, {second: 300, up: 10, down: 100, want: "10 100"}, {second: 600, status: StatusStop, want: "10 100 stop_incomplete"}}},
		{"stop with lower counters after a crash", []countedStep{start, {second: 300, up: 10, down: 100, packets: 9, want: "10 100"}, {second: 600, status: StatusStop, up: 1, down: 10, packets: 2, want: "10 100 stop_incomplete"}}},
		{"stop of a session that moved nothing", []countedStep{start, {second: 300, want: "0 0"}, {second: 600, status: StatusStop, want: "0 0"}}},
		{"two interims of one second, out of order", []countedStep{start, {second: 300, down: 200, want: "0 200"}, {second: 300, down: 100, want: "0 200 counter_lower"}}},
		{"late interim", []countedStep{start, {second: 600, down: 200, want: "0 200"}, {second: 300, down: 100, want: "- late"}}},
		{"start lost, a young session: all of it counts", []countedStep{{second: 600, lasted: 600, down: 200, want: "0 200"}}},
		{"start lost, an old session: what comes on top counts", []countedStep{{second: 600, lasted: 90_000, up: 5, down: 200, want: "5 200 from 5 200"}, {second: 900, lasted: 90_300, up: 6, down: 300, want: "6 300 from 5 200"}}},
		{"start lost, no session time", []countedStep{{second: 600, down: 200, want: "0 200 from 0 200"}}},
		{"only a stop, of a young session", []countedStep{{second: 600, status: StatusStop, lasted: 600, up: 7, down: 200, want: "7 200"}}},
		{"interim without counters", []countedStep{start, {second: 300, none: true, want: "-"}}},
		{"an announced reboot outlived: what comes on top counts", []countedStep{start, {second: 300, up: 1, down: 100, want: "1 100"}, {second: 500, status: StatusOn, none: true, want: "-"},
			{second: 600, lasted: 600, up: 3, down: 170, want: "3 170 from 1 100"}, {second: 900, lasted: 900, up: 3, down: 180, want: "3 180 from 1 100"}}},
		{"stop after the reboot that ended the session", []countedStep{start, {second: 300, down: 100, want: "0 100"}, {second: 500, status: StatusOn, none: true, want: "-"},
			{second: 400, status: StatusStop, down: 150, want: "0 150"}, {second: 400, status: StatusStop, down: 140, want: "0 150"}}},
	}
	for _, test := range tests {
		for _, redo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, redone %v", test.name, redo), func(t *testing.T) {
				tracker := NewTracker(TrackerConfig{})
				var log []binding.Observation
				for i, s := range test.steps {
					r := tracker.Apply(s.accounting(), nasSource, at(s.second))
					if got := describeOctets(r); got != s.want && !(redo && s.packets > 0) {
						t.Fatalf("step %d: got %q, want %q", i, got, s.want)
					}
					log = append(log, r.Observations...)
					// Packets and the knowledge of gigawords are in snapshots only.
					if redo && s.packets == 0 && !s.gigawords {
						before := tracker.nas["bng1"].sessions["42"].Counters
						tracker = NewTracker(TrackerConfig{})
						for _, o := range log {
							if err := tracker.Redo(o); err != nil {
								t.Fatal(err)
							}
						}
						after := tracker.nas["bng1"].sessions["42"].Counters
						if (before == nil) != (after == nil) || before != nil && before.Octets != after.Octets {
							t.Fatalf("step %d: redone %+v, were %+v", i, after, before)
						}
						if before != nil {
							after.Gigawords = before.Gigawords
						}
					}
				}
			})
		}
	}
}

func describeOctets(r Result) string {
	s := "-"
	for _, o := range r.Observations {
		if x := o.Octets; x != nil {
			s = fmt.Sprintf("%d %d", x.Up, x.Down)
			if x.UpFrom+x.DownFrom > 0 {
				s += fmt.Sprintf(" from %d %d", x.UpFrom, x.DownFrom)
			}
		}
	}
	if r.Reason != "" {
		s += " " + string(r.Reason)
	}
	return s
}

// TestOctetsOfAnyLine: whatever a line moves between interims, as long as it is
// less than 4 GiB, a NAS with 32-bit counters and one with gigawords give the
// same totals, through restarts of the collector.
func TestOctetsOfAnyLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		narrow, wide := NewTracker(TrackerConfig{}), NewTracker(TrackerConfig{})
		start := countedStep{status: StatusStart, none: true}
		narrow.Apply(start.accounting(), nasSource, at(0))
		wide.Apply(start.accounting(), nasSource, at(0))
		var up, down uint64
		for i := range rapid.IntRange(1, 20).Draw(t, "interims") {
			up += rapid.Uint64Range(0, 1<<32-1).Draw(t, "up")
			down += rapid.Uint64Range(0, 1<<32-1).Draw(t, "down")
			s := countedStep{second: 60 * (i + 1), up: up, down: down, gigawords: true}
			got := wide.Apply(s.accounting(), nasSource, at(s.second))
			s.up, s.down, s.gigawords = up&0xffffffff, down&0xffffffff, false
			same := narrow.Apply(s.accounting(), nasSource, at(s.second))
			for _, r := range []Result{got, same} {
				if o := r.Observations[0].Octets; o.Up != up || o.Down != down {
					t.Fatalf("told %d %d, want %d %d", o.Up, o.Down, up, down)
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
				snapshot, err := narrow.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				if err := narrow.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
