package lease

import (
	"net"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"griffier/collector/binding"
)

// TestAnyTraffic6 is TestAnyTraffic for DHCPv6: clients and a server say anything
// in any order, with restarts. A prefix has one holder at a time, a session starts
// once, ends at most once and is silent afterwards, and only a REPLY to a client's
// own message gives or takes.
func TestAnyTraffic6(t *testing.T) {
	prefixes := []string{"2001:db8:100::/56", "2001:db8:200::/56", "2001:db8:300::/56"}
	types := []Type6{Request6, Renew6, Release6, Decline6, Confirm6, Solicit6, Reply6, Reply6, Reply6, Reconfigure6}
	rapid.Check(t, func(rt *rapid.T) {
		tracker := NewTracker6(Config{})
		holders := map[netip.Prefix]binding.Observation{} // as last observed
		started, over := map[string]bool{}, map[string]bool{}
		asked := map[byte]bool{} // clients that ever sent a message that a REPLY answers
		var log []binding.Observation
		second := 0
		for range rapid.IntRange(1, 60).Draw(rt, "messages") {
			second += rapid.IntRange(0, 40).Draw(rt, "gap")
			client := rapid.ByteRange(1, 3).Draw(rt, "client")
			prefix := rapid.SampledFrom(prefixes).Draw(rt, "prefix")
			valid := rapid.SampledFrom([]uint32{0, 60, 60}).Draw(rt, "valid")
			mac := net.HardwareAddr{2, 0, 0, 0, 0, client}
			d := message6(rapid.SampledFrom(types).Draw(rt, "type"), iapd(1, prefix6(prefix, valid))).
				by(append([]byte{0, 3, 0, 1}, mac...), mac).withXID(uint32(client))
			if !d.typ.fromServer() && d.typ != Solicit6 {
				asked[client] = true
			}
			line := MACIdentifier("e0", 0, 0, mac)
			r := tracker.Apply(Frame{At: at(second), Interface: "e0", Data: d.frame(t)}, nil)
			log = append(log, r.Observations...)
			for _, o := range r.Observations {
				if over[o.SessionKey] {
					rt.Fatalf("%s of a session that is over", o.Kind)
				}
				if d.typ != Reply6 || !asked[client] {
					rt.Fatalf("%s out of message type %d", o.Kind, d.typ)
				}
				if o.Kind == binding.End {
					if !started[o.SessionKey] {
						rt.Fatal("end of a session that never started")
					}
					over[o.SessionKey] = true
					for p, h := range holders {
						if h.SessionKey == o.SessionKey {
							delete(holders, p)
							if h.Identifier != o.Identifier {
								rt.Fatal("a session changed its line")
							}
							if o.EndCause != "superseded" && o.Identifier != line {
								rt.Fatalf("ended by another line: %s", o.EndCause)
							}
						}
					}
					continue
				}
				if valid == 0 || o.Identifier != line || o.Prefixes[0].String() != prefix {
					rt.Fatalf("%s of %v for %v", o.Kind, o.Prefixes, o.Identifier)
				}
				if (o.Kind == binding.Start) == started[o.SessionKey] {
					rt.Fatalf("%s although started is %v", o.Kind, started[o.SessionKey])
				}
				started[o.SessionKey] = true
				if h, held := holders[o.Prefixes[0]]; held && h.SessionKey != o.SessionKey && h.ExpiresAt.After(o.At) {
					rt.Fatal("a prefix has two holders")
				}
				holders[o.Prefixes[0]] = o
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				tracker = NewTracker6(Config{})
				for _, o := range log {
					if err := tracker.Redo(o); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
	})
}
