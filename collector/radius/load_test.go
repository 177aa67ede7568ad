package radius

import (
	"context"
	"fmt"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"griffier/collector/binding"
)

// TestOutstanding keeps 256 requests outstanding until 2,000 distinct ones are
// answered, with a handler that takes as long as a group commit.
func TestOutstanding(t *testing.T) {
	const total, outstanding = 2000, 256
	s := serve(t, Config{}, func(context.Context, binding.Observation) error { time.Sleep(2 * time.Millisecond); return nil })
	conn := s.dial()
	conn.SetReadBuffer(4 << 20)
	waiting := map[[16]byte][]byte{} // by request authenticator
	byID := map[byte][][]byte{}
	sent, answered := 0, 0
	fill := func() {
		for sent < total && sent-answered < outstanding {
			request := encode(t, secret, StatusStart, func(p *layeh.Packet) {
				p.Identifier = byte(sent)
				rfc2866.AcctSessionID_SetString(p, fmt.Sprint("session", sent))
				rfc2865.UserName_SetString(p, fmt.Sprint("user", sent))
			})
			sent++
			waiting[[16]byte(request[4:20])] = request
			byID[request[1]] = append(byID[request[1]], request)
			send(t, conn, request)
		}
	}
	fill()
	for answered < total {
		got := answer(conn, patience)
		if got == nil {
			t.Fatalf("%d of %d answered, then silence; metrics: overload %v, socket %v", answered, total,
				s.metric("dropped_total", string(ReasonOverload)), s.metric("dropped_total", string(ReasonSocketBuffer)))
		}
		matched := false
		for _, request := range byID[got[1]] {
			if key := [16]byte(request[4:20]); waiting[key] != nil && layeh.IsAuthenticResponse(got, request, secret) {
				delete(waiting, key)
				matched = true
				break
			}
		}
		if !matched {
			t.Fatal("an answer to nothing that was asked")
		}
		answered++
		fill()
	}
	keys := map[string]bool{}
	for _, o := range s.observations() {
		keys[o.SessionKey] = true
	}
	if len(keys) != total || len(s.observations()) != total {
		t.Errorf("%d observations of %d sessions, want %d", len(s.observations()), len(keys), total)
	}
}

// TestOrder sends each session's life in one burst; the handler must see it in
// order, and a reboot after everything before it and before everything after.
func TestOrder(t *testing.T) {
	const sessions = 100
	s := serve(t, Config{}, func(context.Context, binding.Observation) error { time.Sleep(time.Millisecond); return nil })
	conn := s.dial()
	conn.SetReadBuffer(4 << 20)
	// Event-Timestamps lie before now, whatever the hour.
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	sent := 0
	life := func(id int, status Status, second int) {
		send(t, conn, encode(t, secret, status, func(p *layeh.Packet) {
			p.Identifier = byte(sent)
			rfc2869.EventTimestamp_Set(p, base.Add(time.Duration(second)*time.Second))
			rfc2865.NASIdentifier_SetString(p, "bng1")
			if status != StatusOn {
				rfc2866.AcctSessionID_SetString(p, fmt.Sprint(id))
				rfc2865.UserName_SetString(p, fmt.Sprint("user", id))
			}
		}))
		sent++
	}
	for id := range sessions {
		life(id, StatusStart, 0)
		life(id, StatusInterim, 300)
		life(id, StatusStop, 600)
	}
	life(0, StatusOn, 700)
	for id := range sessions {
		life(id, StatusStart, 800)
	}
	for i := range sent {
		if answer(conn, patience) == nil {
			t.Fatalf("%d of %d answered", i, sent)
		}
	}
	last := map[string]binding.Observation{}
	rebooted := false
	for i, o := range s.observations() {
		if o.Kind == binding.NASReboot {
			if i != 3*sessions {
				t.Errorf("reboot handled as number %d, want %d", i, 3*sessions)
			}
			rebooted = true
			continue
		}
		if before, ok := last[o.SessionKey]; ok && (o.Kind <= before.Kind || o.At.Before(before.At)) {
			t.Errorf("%s at %v handled after %s at %v", o.Kind, o.At, before.Kind, before.At)
		}
		last[o.SessionKey] = o
		if late := !o.At.Before(base.Add(700 * time.Second)); late != rebooted {
			t.Errorf("observation %d of %v on the wrong side of the reboot", i, o.At)
		}
	}
	if len(last) != 2*sessions {
		t.Errorf("%d sessions, want %d", len(last), 2*sessions)
	}
}
