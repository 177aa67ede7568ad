package radius

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"griffier/collector/binding"
)

func TestAcknowledgedOnlyOnceDurable(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, Config{}, func(context.Context, binding.Observation) error { <-release; return nil })
	conn := s.dial()
	request := encode(t, secret, StatusStart, session42)
	send(t, conn, request)
	within(t, "in flight", func() bool { return s.metric("in_flight", "") == 1 })
	send(t, conn, request) // a retransmission meanwhile
	within(t, "counted as duplicate", func() bool { return s.metric("dropped_total", string(ReasonInFlight)) == 1 })
	if got := answer(conn, silence); got != nil {
		t.Fatal("acknowledged before the handler returned")
	}
	close(release)
	got := answer(conn, patience)
	if !layeh.IsAuthenticResponse(got, request, secret) || got[0] != byte(layeh.CodeAccountingResponse) {
		t.Fatalf("answer %x is not an authentic Accounting-Response", got)
	}
	send(t, conn, request) // and one after
	if again := answer(conn, patience); string(again) != string(got) {
		t.Errorf("retransmission answered %x, want %x", again, got)
	}
	if n := len(s.observations()); n != 1 {
		t.Errorf("%d observations, want 1", n)
	}
	for name, want := range map[string]float64{"received_total": 3, "acknowledged_total": 1, "reacknowledged_total": 1} {
		if got := s.metric(name, ""); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

func TestNoAcknowledgementOfWhatIsNotDurable(t *testing.T) {
	full := errors.New("spool full")
	var mu sync.Mutex
	failing := true
	s := serve(t, Config{}, func(context.Context, binding.Observation) error {
		mu.Lock()
		defer mu.Unlock()
		if failing {
			return full
		}
		return nil
	})
	conn := s.dial()
	request := encode(t, secret, StatusStop, func(p *layeh.Packet) { session42(p); rfc2866.AcctSessionTime_Set(p, 60) })
	send(t, conn, request)
	within(t, "counted", func() bool { return s.metric("dropped_total", string(ReasonNotDurable)) == 1 })
	if got := answer(conn, silence); got != nil {
		t.Fatal("acknowledged although the handler failed")
	}
	mu.Lock()
	failing = false
	mu.Unlock()
	send(t, conn, request)
	if got := answer(conn, patience); !layeh.IsAuthenticResponse(got, request, secret) {
		t.Fatal("retransmission not acknowledged once there is room")
	}
	if o := s.observations(); len(o) != 1 || o[0].Kind != binding.End {
		t.Errorf("observations %+v", o)
	}
}

// TestTunnelAccountingIsAcknowledged: nothing of it is kept, and a NAS must not be
// left repeating it.
func TestTunnelAccountingIsAcknowledged(t *testing.T) {
	s := serve(t, Config{}, nil)
	conn := s.dial()
	for status, reason := range otherStatus {
		request := encode(t, secret, status, everything)
		send(t, conn, request)
		if got := answer(conn, patience); !layeh.IsAuthenticResponse(got, request, secret) {
			t.Errorf("%s is not acknowledged", reason)
		}
		if got := s.metric("noted_total", string(reason)); got != 1 {
			t.Errorf("%s counted %v times", reason, got)
		}
	}
	if len(otherStatus) != 7 || len(s.observations()) != 0 {
		t.Errorf("%d status types, %d observations", len(otherStatus), len(s.observations()))
	}
}

func TestDropped(t *testing.T) {
	s := serve(t, Config{Clients: []Client{
		{Prefix: netip.MustParsePrefix("127.0.0.1/32"), Secret: secret},
		{Prefix: netip.MustParsePrefix("127.0.0.0/29"), Secret: []byte("another")},
	}}, nil)
	good := func() []byte { return encode(t, secret, StatusStart, session42) }
	cut := good()
	tests := []struct {
		name, from string
		datagram   []byte
		reason     Reason
	}{
		{"unknown NAS", "127.0.0.9", good(), ReasonUnknownClient},
		{"wrong secret", "127.0.0.1", encode(t, []byte("wrong"), StatusStart, session42), ReasonAuthenticator},
		{"the wider prefix's secret", "127.0.0.1", encode(t, []byte("another"), StatusStart, session42), ReasonAuthenticator},
		{"cut", "127.0.0.1", cut[:len(cut)-1], ReasonLength},
		{"empty", "127.0.0.1", nil, ReasonLength},
		{"Access-Request", "127.0.0.1", append([]byte{1, 1, 0, 20}, make([]byte, 16)...), ReasonCode},
		{"no session id", "127.0.0.1", encode(t, secret, StatusStart, nil), ReasonSessionID},
		{"bad address", "127.0.0.1", encode(t, secret, StatusStart, func(p *layeh.Packet) { session42(p); p.Add(8, []byte{1}) }), ReasonAttributeValue},
		{"Status-Server unsigned", "127.0.0.1", append([]byte{12, 1, 0, 20}, make([]byte, 16)...), ReasonAuthenticator},
		{"Status-Server signed wrongly", "127.0.0.1", statusServer([]byte("wrong")), ReasonAuthenticator},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := s.metric("dropped_total", string(test.reason))
			conn := dialFrom(t, test.from, s.Addr())
			send(t, conn, test.datagram)
			within(t, "counted", func() bool { return s.metric("dropped_total", string(test.reason)) == before+1 })
			if got := answer(conn, silence/3); got != nil {
				t.Errorf("answered %x", got)
			}
		})
	}
	if n := len(s.observations()); n != 0 {
		t.Errorf("%d observations came of it", n)
	}
	conn := dialFrom(t, "127.0.0.2", s.Addr())
	send(t, conn, encode(t, []byte("another"), StatusStart, session42))
	if answer(conn, patience) == nil {
		t.Error("the wider prefix's client got no answer")
	}
}

// statusServer makes a Status-Server with Message-Authenticator.
func statusServer(secret []byte) []byte {
	p := layeh.New(layeh.CodeStatusServer, secret)
	p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	d, _ := p.Encode()
	mac := hmac.New(md5.New, secret)
	mac.Write(d)
	copy(d[len(d)-16:], mac.Sum(nil))
	return d
}

func TestStatusServer(t *testing.T) {
	s := serve(t, Config{}, nil)
	conn := s.dial()
	request := statusServer(secret)
	send(t, conn, request)
	got := answer(conn, patience)
	if !layeh.IsAuthenticResponse(got, request, secret) || got[0] != byte(layeh.CodeAccountingResponse) {
		t.Errorf("answer %x", got)
	}
}

func TestProxyState(t *testing.T) {
	s := serve(t, Config{}, nil)
	conn := s.dial()
	request := encode(t, secret, StatusStart, func(p *layeh.Packet) {
		rfc2865.ProxyState_Add(p, []byte("one"))
		session42(p)
		rfc2865.ProxyState_Add(p, []byte("two"))
	})
	send(t, conn, request)
	got := answer(conn, patience)
	if !layeh.IsAuthenticResponse(got, request, secret) || string(got[20:]) != "\x21\x05one\x21\x05two" {
		t.Errorf("answer %q", got)
	}
}

// TestAnsweredFromTheAddressAsked: a client that asked 127.0.0.2 hears nobody else.
func TestAnsweredFromTheAddressAsked(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		s := serve(t, Config{Listen: listen, Clients: []Client{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Secret: secret}, {Prefix: netip.MustParsePrefix("::1/128"), Secret: secret},
		}}, nil)
		asked := []string{"127.0.0.2", "127.0.0.3"}
		if listen == "[::]:0" {
			asked = append(asked, "::1")
		}
		for _, address := range asked {
			conn := dialFrom(t, "", netip.AddrPortFrom(netip.MustParseAddr(address), s.Addr().Port()))
			send(t, conn, encode(t, secret, StatusStart, session42))
			if answer(conn, patience) == nil {
				t.Errorf("listening on %s: no answer from %s", listen, address)
			}
		}
	}
}

func TestOverload(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, Config{MaxInFlight: 2}, func(context.Context, binding.Observation) error { <-release; return nil })
	conn := s.dial()
	for i := range 3 {
		send(t, conn, encode(t, secret, StatusStart, func(p *layeh.Packet) {
			session42(p)
			rfc2866.AcctSessionID_SetString(p, fmt.Sprint(i))
		}))
	}
	within(t, "overload counted", func() bool { return s.metric("dropped_total", string(ReasonOverload)) == 1 })
	close(release)
	for range 2 {
		if answer(conn, patience) == nil {
			t.Fatal("no answer")
		}
	}
	if answer(conn, silence) != nil {
		t.Error("the request beyond the limit was answered")
	}
}

// TestShutdown: what waits for the handler when the server stops is refused,
// not acknowledged, and nothing keeps running.
func TestShutdown(t *testing.T) {
	s := serve(t, Config{}, func(ctx context.Context, _ binding.Observation) error { <-ctx.Done(); return ctx.Err() })
	conn := s.dial()
	send(t, conn, encode(t, secret, StatusStart, session42))
	within(t, "in flight", func() bool { return s.metric("in_flight", "") == 1 })
	s.stop()
	if answer(conn, silence) != nil {
		t.Error("acknowledged what was not durable")
	}
	if s.metric("in_flight", "") != 0 {
		t.Error("still in flight")
	}
}

func TestSnapshotWhileServing(t *testing.T) {
	s := serve(t, Config{}, nil)
	conn := s.dial()
	for i := range 50 {
		send(t, conn, encode(t, secret, StatusStart, func(p *layeh.Packet) { session42(p); rfc2866.AcctSessionID_SetString(p, fmt.Sprint(i)) }))
		if _, err := s.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "50 sessions", func() bool { return s.metric("sessions", "") == 50 })
	snapshot, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	tracker := NewTracker(TrackerConfig{})
	if err := tracker.Restore(snapshot); err != nil || tracker.Len() != 50 {
		t.Errorf("restored %d sessions: %v", tracker.Len(), err)
	}
}

func TestNewServerRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no listen address": {},
		"empty secret":      {Listen: "127.0.0.1:0", Clients: []Client{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}},
		"no prefix":         {Listen: "127.0.0.1:0", Clients: []Client{{Secret: secret}}},
		"negative limit":    {Listen: "127.0.0.1:0", MaxInFlight: -1},
		"bad address":       {Listen: "nowhere"},
	} {
		if s, err := NewServer(cfg, func(context.Context, binding.Observation) error { return nil }); err == nil {
			t.Errorf("%s: accepted", name)
			s.socket.conn.Close()
		}
	}
}

func TestDuplicatesForget(t *testing.T) {
	d := newDuplicates(time.Second, 2)
	id := func(i int) requestID { return requestID{identifier: byte(i)} }
	if d.begin(id(1), at(0)) != unseen || d.begin(id(1), at(0)) != inFlight {
		t.Fatal("first request")
	}
	d.finish(id(1), acknowledged)
	if d.begin(id(1), at(2)) != acknowledged { // one generation later
		t.Error("forgotten too soon")
	}
	if d.begin(id(1), at(4)) != unseen { // two later
		t.Error("not forgotten")
	}
	for i := range 100 {
		d.begin(id(i), at(4))
		if len(d.young)+len(d.old) > 4 {
			t.Fatal("grows beyond its limit")
		}
	}
	d.finish(id(99), unseen)
	if d.begin(id(99), at(4)) != unseen {
		t.Error("a refused request is still known")
	}
}

func BenchmarkDatagram(b *testing.B) {
	datagram := readCapture(b)[8].payload
	tracker := NewTracker(TrackerConfig{})
	arrival := time.Unix(1795151700, 0)
	b.ReportAllocs()
	for b.Loop() {
		a, err := Decode(datagram, captureSecret)
		if err != nil || binary.BigEndian.Uint16(datagram[2:]) == 0 {
			b.Fatal(err)
		}
		tracker.Apply(a, nasSource, arrival)
	}
}
