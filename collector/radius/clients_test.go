package radius

import (
	"net/netip"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"griffier/collector/binding"
)

// TestClientsSpeakForThemselves: a client that may be bng2 only can neither end
// the sessions of bng1 nor restart it, under any name of it.
func TestClientsSpeakForThemselves(t *testing.T) {
	s := serve(t, Config{Clients: []Client{
		{Prefix: netip.MustParsePrefix("127.0.0.1/32"), Secret: secret, NAS: []string{"bng1"}},
		{Prefix: netip.MustParsePrefix("127.0.0.2/32"), Secret: secret, NAS: []string{"bng2", "192.0.2.2"}},
		{Prefix: netip.MustParsePrefix("127.0.0.3/32"), Secret: secret},
	}}, nil)
	named := func(name, address string) func(*layeh.Packet) {
		return func(p *layeh.Packet) {
			session42(p)
			p.Del(rfc2865.NASIdentifier_Type)
			if name != "" {
				rfc2865.NASIdentifier_SetString(p, name)
			}
			if address != "" {
				rfc2865.NASIPAddress_Set(p, netip.MustParseAddr(address).AsSlice())
			}
		}
	}
	for _, test := range []struct {
		name, from string
		status     Status
		build      func(*layeh.Packet)
		taken      bool
	}{
		{"bng1's own start", "127.0.0.1", StatusStart, named("bng1", "192.0.2.1"), true},
		{"bng1's stop by bng2", "127.0.0.2", StatusStop, named("bng1", ""), false},
		{"bng1's restart by bng2", "127.0.0.2", StatusOn, named("bng1", ""), false},
		{"bng1's restart by bng2, by its address", "127.0.0.2", StatusOn, named("", "192.0.2.1"), false},
		{"a name of nobody's", "127.0.0.2", StatusStart, named("bng9", ""), false},
		{"no name but the source address", "127.0.0.2", StatusStart, named("", ""), false},
		{"bng2 by its address", "127.0.0.2", StatusStart, named("", "192.0.2.2"), true},
		{"bng2's own", "127.0.0.2", StatusStart, named("bng2", ""), true},
		{"a client without names", "127.0.0.3", StatusInterim, named("bng1", ""), true},
	} {
		before, dropped := len(s.observations()), s.metric("dropped_total", string(ReasonForeignNAS))
		conn := dialFrom(t, test.from, s.Addr())
		send(t, conn, encode(t, secret, test.status, test.build))
		if test.taken {
			if answer(conn, patience) == nil || len(s.observations()) != before+1 {
				t.Errorf("%s: not taken", test.name)
			}
			continue
		}
		within(t, "counted", func() bool { return s.metric("dropped_total", string(ReasonForeignNAS)) == dropped+1 })
		if answer(conn, silence/3) != nil || len(s.observations()) != before {
			t.Errorf("%s: taken", test.name)
		}
	}
	for _, o := range s.observations() {
		if o.Kind == binding.End || o.Kind == binding.NASReboot {
			t.Errorf("something ended: %+v", o)
		}
	}
}

func TestClientsAreChecked(t *testing.T) {
	s := serve(t, Config{}, nil)
	prefix := netip.MustParsePrefix("127.0.0.0/8")
	for name, c := range map[string]Client{"no prefix": {Secret: secret}, "neither secret nor certificate": {Prefix: prefix}} {
		if err := s.SetClients([]Client{c}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := s.SetClients([]Client{{Prefix: prefix, Secret: []byte("new")}}); err != nil {
		t.Fatal(err)
	}
	conn := s.dial()
	send(t, conn, encode(t, []byte("new"), StatusStart, session42))
	if answer(conn, patience) == nil {
		t.Error("the new secret is not in use")
	}
}
