package radius

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

var nasSource = netip.MustParseAddr("192.0.2.1")

// base is the second of the capture's Accounting-On.
const base = 1795149940

func told(kind binding.ObservationKind, user, session int, atSecond, startSecond int64) binding.Observation {
	id := fmt.Sprintf("%08d-5F3B2C%02d", user, session)
	return binding.Observation{
		At: time.Unix(atSecond, 0).UTC(), Kind: kind, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
		SessionKey:       fmt.Sprintf("bng1|%d|%s|%d", base*1000, id, startSecond*1000),
		Identifier:       schema.Identifier{Kind: schema.IdentRADIUSUser, Value: fmt.Sprintf("user%04d@isp", user)},
		NAS:              "bng1",
		NASPort:          fmt.Sprintf("eth 0/1/0:100.%d", user),
		SessionStartedAt: time.Unix(startSecond, 0).UTC(),
		Prefixes: prefixes(fmt.Sprintf("100.64.0.%d/32", 10+user), fmt.Sprintf("2001:db8:ff00:%d::/64", user),
			fmt.Sprintf("2001:db8:0:1%d00::/56", user)),
	}
}

func ended(o binding.Observation, cause schema.EndCause) binding.Observation {
	o.EndCause = cause
	return o
}

func moved(o binding.Observation, up, down uint64) binding.Observation {
	o.Octets = &binding.Octets{Up: up, Down: down}
	return o
}

func captureObservations() []binding.Observation {
	const s1, s2, s3, again = base + 61, base + 62, base + 63, base + 1060
	return []binding.Observation{
		{At: time.Unix(base, 0).UTC(), Kind: binding.NASReboot, Source: schema.SourceRADIUS,
			Certainty: schema.CertaintyInferred, NAS: "bng1", EndCause: schema.EndNASReboot},
		told(binding.Start, 1, 1, s1, s1), told(binding.Start, 2, 2, s2, s2), told(binding.Start, 3, 3, s3, s3),
		moved(told(binding.Refresh, 1, 1, s1+300, s1), 1_000_000, 4_000_000_000),
		moved(told(binding.Refresh, 2, 2, s2+300, s2), 2_000_000, 4_000_000_000),
		moved(told(binding.Refresh, 3, 3, s3+300, s3), 3_000_000, 4_000_000_000),
		moved(told(binding.Refresh, 1, 1, s1+600, s1), 2_000_000, 8_000_000_000),
		moved(told(binding.Refresh, 2, 2, s2+600, s2), 4_000_000, 8_000_000_000),
		moved(told(binding.Refresh, 3, 3, s3+600, s3), 6_000_000, 8_000_000_000),
		moved(ended(told(binding.End, 1, 1, s1+899, s1), schema.EndRelease), 3_000_000, 26_000_000_000),
		moved(ended(told(binding.End, 1, 1, s1+899, s1), schema.EndRelease), 3_000_000, 26_000_000_000), // the duplicate, told alike
		told(binding.Start, 2, 99, again, again),
		moved(ended(told(binding.End, 3, 3, s3+1197, s3), schema.EndLostCarrier), 9_000_000, 8_000_000_500), // Event-Timestamp, not arrival less delay
	}
}

func TestCaptureObservations(t *testing.T) {
	tracker := NewTracker(TrackerConfig{})
	var got []binding.Observation
	for _, c := range readCapture(t) {
		if !c.request {
			continue
		}
		a, err := Decode(c.payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := tracker.Apply(a, c.source, c.at)
		if r.Refused || r.Reason != "" {
			t.Errorf("request %d: %+v", len(got), r)
		}
		got = append(got, r.Observations...)
	}
	want := captureObservations()
	if len(got) != len(want) {
		t.Fatalf("%d observations, want %d", len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("observation %d\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

// TestCaptureBytes checks the last totals told of each session.
func TestCaptureBytes(t *testing.T) {
	last := map[string][2]uint64{}
	for _, c := range readCapture(t) {
		if a, err := Decode(c.payload, nil); err == nil {
			last[a.SessionID] = [2]uint64{a.BytesUp, a.BytesDown}
		}
	}
	for id, want := range map[string][2]uint64{
		"00000001-5F3B2C01": {3_000_000, 26_000_000_000},
		"00000002-5F3B2C02": {4_000_000, 8_000_000_000},
		"00000003-5F3B2C03": {9_000_000, 8_000_000_500},
	} {
		if last[id] != want {
			t.Errorf("session %s moved %v, want %v", id, last[id], want)
		}
	}
}

// packet is an accounting request in brief; times are seconds after 10:00.
type packet struct {
	status  Status
	id      string // default "42"
	user    string // default alice
	event   int    // Event-Timestamp; -1: none
	arrives int    // default event
	delay   int    // Acct-Delay-Time; 0: none
	lasted  int    // Acct-Session-Time; 0: none
	v4      string
	pd      string
	prefix  string
	cause   uint32
	nas     string // NAS-Identifier; default bng1, "-": none
	nasIP   string
	nobody  bool
	circuit string
	remote  string
	multi   string // Acct-Multi-Session-Id
}

func (p packet) accounting() (Accounting, time.Time) {
	a := Accounting{Status: p.status, SessionID: "42", UserName: "alice", NASIdentifier: "bng1", TerminateCause: p.cause}
	if p.id != "" {
		a.SessionID = p.id
	}
	if p.user != "" {
		a.UserName = p.user
	}
	if p.nobody || p.status == StatusOn || p.status == StatusOff {
		a.UserName = ""
	}
	if p.circuit != "" {
		a.CircuitID = p.circuit
	}
	a.RemoteID, a.MultiSession = p.remote, p.multi
	if p.nas != "" {
		a.NASIdentifier = strings.Trim(p.nas, "-")
	}
	if p.nasIP != "" {
		a.NASAddress = netip.MustParseAddr(p.nasIP)
	}
	if p.event >= 0 {
		a.EventAt = at(p.event)
	}
	arrival := at(p.event)
	if p.arrives != 0 {
		arrival = at(p.arrives)
	}
	if p.delay != 0 {
		a.Delay, a.HasDelay = time.Duration(p.delay)*time.Second, true
	}
	if p.lasted != 0 {
		a.SessionTime, a.HasSessionTime = time.Duration(p.lasted)*time.Second, true
	}
	if p.v4 != "" {
		a.Addresses.IPv4 = prefixes(p.v4 + "/32")
	}
	if p.pd != "" {
		a.Addresses.IPv6Delegated = prefixes(p.pd)
	}
	if p.prefix != "" {
		a.Addresses.IPv6Prefix = prefixes(p.prefix)
	}
	return a, arrival
}

// describe writes a result as "kind@second [of user] [start=second] [addresses] [cause]".
func describe(r Result) string {
	var parts []string
	second := func(t time.Time) int { return int(t.Sub(at(0)) / time.Second) }
	for _, o := range r.Observations {
		s := fmt.Sprintf("%s@%d", o.Kind, second(o.At))
		if o.Kind == binding.NASReboot {
			s += " " + o.NAS
		} else if o.Identifier.Value != "alice" {
			s += " of " + o.Identifier.Value
		}
		if o.Kind != binding.Start && !o.SessionStartedAt.IsZero() {
			s += fmt.Sprintf(" start=%d", second(o.SessionStartedAt))
		}
		for _, p := range o.Prefixes {
			s += " " + strings.TrimSuffix(p.String(), "/32")
		}
		if o.EndCause != "" && o.Kind == binding.End {
			s += " " + string(o.EndCause)
		}
		if o.Kind != binding.NASReboot && o.Certainty != schema.CertaintyObserved {
			s += " " + string(o.Certainty)
		}
		parts = append(parts, s)
	}
	if r.Reason != "" {
		parts = append(parts, string(r.Reason))
	}
	return strings.Join(parts, ", ")
}

type step struct {
	packet packet
	want   string
}

func TestTracker(t *testing.T) {
	const v4, other, pd = "100.64.0.1", "100.64.0.2", "2001:db8:0:100::/56"
	start := step{packet{status: StatusStart, event: 0, v4: v4}, "start@0 " + v4}
	stop := step{packet{status: StatusStop, event: 900, lasted: 900}, "end@900 start=0 " + v4 + " release"}
	tests := []struct {
		name  string
		cfg   TrackerConfig
		steps []step
	}{
		{"start, interim, stop; attributes told once stay told", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, v4: v4, pd: pd}, "start@0 " + v4 + " " + pd},
			{packet{status: StatusInterim, event: 300, lasted: 300}, "refresh@300 start=0 " + v4 + " " + pd},
			{packet{status: StatusInterim, event: 600, lasted: 600, v4: v4}, "refresh@600 start=0 " + v4 + " " + pd},
			{packet{status: StatusStop, event: 900, lasted: 900}, "end@900 start=0 " + v4 + " " + pd + " release"}}},
		{"address changes on an interim", TrackerConfig{}, []step{start,
			{packet{status: StatusInterim, event: 300, v4: other}, "refresh@300 start=0 " + other},
			{packet{status: StatusInterim, event: 600, pd: pd}, "refresh@600 start=0 " + other + " " + pd}}},
		{"framed and delegated prefix change each by itself", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, prefix: "2001:db8:f:1::/64", pd: pd}, "start@0 2001:db8:f:1::/64 " + pd},
			{packet{status: StatusInterim, event: 300, prefix: "2001:db8:f:2::/64"}, "refresh@300 start=0 2001:db8:f:2::/64 " + pd}}},
		{"session time of a century", TrackerConfig{}, []step{
			{packet{status: StatusInterim, event: 300, lasted: 100 * 365 * 86400, v4: v4}, "refresh@300 " + v4}}},
		{"user name told once", TrackerConfig{}, []step{start, {packet{status: StatusInterim, event: 300, nobody: true}, "refresh@300 start=0 " + v4}}},
		{"end causes", TrackerConfig{}, []step{
			{packet{status: StatusStop, id: "1", event: 900, lasted: 9, cause: 1}, "end@900 start=891 release"},
			{packet{status: StatusStop, id: "2", event: 900, lasted: 9, cause: 2}, "end@900 start=891 lost_carrier"},
			{packet{status: StatusStop, id: "3", event: 900, lasted: 9, cause: 3}, "end@900 start=891 lost_carrier"},
			{packet{status: StatusStop, id: "4", event: 900, lasted: 9, cause: 4}, "end@900 start=891 expiry"},
			{packet{status: StatusStop, id: "5", event: 900, lasted: 9, cause: 5}, "end@900 start=891 expiry"},
			{packet{status: StatusStop, id: "6", event: 900, lasted: 9, cause: 11}, "end@900 start=891 nas_reboot"},
			{packet{status: StatusStop, id: "7", event: 900, lasted: 9, cause: 6}, "end@900 start=891 release"}}},
		{"start lost, interim first", TrackerConfig{}, []step{
			{packet{status: StatusInterim, event: 300, lasted: 300, v4: v4}, "refresh@300 start=0 " + v4},
			{packet{status: StatusInterim, event: 600, lasted: 601}, "refresh@600 start=0 " + v4}, stop}},
		{"start lost, no session time", TrackerConfig{}, []step{
			{packet{status: StatusInterim, event: 300, v4: v4}, "refresh@300 " + v4},
			{packet{status: StatusStop, event: 600}, "end@600 " + v4 + " release"}}},
		{"only a stop", TrackerConfig{}, []step{{packet{status: StatusStop, event: 900, lasted: 900, v4: v4}, "end@900 start=0 " + v4 + " release"}}},
		{"stop before start", TrackerConfig{}, []step{
			{packet{status: StatusStop, event: 900, lasted: 900, v4: v4}, "end@900 start=0 " + v4 + " release"},
			{packet{status: StatusStart, event: 0, arrives: 901, v4: v4}, "late"}}},
		{"stop before start, which tells more", TrackerConfig{}, []step{
			{packet{status: StatusStop, event: 900, lasted: 900, v4: v4}, "end@900 start=0 " + v4 + " release"},
			{packet{status: StatusStart, event: 0, arrives: 901, v4: v4, pd: pd}, "start@0 " + v4 + " " + pd + ", end@900 start=0 " + v4 + " " + pd + " release"}}},
		{"stop without session time before start", TrackerConfig{}, []step{
			{packet{status: StatusStop, event: 900, v4: v4}, "end@900 " + v4 + " release"},
			{packet{status: StatusStart, event: 0, arrives: 901}, "start@0, end@900 start=0 " + v4 + " release"}}},
		{"start after interim", TrackerConfig{}, []step{
			{packet{status: StatusInterim, event: 300, lasted: 299, v4: v4}, "refresh@300 start=1 " + v4},
			{packet{status: StatusStart, event: 0, arrives: 301, v4: other}, "start@0 " + other},
			{packet{status: StatusInterim, event: 600, lasted: 600}, "refresh@600 start=1 " + v4}}},
		{"late interim after stop", TrackerConfig{}, []step{start, stop,
			{packet{status: StatusInterim, event: 600, arrives: 901, lasted: 600}, "late"},
			{packet{status: StatusInterim, event: -1, arrives: 950, lasted: 600}, "late"},
			{packet{status: StatusInterim, event: 960, lasted: 960}, "late"}}},
		{"interims out of order", TrackerConfig{}, []step{start,
			{packet{status: StatusInterim, event: 600, lasted: 600, v4: other}, "refresh@600 start=0 " + other},
			{packet{status: StatusInterim, event: 300, arrives: 601, lasted: 300, v4: v4}, "late"},
			{packet{status: StatusInterim, event: 900, lasted: 900}, "refresh@900 start=0 " + other}}},
		{"repeated start", TrackerConfig{}, []step{start, {packet{status: StatusStart, event: 0, arrives: 5, v4: v4}, "start@0 " + v4}}},
		{"repeated start without time", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: -1, arrives: 2, v4: v4}, "start@2 " + v4},
			{packet{status: StatusStart, event: -1, arrives: 7, delay: 4, v4: v4}, "start@2 " + v4}}},
		{"repeated stop", TrackerConfig{}, []step{start, stop, {packet{status: StatusStop, event: 900, arrives: 930, lasted: 900}, stop.want},
			{packet{status: StatusStop, event: -1, arrives: 930, lasted: 900, delay: 25}, stop.want}}},
		{"session id used again after a stop", TrackerConfig{}, []step{start, stop,
			{packet{status: StatusStart, event: 1000, v4: other}, "start@1000 " + other}}},
		{"session id used again after a stop, start lost", TrackerConfig{}, []step{start, stop,
			{packet{status: StatusInterim, event: 1300, lasted: 300, v4: other}, "refresh@1300 start=1000 " + other}}},
		{"session id used again, known from its stop alone", TrackerConfig{}, []step{start, stop,
			{packet{status: StatusStop, event: 1300, lasted: 300, v4: other}, "end@1300 start=1000 " + other + " release"}}},
		{"session id used again without stop, no interims", TrackerConfig{}, []step{start,
			{packet{status: StatusStart, event: 1000, v4: other}, "end@1000 start=0 " + v4 + " inferred inferred, start@1000 " + other}}},
		{"session id used again without stop, interims seen", TrackerConfig{}, []step{start,
			{packet{status: StatusInterim, event: 300}, "refresh@300 start=0 " + v4},
			{packet{status: StatusStart, event: 1000, v4: other}, "end@300 start=0 " + v4 + " inferred inferred, start@1000 " + other}}},
		{"session id used again without stop and start", TrackerConfig{}, []step{start,
			{packet{status: StatusInterim, event: 1300, lasted: 300, v4: other}, "end@1000 start=0 " + v4 + " inferred inferred, refresh@1300 start=1000 " + other}}},
		{"session id used again by another line", TrackerConfig{}, []step{start,
			{packet{status: StatusStart, event: 5, user: "bob", v4: other}, "end@5 start=0 " + v4 + " inferred inferred, start@5 of bob " + other}}},
		{"interim with session time zero", TrackerConfig{}, []step{start, {packet{status: StatusInterim, event: 600}, "refresh@600 start=0 " + v4}}},
		{"another session of the same user", TrackerConfig{}, []step{start, {packet{status: StatusStart, id: "43", event: 700, v4: v4}, "start@700 " + v4}}},
		{"dual stack as two sessions, which a NAS groups by Acct-Multi-Session-Id", TrackerConfig{}, []step{
			{packet{status: StatusStart, id: "42", event: 0, v4: v4}, "start@0 " + v4},
			{packet{status: StatusStart, id: "43", event: 1, pd: pd}, "start@1 " + pd},
			{packet{status: StatusStop, id: "42", event: 900, lasted: 900}, "end@900 start=0 " + v4 + " release"},
			{packet{status: StatusInterim, id: "43", event: 1000, lasted: 999}, "refresh@1000 start=1 " + pd}}},
		{"two links of one bundle with one address", TrackerConfig{}, []step{
			{packet{status: StatusStart, id: "42", event: 0, v4: v4}, "start@0 " + v4},
			{packet{status: StatusStart, id: "43", event: 1, v4: v4}, "start@1 " + v4},
			{packet{status: StatusStop, id: "42", event: 900, lasted: 900}, "end@900 start=0 " + v4 + " release"},
			{packet{status: StatusInterim, id: "43", event: 1000, lasted: 999}, "refresh@1000 start=1 " + v4}}},
		{"the same session id at another NAS", TrackerConfig{}, []step{start,
			{packet{status: StatusStart, event: 700, nas: "bng2", v4: other}, "start@700 " + other},
			{packet{status: StatusStop, event: 900}, "end@900 start=0 " + v4 + " release"}}},
		{"reboot", TrackerConfig{}, []step{start,
			{packet{status: StatusOn, event: 500}, "nas_reboot@500 bng1"},
			{packet{status: StatusInterim, event: 300, arrives: 501, lasted: 300}, "late"},
			{packet{status: StatusStart, event: 600, v4: other}, "start@600 " + other},
			{packet{status: StatusOn, event: 500, arrives: 601}, "nas_reboot@500 bng1"},
			{packet{status: StatusInterim, event: 900, lasted: 300}, "refresh@900 start=600 " + other}}},
		{"shutdown", TrackerConfig{}, []step{start, {packet{status: StatusOff, event: 500}, "nas_reboot@500 bng1"},
			{packet{status: StatusStop, event: 499, arrives: 505, lasted: 499}, "end@499 start=0 " + v4 + " release"}}},
		{"reboot ends nobody else's", TrackerConfig{}, []step{start, {packet{status: StatusOn, event: 500, nas: "bng2"}, "nas_reboot@500 bng2"},
			{packet{status: StatusInterim, event: 600}, "refresh@600 start=0 " + v4}}},
		{"reboot that tells the address only", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, v4: v4, nasIP: "10.0.0.1"}, "start@0 " + v4},
			{packet{status: StatusOn, event: 500, nas: "-", nasIP: "10.0.0.1"}, "nas_reboot@500 bng1"}}},
		{"two NASes behind one address", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, v4: v4, nasIP: "10.0.0.1"}, "start@0 " + v4},
			{packet{status: StatusStart, event: 0, v4: other, nasIP: "10.0.0.1", nas: "bng2"}, "start@0 " + other},
			{packet{status: StatusOn, event: 500, nas: "-", nasIP: "10.0.0.1"}, "nas_reboot@500 10.0.0.1"}}},
		{"NAS named by its source address", TrackerConfig{}, []step{{packet{status: StatusOn, event: 500, nas: "-"}, "nas_reboot@500 192.0.2.1"}}},
		{"announced reboot outlived", TrackerConfig{}, []step{start, {packet{status: StatusOn, event: 500}, "nas_reboot@500 bng1"},
			{packet{status: StatusInterim, event: 900, lasted: 900, v4: v4}, "refresh@900 start=500 " + v4}}},
		{"interim of an unknown session from before the boot", TrackerConfig{}, []step{{packet{status: StatusOn, event: 500}, "nas_reboot@500 bng1"},
			{packet{status: StatusInterim, event: 400, arrives: 501, lasted: 100}, "before_boot"}}},
		{"time from arrival and delay", TrackerConfig{}, []step{{packet{status: StatusStart, event: -1, arrives: 100, delay: 30, v4: v4}, "start@70 " + v4}}},
		{"time from arrival", TrackerConfig{}, []step{{packet{status: StatusStart, event: -1, arrives: 100, v4: v4}, "start@100 " + v4}}},
		{"event and delay: the event counts", TrackerConfig{}, []step{{packet{status: StatusStart, event: 60, arrives: 100, delay: 30, v4: v4}, "start@60 " + v4}}},
		{"event too old", TrackerConfig{MaxAge: time.Minute}, []step{{packet{status: StatusStart, event: 0, arrives: 100, delay: 30, v4: v4}, "start@70 " + v4 + " synthesised, implausible_at"}}},
		{"event in the future", TrackerConfig{}, []step{{packet{status: StatusStart, event: 300, arrives: 100, v4: v4}, "start@100 " + v4 + " synthesised, implausible_at"}}},
		{"delay beyond belief", TrackerConfig{MaxAge: time.Minute}, []step{{packet{status: StatusStart, event: -1, arrives: 100, delay: 90, v4: v4}, "start@100 " + v4}}},
		{"nobody named", TrackerConfig{}, []step{{packet{status: StatusStart, event: 0, nobody: true, v4: v4}, "no_identifier"}}},
		{"circuit named", TrackerConfig{}, []step{{packet{status: StatusStart, event: 0, nobody: true, circuit: "c1", v4: v4}, "start@0 of 6331 " + v4}}},
		{"remote id named", TrackerConfig{}, []step{{packet{status: StatusStart, event: 0, nobody: true, remote: "r1", v4: v4}, "start@0 of 00000de97231 " + v4}}},
		{"one of a group names the line", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, multi: "m", v4: v4}, "start@0 " + v4},
			{packet{status: StatusStart, id: "43", event: 1, nobody: true, multi: "m", pd: pd}, "start@1 " + pd},
			{packet{status: StatusStop, event: 900, lasted: 900, multi: "m"}, "end@900 start=0 " + v4 + " release"},
			{packet{status: StatusInterim, id: "43", event: 1000, lasted: 999}, "refresh@1000 start=1 " + pd},
			{packet{status: StatusStart, id: "44", event: 1001, nobody: true, multi: "m", v4: v4}, "start@1001 " + v4}}},
		{"of the same group at another NAS", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, multi: "m", v4: v4}, "start@0 " + v4},
			{packet{status: StatusStart, id: "43", event: 1, nas: "bng2", nobody: true, multi: "m", pd: pd}, "no_identifier"}}},
		{"two lines of one group", TrackerConfig{}, []step{
			{packet{status: StatusStart, event: 0, multi: "m", v4: v4}, "start@0 " + v4},
			{packet{status: StatusStart, id: "43", event: 1, user: "bob", multi: "m", v4: other}, "start@1 of bob " + other},
			{packet{status: StatusStart, id: "44", event: 2, nobody: true, multi: "m", pd: pd}, "no_identifier"}}},
		{"a group is forgotten with its sessions", TrackerConfig{KeepEnded: time.Minute}, []step{
			{packet{status: StatusStart, event: 0, multi: "m", v4: v4}, "start@0 " + v4},
			{packet{status: StatusStop, event: 900, lasted: 900}, "end@900 start=0 " + v4 + " release"},
			{packet{status: StatusStart, id: "43", event: 961, nobody: true, multi: "m", pd: pd}, "no_identifier"}}},
		{"tunnel accounting", TrackerConfig{}, []step{{packet{status: 9, event: 0}, "tunnel_start"}}},
		{"no room for a session", TrackerConfig{MaxSessions: 1}, []step{start, {packet{status: StatusStart, id: "43", event: 1}, "sessions_full"},
			{packet{status: StatusInterim, event: 300}, "refresh@300 start=0 " + v4}}},
		{"room again once an ended session is forgotten", TrackerConfig{MaxSessions: 1, KeepEnded: time.Minute}, []step{start, stop,
			{packet{status: StatusStart, id: "43", event: 950}, "sessions_full"}, {packet{status: StatusStart, id: "43", event: 961}, "start@961"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTracker(test.cfg)
			for i, s := range test.steps {
				a, arrival := s.packet.accounting()
				r := tracker.Apply(a, nasSource, arrival)
				if got := describe(r); got != s.want {
					t.Fatalf("step %d: got %q, want %q", i, got, s.want)
				}
				if r.Refused != (r.Reason == ReasonSessionsFull) {
					t.Errorf("step %d: refused %v for %q", i, r.Refused, r.Reason)
				}
			}
		})
	}
}

// TestSessionKeys: one session has one key whatever order its packets arrive
// in, and a used-again session id another.
func TestSessionKeys(t *testing.T) {
	tracker := NewTracker(TrackerConfig{})
	key := func(p packet) string {
		a, arrival := p.accounting()
		r := tracker.Apply(a, nasSource, arrival)
		return r.Observations[len(r.Observations)-1].SessionKey
	}
	first := key(packet{status: StatusInterim, event: 300, lasted: 300})
	for i, p := range []packet{{status: StatusStart, event: 1, arrives: 301}, {status: StatusInterim, event: 600, lasted: 601}, {status: StatusStop, event: 900}} {
		if got := key(p); got != first {
			t.Errorf("packet %d has key %q, want %q", i, got, first)
		}
	}
	if again := key(packet{status: StatusStart, event: 1000}); again == first {
		t.Error("a new session has the old one's key")
	}
	for _, parts := range [][2]string{{"a|b", "c"}, {"a", "b|c"}, {"a%7C", "%"}, {"", "|||"}} {
		nas, id, start, err := parseSessionKey(sessionKey(parts[0], at(0), parts[1], at(7)))
		if err != nil || nas != parts[0] || id != parts[1] || !start.Equal(at(7)) {
			t.Errorf("key of %q came back as %q %q %v %v", parts, nas, id, start, err)
		}
	}
}

// TestRestart cuts the capture after every request: a restored tracker, and one
// that redoes the observations, go on as the first would.
func TestRestart(t *testing.T) {
	var requests []captured
	for _, c := range readCapture(t) {
		if c.request {
			requests = append(requests, c)
		}
	}
	run := func(tracker *Tracker, list []captured) (all []binding.Observation) {
		for _, c := range list {
			a, err := Decode(c.payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, tracker.Apply(a, c.source, c.at).Observations...)
		}
		return all
	}
	whole := captureObservations()
	for cut := range len(requests) + 1 {
		before := NewTracker(TrackerConfig{})
		seen := run(before, requests[:cut])
		snapshot, err := before.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		restored, redone := NewTracker(TrackerConfig{}), NewTracker(TrackerConfig{})
		if err := restored.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		for _, o := range seen {
			if err := redone.Redo(o); err != nil {
				t.Fatal(err)
			}
			if err := restored.Redo(o); err != nil {
				t.Fatal(err)
			}
		}
		for name, tracker := range map[string]*Tracker{"restored": restored, "redone": redone} {
			got := append(seen[:len(seen):len(seen)], run(tracker, requests[cut:])...)
			for i := range whole {
				if i >= len(got) || !reflect.DeepEqual(sortedPrefixes(got[i]), sortedPrefixes(whole[i])) {
					t.Errorf("%s after %d requests: observation %d differs\n got %+v\nwant %+v", name, cut, i, got[i], whole[i])
				}
			}
		}
	}
}

func sortedPrefixes(o binding.Observation) binding.Observation {
	o.Prefixes = append([]netip.Prefix(nil), o.Prefixes...)
	for i := range o.Prefixes {
		for j := i; j > 0 && o.Prefixes[j].String() < o.Prefixes[j-1].String(); j-- {
			o.Prefixes[j], o.Prefixes[j-1] = o.Prefixes[j-1], o.Prefixes[j]
		}
	}
	return o
}

func TestRestoreRefuses(t *testing.T) {
	for _, text := range []string{"", "{}", `{"version":2}`, `{"version":1,"nas":{"a":{"sessions":{"b":null}}}}`} {
		if err := NewTracker(TrackerConfig{}).Restore([]byte(text)); err == nil {
			t.Errorf("Restore(%q) succeeded", text)
		}
	}
}
