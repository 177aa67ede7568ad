package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const small = `collector_id: edge1
pseudonym_key_file: /etc/griffier/pseudonym.key
interfaces:
  - name: eth1
    vlan_scoped: true
radius:
  listen: ":1813"
  clients:
    - prefix: 192.0.2.0/24
      secret_file: /etc/griffier/nas.secret
      name: bng
static_lines:
  - identifier: "static-prefix:192.0.2.64/28"
    prefixes: ["192.0.2.64/28", "2001:db8:7::/48"]
spool:
  dir: /tmp/spool
  max_bytes: 2GiB
store:
  socket: /run/griffier/store.sock
drain_interval: 5s
`

func TestParse(t *testing.T) {
	c, err := Parse("x.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if c.Spool.MaxBytes != 2<<30 || time.Duration(c.DrainInterval) != 5*time.Second || c.RADIUS.Clients[0].Prefix.String() != "192.0.2.0/24" ||
		!c.Interfaces[0].VLANScoped || c.StaticLines[0].Identifier.Value != "192.0.2.64/28" || len(c.StaticLines[0].Prefixes) != 2 {
		t.Errorf("read %+v", c)
	}
	if d := Default(); c.FlushInterval != d.FlushInterval || c.MaxSlots != d.MaxSlots {
		t.Error("defaults are not filled in")
	}
	// What -check prints is a configuration that means the same.
	var printed bytes.Buffer
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	again, err := Parse("printed.yaml", printed.Bytes())
	if err != nil {
		t.Fatalf("%v\n%s", err, printed.String())
	}
	var twice bytes.Buffer
	if err := again.Print(&twice); err != nil {
		t.Fatal(err)
	}
	if twice.String() != printed.String() {
		t.Errorf("printed\n%s\nthen\n%s", printed.String(), twice.String())
	}
}

// -check prints the sizes that are in force, those included that follow from
// others.
func TestSizesInForceArePrinted(t *testing.T) {
	for extra, want := range map[string][]string{
		"": {"max_slots: 131072\n", "max_keys: 262144\n", "max_long_keys: 131072\n", "counter_stripes: 0\n", "hook: auto\n"},
		"max_slots: 1000\nmax_long_keys: 10\nhook: clsact\ncounter_stripes: 4\n": {"max_keys: 2000\n", "max_long_keys: 10\n", "counter_stripes: 4\n", "hook: clsact\n"},
	} {
		c, err := Parse("x.yaml", []byte(small+extra))
		if err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		if err := c.Print(&printed); err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(printed.String(), line) {
				t.Errorf("with %q it prints no %q:\n%s", extra, line, printed.String())
			}
		}
	}
}

func TestParseErrorsNameTheirPlace(t *testing.T) {
	replace := func(old, with string) string {
		if !strings.Contains(small, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(small, old, with, 1)
	}
	for _, x := range []struct{ name, text, want string }{
		{"unknown key", replace("drain_interval", "drain_intervall"), "x.yaml:20:1: "},
		{"unknown nested key", replace("      name: bng", "      nam: bng"), "x.yaml:11:7: "},
		{"syntax", replace("radius:", "radius: ["), "x.yaml:"},
		{"duration", replace("5s", "5"), "x.yaml:20:17: "},
		{"duration that does not divide", replace("5s", "7s"), "x.yaml:20:17: drain_interval: "},
		{"prefix", replace("192.0.2.0/24", "192.0.2.1/24"), "x.yaml:9:15: "},
		{"identifier", replace("static-prefix:192", "colour:192"), "x.yaml:13:17: "},
		{"size", replace("2GiB", "2GB"), "x.yaml:17:14: "},
		{"small spool", replace("2GiB", "1MiB"), "x.yaml:17:14: spool.max_bytes: "},
		{"missing secret", replace("      secret_file: /etc/griffier/nas.secret\n", ""), "x.yaml:9:"},
		{"no store", replace("  socket: /run/griffier/store.sock", "  socket: ''"), "x.yaml:19:9: "},
		{"public metrics", small + "metrics_listen: 0.0.0.0:9478\n", "x.yaml:21:17: metrics_listen: "},
		{"short static prefix", replace("\"192.0.2.64/28\", ", "\"10.0.0.0/8\", "), "x.yaml:14:"},
		{"no collector id", replace("collector_id: edge1\n", ""), "x.yaml:1:1: collector_id: "},
		{"hook", small + "hook: xdp\n", "x.yaml:21:7: "},
		{"fewer keys than lines", small + "max_keys: 5\n", "x.yaml:21:11: max_keys: "},
		{"too many long keys", small + "max_long_keys: 99999999\n", "x.yaml:21:16: max_long_keys: "},
		{"negative stripes", small + "counter_stripes: -1\n", "x.yaml:21:18: counter_stripes: "},
		{"no slots", small + "max_slots: 0\n", "x.yaml:21:12: max_slots: "},
		{"two documents", small + "---\na: 1\n", "x.yaml: more than one"},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(x.text))
			if err == nil || !strings.HasPrefix(err.Error(), x.want) {
				t.Errorf("error %v, want prefix %q", err, x.want)
			}
		})
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	c, err := Parse("x.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.RADIUS.Clients[0].SecretFile = path
	clients, err := c.RADIUSClients()
	if err != nil || string(clients[0].Secret) != "hunter2" {
		t.Errorf("clients %v, %v", clients, err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RADIUSClients(); err == nil {
		t.Error("an empty secret was accepted")
	}
}

const dated = small + `ranges:
  - prefix: 192.0.2.0/24
  - prefix: 2001:db8::/32
  - prefix: 192.0.2.128/25
    provider: reseller
    valid_from: 2026-01-01T00:00:00+01:00
    valid_to: 2027-01-01T00:00:00+01:00
`

// Ranges and static lines reach the binding with their owner and time.
func TestValidity(t *testing.T) {
	text := strings.Replace(dated, "static_lines:\n", "static_lines:\n  - identifier: static-prefix:host7\n"+
		"    prefixes: [\"2001:db8:5:7::/64\"]\n    valid_from: 2026-06-01T12:00:00Z\n", 1)
	c, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	own := c.Own()
	if len(own) != 3 || own[0].Provider != "" || !own[0].ValidTo.IsZero() || own[2].Provider != "reseller" ||
		!own[2].ValidFrom.Equal(time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC)) || !own[2].ValidTo.Equal(time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("ranges %+v", own)
	}
	line := c.Static()[0]
	if !line.ValidFrom.Equal(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)) || !line.ValidTo.IsZero() || len(line.Prefixes) != 1 {
		t.Errorf("static line %+v", line)
	}
	if time.Duration(c.RADIUS.StaleAfter) != 26*time.Hour {
		t.Errorf("stale_after is %v by default", time.Duration(c.RADIUS.StaleAfter))
	}
	for name, x := range map[string]struct{ old, with, want string }{
		"no offset":         {"2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00", "want a time with its offset"},
		"ends first":        {"2027-01-01T00:00:00+01:00", "2025-01-01T00:00:00+01:00", "ranges[2].valid_to: is not after valid_from"},
		"twice":             {"192.0.2.128/25", "192.0.2.0/24", "ranges[2]: is valid at the same time as ranges[0]"},
		"static ends first": {"valid_from: 2026-06-01T12:00:00Z", "valid_from: 2026-06-01T12:00:00Z\n    valid_to: 2026-06-01T12:00:00Z", "static_lines[0].valid_to: is not"},
		"static outside":    {"2001:db8::/32", "2001:db9::/32", "static_lines[0].prefixes[0]: is in none of ranges"},
		"stale too soon":    {"radius:\n", "radius:\n  stale_after: 1s\n", "radius.stale_after: want"},
	} {
		if !strings.Contains(text, x.old) {
			t.Fatalf("%s: the sample has no %q", name, x.old)
		}
		_, err := Parse("x.yaml", []byte(strings.Replace(text, x.old, x.with, 1)))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want %q", name, err, x.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(dated))
	f.Add([]byte(small))
	f.Add([]byte("static_lines: [{identifier: 'mac:x', prefixes: [2001:db8::/200]}]"))
	f.Add([]byte("spool: {max_bytes: 9999999999GiB}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("fuzz", text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := c.Print(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("printed", out.Bytes()); err != nil {
			t.Fatalf("the printed configuration does not parse: %v\n%s", err, out.String())
		}
	})
}

func TestReadUnstored(t *testing.T) {
	for name, c := range map[string]struct{ old, now, want string }{
		"as it is":      {"", "", ""},
		"no store":      {"store:\n  socket: /run/griffier/store.sock\n", "", ""},
		"two stores":    {"  socket: /run/griffier/store.sock", "  socket: /run/x\n  dsn_file: /run/y", "want either socket or dsn_file"},
		"another fault": {"collector_id: edge1\n", "", "collector_id: is required"},
	} {
		path := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(small, c.old, c.now, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadUnstored(path); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
