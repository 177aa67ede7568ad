package lease

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// labLine is the line of the lab's only client; labClient its client id.
var (
	labLine   = schema.Identifier{Kind: schema.IdentMAC, Value: "e0/0.0/02:11:22:33:44:55"}
	labClient = "id01021122334455"
)

// epoch is a capture time: seconds and microseconds.
func epoch(seconds, micros int64) time.Time { return time.Unix(seconds, micros*1000).UTC() }

// labObservation is an observation of the lab's client, whose leases last 20 s.
func labObservation(kind binding.ObservationKind, when time.Time, address string, first time.Time) binding.Observation {
	o := binding.Observation{
		At: when, Kind: kind, Source: schema.SourceDHCPv4, Certainty: schema.CertaintyObserved,
		SessionKey: fmt.Sprintf("e0|0.0|%s|%s|%d", labClient, address, first.UnixNano()),
		Identifier: labLine, NAS: "e0", NASPort: "0.0",
	}
	if kind == binding.End {
		o.EndCause = schema.EndRelease
		return o
	}
	if kind == binding.Start {
		o.SessionStartedAt = when
	}
	o.Prefixes = []netip.Prefix{netip.MustParsePrefix(address + "/32")}
	o.ExpiresAt = when.Add(20 * time.Second)
	return o
}

func TestCaptures(t *testing.T) {
	first, second := epoch(1795151431, 998089), epoch(1795151447, 92760)
	firstRelayed, secondRelayed := epoch(1795151431, 998070), epoch(1795151447, 92737)
	tests := []struct {
		name    string
		frames  int
		want    []binding.Observation
		reasons map[Reason]int
	}{
		{clientSide, 19, []binding.Observation{
			labObservation(binding.Start, first, "100.64.0.10", first),
			labObservation(binding.Refresh, epoch(1795151436, 971631), "100.64.0.10", first),
			labObservation(binding.Refresh, epoch(1795151442, 688189), "100.64.0.10", first),
			labObservation(binding.End, epoch(1795151447, 12984), "100.64.0.10", first),
			labObservation(binding.Start, second, "100.64.0.11", second),
		}, map[Reason]int{ReasonNotIPv4: 4, ReasonNoBinding: 4, ReasonCopy: 2}},
		// A renewal appears three times here, and the relay's wrong copy of it is
		// refused by a NAK that arrives after the ACK: the lease must stand.
		{serverSide, 29, []binding.Observation{
			labObservation(binding.Start, firstRelayed, "100.64.0.10", firstRelayed),
			labObservation(binding.Refresh, epoch(1795151436, 971625), "100.64.0.10", firstRelayed),
			labObservation(binding.Refresh, epoch(1795151442, 688184), "100.64.0.10", firstRelayed),
			labObservation(binding.End, epoch(1795151447, 12996), "100.64.0.10", firstRelayed),
			labObservation(binding.Start, secondRelayed, "100.64.0.11", secondRelayed),
		}, map[Reason]int{ReasonNotIPv4: 4, ReasonNoBinding: 4, ReasonCopy: 10, ReasonNoLease: 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTracker(Config{})
			var got []binding.Observation
			reasons := map[Reason]int{}
			for _, f := range readCapture(t, test.name, test.frames) {
				r := tracker.Apply(Frame{At: f.at, Interface: "e0", Data: f.data})
				got = append(got, r.Observations...)
				if r.Reason != "" {
					reasons[r.Reason]++
				}
			}
			if len(got) != len(test.want) {
				t.Fatalf("got %d observations, want %d", len(got), len(test.want))
			}
			for i := range got {
				if !reflect.DeepEqual(got[i], test.want[i]) {
					t.Errorf("observation %d\n got %+v\nwant %+v", i, got[i], test.want[i])
				}
			}
			if !reflect.DeepEqual(reasons, test.reasons) {
				t.Errorf("reasons %v, want %v", reasons, test.reasons)
			}
		})
	}
}

// TestCaptureMalformedOption82 binds every lease that perfdhcp got, in spite of
// its option 82.
func TestCaptureMalformedOption82(t *testing.T) {
	tracker := NewTracker(Config{})
	lines, addresses := map[string]bool{}, map[netip.Prefix]bool{}
	bad := 0
	for _, f := range readCapture(t, perfdhcp, 1998) {
		r := tracker.Apply(Frame{At: f.at, Interface: "e0", Data: f.data})
		if r.BadRelayInfo {
			bad++
		}
		if r.BadRelayInfo == tracker.message.Reply {
			t.Error("want option 82 malformed in every request and, since Kea mended it, in no reply")
		}
		if r.Reason != "" && r.Reason != ReasonNoBinding {
			t.Errorf("a frame was dropped: %s", r.Reason)
		}
		for _, o := range r.Observations {
			if o.Kind != binding.Start || !o.ExpiresAt.Equal(o.At.Add(time.Hour)) || len(o.Prefixes) != 1 || o.Identifier.Kind != schema.IdentMAC {
				t.Errorf("unexpected observation %+v", o)
			}
			lines[o.Identifier.Value], addresses[o.Prefixes[0]] = true, true
		}
	}
	if len(lines) != 499 || len(addresses) != 499 || tracker.Len() != 499 {
		t.Errorf("%d lines, %d addresses, %d leases; want 499 each (perfdhcp's last client sent no REQUEST)", len(lines), len(addresses), tracker.Len())
	}
	if bad != 999 {
		t.Errorf("%d messages with a malformed option 82, want 999", bad)
	}
}

// TestRestart cuts the capture at every frame: a tracker restored from a
// snapshot, and one that redoes the observations, go on as the first would.
func TestRestart(t *testing.T) {
	frames := readCapture(t, clientSide, 19)
	run := func(tracker *Tracker, frames []captured) (all []binding.Observation) {
		for _, f := range frames {
			all = append(all, tracker.Apply(Frame{At: f.at, Interface: "e0", Data: f.data}).Observations...)
		}
		return all
	}
	whole := run(NewTracker(Config{}), frames)
	// A REQUEST and its ACK are not separated: what awaits an answer is not kept.
	for _, cut := range []int{0, 2, 4, 6, 9, 11, 14, 15, 17, 19} {
		before := NewTracker(Config{})
		seen := run(before, frames[:cut])
		snapshot, err := before.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		restored, redone := NewTracker(Config{}), NewTracker(Config{})
		if err := restored.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		for _, o := range seen {
			if err := redone.Redo(o); err != nil {
				t.Fatal(err)
			}
			if err := restored.Redo(o); err != nil { // twice is as good as once
				t.Fatal(err)
			}
		}
		for name, tracker := range map[string]*Tracker{"restored": restored, "redone": redone} {
			if got := append(seen[:len(seen):len(seen)], run(tracker, frames[cut:])...); !reflect.DeepEqual(got, whole) {
				t.Errorf("%s at frame %d: %d observations differ from %d", name, cut, len(got), len(whole))
			}
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	for _, text := range []string{"", "{}", `{"version":2}`, `{"version":1,"leases":[{"key":"a|b"}]}`,
		`{"version":1,"leases":[{"key":"e0|0.0|id|100.64.0.1|1","address":"100.64.0.2"}]}`} {
		tracker := NewTracker(Config{})
		if err := tracker.Restore([]byte(text)); err == nil {
			t.Errorf("Restore(%q) succeeded", text)
		}
	}
}
