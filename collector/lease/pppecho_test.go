package lease

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/collector/binding"
	"griffier/schema"
)

// echoed is an echo of a session's host.
func echoed(session uint16, host net.HardwareAddr) pppoe {
	return control(pppLCP, echoReply, 1, []byte{1, 2, 3, 4}).at(session).by(host)
}

// line is a link with two hosts, of which frames are told second by second.
type line struct {
	tb       testing.TB
	follower *Follower
	told     []string
}

func newLine(t testing.TB) *line { return &line{t, NewFollower(Config{}), nil} }

func (l *line) tell(second int, p interface{ frame(testing.TB) []byte }, direction schema.Direction) {
	r, _ := l.follower.Apply(Frame{At: at(0).Add(time.Duration(second) * time.Second), Interface: "e0", Direction: direction, Data: p.frame(l.tb)})
	for _, o := range r.Observations {
		s := fmt.Sprintf("%s %s@%d", o.Kind, strings.TrimPrefix(o.Identifier.Value, "e0/0.0/02:00:00:00:00:"), int(o.At.Sub(at(0)).Seconds()))
		for _, p := range o.Prefixes {
			s += " " + p.String()
		}
		if o.Kind == binding.End {
			s += " " + string(o.EndCause) + " " + string(o.Certainty)
		}
		l.told = append(l.told, s)
	}
}

// open has a host's session confirmed, with an address.
func (l *line) open(second int, session uint16, host net.HardwareAddr, address string) {
	for _, p := range []pppoe{
		discovery(PADR, 0).by(host), discovery(PADS, session).by(host),
		control(pppIPCP, configureRequest, 1, ipcpAddress(address)).at(session).by(host),
		control(pppIPCP, configureAck, 1, ipcpAddress(address)).at(session).by(host).byAC(),
	} {
		l.tell(second, p, direction(p.fromAC))
	}
	l.told = nil
}

// echoes has hosts echo every 20 seconds from a second on until another.
func (l *line) echoes(from, until int, hosts map[uint16]net.HardwareAddr) {
	for s := from; s < until; s += 20 {
		for session, host := range hosts {
			l.tell(s, echoed(session, host), schema.Up)
			l.tell(s, control(pppLCP, echoReply, 1, []byte{1, 2, 3, 4}).at(session).by(host).byAC(), schema.Down) // the AC lives, which says nothing
		}
	}
}

// TestEchoSilence: a host that echoed and does so no more is gone since its last
// echo, with what was delegated within its session; others are not, and it may
// come back.
func TestEchoSilence(t *testing.T) {
	const a, b = "100.64.0.10", "100.64.0.11"
	one, both := map[uint16]net.HardwareAddr{2: mac2}, map[uint16]net.HardwareAddr{1: mac1, 2: mac2}
	start := func() *line {
		l := newLine(t)
		l.open(0, 1, mac1, a)
		l.open(0, 2, mac2, b)
		return l
	}
	for name, test := range map[string]struct {
		run  func(*line)
		want string
	}{
		"both echo":                           {func(l *line) { l.echoes(0, 4000, both) }, ""},
		"neither ever echoes":                 {func(l *line) { l.tell(90000, discovery(PADI, 0), schema.Up) }, ""},
		"one never did":                       {func(l *line) { l.echoes(0, 9000, one) }, ""},
		"one falls silent":                    {func(l *line) { l.echoes(0, 1000, both); l.echoes(1000, 4000, one) }, "end 01@980 lost_carrier inferred"},
		"not long enough":                     {func(l *line) { l.echoes(0, 1000, both); l.echoes(1000, 2700, one); l.echoes(2700, 3000, both) }, ""},
		"nothing was seen":                    {func(l *line) { l.echoes(0, 1000, both); l.echoes(90000, 91000, one) }, ""},
		"nothing was seen, and then for long": {func(l *line) { l.echoes(0, 1000, both); l.echoes(90000, 93000, one) }, "end 01@980 lost_carrier inferred"},
		"it comes back": {func(l *line) { l.echoes(0, 1000, both); l.echoes(1000, 4000, one); l.echoes(4000, 9000, both) },
			"end 01@980 lost_carrier inferred; start 01@4000 " + a + "/32"},
		"its address is another's": {func(l *line) {
			l.echoes(0, 1000, both)
			l.echoes(1000, 4000, one)
			l.open(4000, 3, net.HardwareAddr{2, 0, 0, 0, 0, 3}, a)
			l.tell(4001, echoed(1, mac1), schema.Up)
		}, "start 01@4001"},
		"its end is told after all": {func(l *line) {
			l.echoes(0, 1000, both)
			l.echoes(1000, 4000, one)
			l.tell(4000, discovery(PADT, 1).by(mac1), schema.Up)
			l.tell(4001, echoed(1, mac1), schema.Up)
		}, "end 01@980 lost_carrier inferred"},
		"found too late": {func(l *line) {
			l.echoes(0, 1000, both)
			l.echoes(1000, 180000, one)
			l.tell(180000, echoed(1, mac1), schema.Up)
		},
			"end 01@980 lost_carrier inferred"},
		"with its prefix": {func(l *line) {
			l.tell(1, message6(Request6).within(1), schema.Up)
			l.tell(1, message6(Reply6, iapd(1, prefix6("2001:db8:100::/56", 90000))).within(1), schema.Down)
			l.told = nil
			l.echoes(0, 1000, both)
			l.echoes(1000, 4000, one)
		}, "end 01@980 lost_carrier inferred; end 01@980 lost_carrier inferred"},
	} {
		l := start()
		test.run(l)
		if got := strings.Join(l.told, "; "); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

// TestEchoesAtRandom has hosts come, echo, fall silent and come back. One that
// echoed within the limit is never ended; one that is ended was silent for it, and
// ended at its last echo; what is remembered stays bounded.
func TestEchoesAtRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{}
		cfg.setDefaults()
		tracker := NewTrackerPPP(cfg)
		now := at(0)
		last, open := map[uint16]time.Time{}, map[uint16]bool{}
		feed := func(p pppoe, session uint16) {
			r, _ := tracker.Apply(Frame{At: now, Interface: "e0", Direction: direction(p.fromAC), Data: p.frame(t)})
			for _, o := range r.Observations {
				var id uint16
				fmt.Sscanf(o.NASPort, "0.0/%d", &id)
				switch o.Kind {
				case binding.End:
					if o.EndCause != schema.EndLostCarrier || last[id].IsZero() || !o.At.Equal(last[id]) || now.Sub(last[id]) < cfg.EchoSilence {
						rt.Fatalf("%s of %d at %v, whose last echo was at %v; now %v", o.EndCause, id, o.At, last[id], now)
					}
					open[id] = false
				case binding.Start:
					open[id] = true
				}
			}
		}
		for range rapid.IntRange(1, 200).Draw(rt, "frames") {
			now = now.Add(time.Duration(rapid.IntRange(1, 500).Draw(rt, "gap")) * time.Second)
			id := uint16(rapid.IntRange(1, 4).Draw(rt, "session"))
			host := net.HardwareAddr{2, 0, 0, 0, 0, byte(id)}
			if _, known := open[id]; !known {
				feed(discovery(PADR, 0).by(host), id)
				feed(discovery(PADS, id).by(host), id)
				continue
			}
			feed(echoed(id, host), id)
			last[id] = now
			if !open[id] {
				rt.Fatalf("session %d echoes and is not open", id)
			}
		}
		if len(tracker.watches) > 2*len(open) || len(tracker.lost)+tracker.Len() != len(open) {
			rt.Fatalf("%d watches, %d lost, %d open of %d sessions", len(tracker.watches), len(tracker.lost), tracker.Len(), len(open))
		}
	})
}
