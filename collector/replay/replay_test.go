package replay

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/collector/radius"
	"griffier/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func options(t testing.TB, name string) Options {
	t.Helper()
	p, err := schema.NewPseudonymiser([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Path: filepath.Join("testdata", name+".pcap"), CollectorID: "test", Pseudonymiser: p, Interface: "eth1",
		Clients: []radius.Client{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Secret: []byte("testing123"), Name: "radclient"}},
	}
}

// The lines of the capture with all encapsulations, which holds no DHCP or RADIUS.
func staticLines() []binding.StaticLine {
	return []binding.StaticLine{{
		Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "line-12"},
		Prefixes:   []netip.Prefix{netip.MustParsePrefix("100.64.0.12/32"), netip.MustParsePrefix("2001:db8:0:1200::/56")},
	}}
}

// replayed runs a replay and returns every record and, by key, the latest versions.
func replayed(t *testing.T, o Options) (all []schema.Record, summary Summary) {
	t.Helper()
	summary, err := Run(t.Context(), o, func(r []schema.Record) error { all = append(all, r...); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if err := schema.Validate(r); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	return all, summary
}

// held lists the latest version of each session and assignment.
func held(records []schema.Record) (out []string) {
	latest := map[string]string{}
	for _, r := range records { // versions rise
		switch r := r.(type) {
		case *schema.Session:
			latest[fmt.Sprint(r.SessionID, r.StartedAt)] = fmt.Sprintf("session %s-%s open=%t %s %s", clock(r.StartedAt), clock(r.EndedAt), r.Open, r.EndCause, r.Certainty)
		case *schema.Assignment:
			latest[fmt.Sprint(r.AssignmentID, r.StartedAt)] = fmt.Sprintf("%s %s-%s open=%t %s %s", r.Prefix, clock(r.StartedAt), clock(r.EndedAt), r.Open, r.EndCause, r.Certainty)
		}
	}
	for _, l := range latest {
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

func clock(t time.Time) string { return t.Format("15:04:05.999") }

func want(t *testing.T, have []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("have\n  %s\nwant\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}

// dhclient: DORA, renewals, RELEASE of .10; then udhcpc: DORA of .11, which
// still lives at the end of the capture.
func TestDHCPLeases(t *testing.T) {
	for _, name := range []string{"dhcp4_client_side_dora_renew_release", "dhcp4_relay_server_opt82"} {
		t.Run(name, func(t *testing.T) {
			records, _ := replayed(t, options(t, name))
			have := held(records)
			if len(have) != 4 {
				t.Fatalf("%d slices: %v", len(have), have)
			}
			// Both sides of the relay tell of the same two leases, within a millisecond or two.
			for i, prefix := range []string{"100.64.0.10/32 05:10:3", "100.64.0.11/32 05:10:47.09", "session 05:10:3", "session 05:10:47.09"} {
				suffix := []string{"open=false release observed", "open=true  observed"}[i%2]
				if !strings.HasPrefix(have[i], prefix) || !strings.HasSuffix(have[i], suffix) {
					t.Errorf("slice %q, want %s… %s", have[i], prefix, suffix)
				}
			}
		})
	}
}

// dhclient -6 -N -P: an address and a delegated prefix, renewed until the end.
func TestDHCPv6Leases(t *testing.T) {
	records, _ := replayed(t, options(t, "dhcp6_client_side_iana_iapd"))
	want(t, held(records),
		"session 05:11:24.902-05:11:36.916 open=true  observed", "2001:db8:10::1000/128 05:11:24.902-05:11:36.916 open=true  observed",
		"session 05:11:24.902-05:11:36.916 open=true  observed", "2001:db8:4000::/56 05:11:24.902-05:11:36.916 open=true  observed")
}

// rp-pppoe on both sides: PADI to PADT. No address was confirmed in it.
func TestPPPoESession(t *testing.T) {
	records, _ := replayed(t, options(t, "pppoe_session"))
	want(t, held(records), "session 05:12:26.018-05:12:27.439 open=false release observed")
}

// What radclient sent: three sessions, of which the first stops by itself, the
// second is followed by a new session without a Stop, and the third loses its
// carrier; one Stop comes twice.
func TestRADIUSSessions(t *testing.T) {
	records, summary := replayed(t, options(t, "radius_acct_start_interim_stop_gigawords"))
	want(t, held(records),
		"session 04:46:41-05:01:40 open=false release observed",
		"100.64.0.11/32 04:46:41-05:01:40 open=false release observed",
		"2001:db8:0:1100::/56 04:46:41-05:01:40 open=false release observed",
		"2001:db8:ff00:1::/64 04:46:41-05:01:40 open=false release observed",
		"session 04:46:42-05:03:20 open=false superseded inferred",
		"100.64.0.12/32 04:46:42-05:03:20 open=false superseded inferred",
		"2001:db8:0:1200::/56 04:46:42-05:03:20 open=false superseded inferred",
		"2001:db8:ff00:2::/64 04:46:42-05:03:20 open=false superseded inferred",
		"session 04:46:43-05:06:40 open=false lost_carrier observed",
		"100.64.0.13/32 04:46:43-05:06:40 open=false lost_carrier observed",
		"2001:db8:0:1300::/56 04:46:43-05:06:40 open=false lost_carrier observed",
		"2001:db8:ff00:3::/64 04:46:43-05:06:40 open=false lost_carrier observed",
		"session 05:03:20-05:15:00.206 open=true  observed",
		"100.64.0.12/32 05:03:20-05:15:00.206 open=true  observed",
		"2001:db8:0:1200::/56 05:03:20-05:15:00.206 open=true  observed",
		"2001:db8:ff00:2::/64 05:03:20-05:15:00.206 open=true  observed",
	)
	if summary.RADIUS["used"] != 14 {
		t.Errorf("RADIUS %v, want 14 used", summary.RADIUS)
	}
	o := options(t, "radius_acct_start_interim_stop_gigawords")
	o.Clients[0].Secret = []byte("another")
	if records, summary := replayed(t, o); len(held(records)) != 0 || summary.RADIUS["authenticator"] != 14 {
		t.Errorf("with a wrong secret: %v, RADIUS %v", held(records), summary.RADIUS)
	}
}

// The sender's truth: 3000 IPv4 packets of 454,000 L2 bytes and 2000 IPv6 packets
// of 348,000, 1000 of each encapsulation. L3 bytes are those without the headers
// of Ethernet (14), each VLAN tag (4), PPPoE and PPP (8).
func TestEveryEncapsulationIsCounted(t *testing.T) {
	o := options(t, "encap_vlan_qinq_pppoe_5000")
	o.StaticLines = staticLines()
	records, summary := replayed(t, o)
	const (
		bytes4 = 454_000 - 1000*(14+4) - 1000*(14+4+4) - 1000*(14+4+4+8)
		bytes6 = 348_000 - 1000*(14+4+4+8) - 1000*(14+8)
	)
	type total struct {
		bytes, packets uint64
	}
	have := map[string]total{}
	for _, r := range records {
		if u, ok := r.(*schema.Usage); ok {
			k := fmt.Sprint(u.Direction, u.IPVersion)
			have[k] = total{have[k].bytes + u.Bytes, have[k].packets + u.Packets}
			if u.CumulativeBytes != have[k].bytes {
				t.Errorf("%s: cumulative %d, sum %d", k, u.CumulativeBytes, have[k].bytes)
			}
		}
	}
	if len(have) != 2 || have["up4"] != (total{bytes4, 3000}) || have["up6"] != (total{bytes6, 2000}) {
		t.Errorf("counted %v, want up4 {%d 3000}, up6 {%d 2000}", have, bytes4, bytes6)
	}
	if summary.Counted != 5000 || summary.Unattributed != 3 {
		t.Errorf("%d counted, %d for nobody; want 5000 and the 3 MLD reports", summary.Counted, summary.Unattributed)
	}
}

// Golden files hold what -o json prints: every usage row, and every slice once.
func TestGolden(t *testing.T) {
	for _, name := range []string{
		"dhcp4_client_side_dora_renew_release", "dhcp4_relay_server_opt82",
		"radius_acct_start_interim_stop_gigawords", "encap_vlan_qinq_pppoe_5000",
		"dhcp6_client_side_iana_iapd", "pppoe_session",
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, name)
			o.StaticLines = staticLines()
			var out bytes.Buffer
			j := NewJSON(&out)
			if _, err := Run(t.Context(), o, j.Write); err != nil {
				t.Fatal(err)
			}
			if err := j.Flush(); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".jsonl")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), text) {
				t.Errorf("records differ from %s; after checking them, run with -update\n%s", golden, out.String())
			}
			seen := map[string]bool{}
			for i, line := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) {
				var x struct {
					Kind         schema.Kind `json:"kind"`
					SessionID    string      `json:"session_id"`
					AssignmentID string      `json:"assignment_id"`
					CoverageID   string      `json:"coverage_id"`
					StartedAt    time.Time   `json:"started_at"`
				}
				if err := json.Unmarshal(line, &x); err != nil || x.Kind == "" {
					t.Fatalf("line %d: kind %q, %v", i+1, x.Kind, err)
				}
				key := fmt.Sprint(x)
				if x.Kind != schema.KindUsage && seen[key] {
					t.Errorf("line %d: another version of a slice that stands above", i+1)
				}
				seen[key] = true
			}
		})
	}
}

// -ends-at moves everything, Event-Timestamps included.
func TestEndsAtShiftsEverything(t *testing.T) {
	o := options(t, "radius_acct_start_interim_stop_gigawords")
	before, _ := replayed(t, o)
	o.EndsAt = time.Date(2026, 11, 21, 5, 15, 0, 206335000, time.UTC) // a day later to the microsecond
	after, summary := replayed(t, o)
	if !summary.Last.Equal(o.EndsAt) {
		t.Errorf("last packet at %v, want %v", summary.Last, o.EndsAt)
	}
	if x, y := held(before), held(after); !slices.Equal(x, y) {
		t.Errorf("shifted by a day\n  %s\nnot shifted\n  %s", strings.Join(y, "\n  "), strings.Join(x, "\n  "))
	}
	for _, r := range after {
		if s, ok := r.(*schema.Session); ok && s.StartedAt.Before(o.EndsAt.Add(-time.Hour)) {
			t.Errorf("session of %v in a replay that ends at %v", s.StartedAt, o.EndsAt)
		}
	}
}

func TestCaptureThatEndsWithinAPacket(t *testing.T) {
	text, err := os.ReadFile("testdata/radius_acct_start_interim_stop_gigawords.pcap")
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, "")
	o.Path = filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(o.Path, text[:len(text)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, summary := replayed(t, o); !summary.CutOff || summary.Packets != 27 {
		t.Errorf("%d packets, cut off %t; want 27, true", summary.Packets, summary.CutOff)
	}
	for name, text := range map[string][]byte{"empty": nil, "text": []byte("hello, this is no capture"), "header only": text[:24]} {
		if err := os.WriteFile(o.Path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), o, func([]schema.Record) error { return nil }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
