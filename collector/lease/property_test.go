package lease

import (
	"net"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"griffier/collector/binding"
)

// TestAnyTraffic lets clients and a server say anything in any order, with
// restarts, and compares with the least a lease table must do: an address has
// one holder at a time, a session starts once, ends at most once and is silent
// afterwards, and only a server's ACK to a client's own REQUEST gives it an
// address.
func TestAnyTraffic(t *testing.T) {
	addresses := []string{"100.64.0.10", "100.64.0.11", "100.64.0.12"}
	rapid.Check(t, func(rt *rapid.T) {
		tracker := NewTracker(Config{})
		holders := map[netip.Prefix]binding.Observation{} // by address, as last observed
		started, over := map[string]bool{}, map[string]bool{}
		asked := map[byte]bool{} // clients that ever sent a REQUEST
		var log []binding.Observation
		second := 0
		for range rapid.IntRange(1, 60).Draw(rt, "messages") {
			second += rapid.IntRange(0, 40).Draw(rt, "gap")
			client := rapid.ByteRange(1, 3).Draw(rt, "client")
			address := rapid.SampledFrom(addresses).Draw(rt, "address")
			var d dhcp
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0, 1:
				d = request(Request).wants(address)
				asked[client] = true
			case 2, 3:
				d = ackFor(address, 60)
			case 4:
				d = request(Release).holding(address)
			case 5:
				d = reply(NAK, "")
			}
			d = d.by(net.HardwareAddr{2, 0, 0, 0, 0, client}).withXID(uint32(client))
			r := tracker.Apply(Frame{At: at(second), Interface: "e0", Data: d.frame(t)})
			log = append(log, r.Observations...)
			for _, o := range r.Observations {
				if over[o.SessionKey] {
					rt.Fatalf("%s of a session that is over", o.Kind)
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
						}
					}
					if d.typ == Release && o.Identifier != MACIdentifier("e0", 0, 0, d.mac) {
						rt.Fatal("a RELEASE ended another line's lease")
					}
					continue
				}
				if d.typ != ACK || !asked[client] || o.Identifier != MACIdentifier("e0", 0, 0, d.mac) || o.Prefixes[0].Addr().String() != address {
					rt.Fatalf("%s of %v out of message type %d", o.Kind, o.Prefixes, d.typ)
				}
				if (o.Kind == binding.Start) == started[o.SessionKey] {
					rt.Fatalf("%s although started is %v", o.Kind, started[o.SessionKey])
				}
				started[o.SessionKey] = true
				if h, held := holders[o.Prefixes[0]]; held && h.SessionKey != o.SessionKey && h.ExpiresAt.After(o.At) {
					rt.Fatal("an address has two holders")
				}
				holders[o.Prefixes[0]] = o
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				tracker = NewTracker(Config{})
				for _, o := range log {
					if err := tracker.Redo(o); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
	})
}
