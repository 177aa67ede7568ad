package lease

import (
	"reflect"
	"testing"

	"griffier/collector/binding"
	"griffier/schema"
)

// openPPP opens PPPoE session 1 with an address and a delegated prefix in it.
func openPPP(t *testing.T, f *Follower) (all []binding.Observation) {
	t.Helper()
	for _, p := range []pppoe{
		discovery(PADR, 0, tr101(1, 2, 'c', '1')), discovery(PADS, 1),
		control(pppIPCP, configureRequest, 1, ipcpAddress("100.64.0.10")), control(pppIPCP, configureAck, 1, ipcpAddress("100.64.0.10")).byAC(),
	} {
		r, protocol := f.Apply(Frame{At: at(0), Interface: "e0", Direction: direction(p.fromAC), Data: p.frame(t)})
		if protocol != PPPoE || r.Reason != "" {
			t.Fatalf("%s: %+v", protocol, r)
		}
		all = append(all, r.Observations...)
	}
	for _, d := range []dhcp6{message6(Request6).within(1), message6(Reply6, iapd(1, prefix6("2001:db8:100::/56", 3600))).within(1)} {
		r, protocol := f.Apply(Frame{At: at(1), Interface: "e0", Direction: direction(d.typ.fromServer()), Data: d.frame(t)})
		if protocol != DHCPv6 || r.Reason != "" {
			t.Fatalf("%s: %+v", protocol, r)
		}
		all = append(all, r.Observations...)
	}
	return all
}

// TestPrefixWithinPPPoE: what DHCPv6 delegates within a PPPoE session is of the
// session's line, whatever its DUID, and ends with the session.
func TestPrefixWithinPPPoE(t *testing.T) {
	follower := NewFollower(Config{})
	opened := openPPP(t, follower)
	if len(opened) != 3 || opened[2].Source != schema.SourceDHCPv6 || opened[2].Identifier != CircuitIdentifier([]byte("c1")) || opened[2].NASPort != "0.0/1" {
		t.Fatalf("opened: %+v", opened)
	}
	snapshot, err := follower.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored, redone := NewFollower(Config{}), NewFollower(Config{})
	if err := restored.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	for _, o := range opened {
		for _, f := range []*Follower{restored, redone} {
			if err := f.Redo(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, f := range map[string]*Follower{"followed": follower, "restored": restored, "redone": redone} {
		if f.Len() != 2 {
			t.Errorf("%s: %d remembered, want 2", name, f.Len())
		}
		// The same DUID in another session speaks for itself alone.
		other := message6(Release6, iapd(1, prefix6("2001:db8:100::/56", 0))).within(2)
		f.Apply(Frame{At: at(2), Interface: "e0", Data: other.frame(t)})
		if r, _ := f.Apply(Frame{At: at(2), Interface: "e0", Data: message6(Reply6).within(2).frame(t)}); r.Reason != ReasonNotHolder {
			t.Errorf("%s: release from another session: %+v", name, r)
		}
		r, _ := f.Apply(Frame{At: at(3), Interface: "e0", Data: discovery(PADT, 1).frame(t)})
		if len(r.Observations) != 2 || f.Len() != 0 {
			t.Fatalf("%s: PADT: %+v, %d remembered", name, r, f.Len())
		}
		for i, source := range []schema.Source{schema.SourceDHCPv6, schema.SourcePPPoE} {
			o := r.Observations[i]
			if o.Source != source || o.Kind != binding.End || o.EndCause != schema.EndRelease || !o.At.Equal(at(3)) {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
}

// TestFollowerTellsProtocolsApart feeds all captures, mixed, to one Follower: each
// gives what it gives alone.
func TestFollowerTellsProtocolsApart(t *testing.T) {
	follower := NewFollower(Config{})
	counts := map[Protocol]int{}
	for _, c := range []struct {
		name   string
		frames int
	}{{clientSide, 19}, {clientSide6, 8}, {pppoeCapture, 41}} {
		for _, f := range readCapture(t, c.name, c.frames) {
			r, protocol := follower.Apply(Frame{At: f.at, Interface: "e0", Data: f.data})
			counts[protocol] += len(r.Observations)
		}
	}
	if want := map[Protocol]int{DHCPv4: 5, DHCPv6: 6, PPPoE: 2}; !reflect.DeepEqual(counts, want) {
		t.Errorf("observations %v, want %v", counts, want)
	}
	if r, protocol := follower.Apply(Frame{At: at(0), Data: []byte{1}}); r.Reason != ReasonEthernet || protocol != NoneOfThem {
		t.Errorf("%q %q", r.Reason, protocol)
	}
}

// TestFollowerRestoresATracker: a checkpoint from before DHCPv6 was followed.
func TestFollowerRestoresATracker(t *testing.T) {
	before := NewTracker(Config{})
	for _, f := range readCapture(t, clientSide, 19) {
		before.Apply(Frame{At: f.at, Interface: "e0", Data: f.data})
	}
	snapshot, err := before.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	follower := NewFollower(Config{})
	if err := follower.Restore(snapshot); err != nil || follower.Len() != before.Len() || before.Len() == 0 {
		t.Errorf("restored %d of %d: %v", follower.Len(), before.Len(), err)
	}
	for _, text := range []string{"", "{}", `{"dhcpv4":{"version":1}}`, `{"dhcpv4":{"version":1},"dhcpv6":{"version":1},"pppoe":{"version":1,"sessions":[{"source":"pppoe","session_key":"a"}]}}`} {
		if err := NewFollower(Config{}).Restore([]byte(text)); err == nil {
			t.Errorf("Restore(%q) succeeded", text)
		}
	}
}

// FuzzFollower checks that no frame panics a parser or a tracker, that no tracker
// holds more than its bounds, and that what was followed can be restored.
func FuzzFollower(f *testing.F) {
	for _, c := range []struct {
		name   string
		frames int
	}{{serverSide, 29}, {serverSide6, 8}, {clientSide6, 8}, {pppoeCapture, 41}} {
		frames := readCapture(f, c.name, c.frames)
		for i, c := range frames {
			f.Add(c.data, frames[(i+1)%len(frames)].data)
		}
	}
	f.Add(message6(Request6).within(1).frame(f), message6(Reply6, iapd(1, prefix6("2001:db8:100::/56", 60))).within(1).frame(f))
	f.Add(discovery(PADR, 0, tr101(1, 1, 'c')).on(1, 2).frame(f), discovery(PADS, 3).on(1, 2).frame(f))
	f.Add(control(pppIPCP, configureRequest, 1, ipcpAddress("100.64.0.1")).frame(f), control(pppIPCP, configureAck, 1, ipcpAddress("100.64.0.1")).byAC().frame(f))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		follower := NewFollower(Config{MaxLeases: 2, MaxPending: 1})
		redone := NewFollower(Config{MaxLeases: 2, MaxPending: 1})
		for i, data := range [][]byte{first, second, first, second} {
			r, _ := follower.Apply(Frame{At: at(i), Interface: "e0", Data: data})
			for _, o := range r.Observations {
				if o.SessionKey == "" || o.Identifier.Value == "" || o.Kind == binding.End && o.EndCause == "" {
					t.Errorf("incomplete observation %+v", o)
				}
				if err := redone.Redo(o); err != nil {
					t.Errorf("redo: %v", err)
				}
			}
			if follower.v4.Len() > 2 || follower.v6.Len() > 2 || follower.ppp.Len() > 2 || len(follower.v6.queue) > 1 || len(follower.ppp.queue) > 1 {
				t.Error("bounds exceeded")
			}
		}
		if redone.Len() != follower.Len() {
			t.Errorf("%d redone, %d followed", redone.Len(), follower.Len())
		}
		snapshot, err := follower.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := redone.Restore(snapshot); err != nil || redone.Len() != follower.Len() {
			t.Errorf("restored %d of %d: %v", redone.Len(), follower.Len(), err)
		}
	})
}
