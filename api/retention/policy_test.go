package retention

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"griffier/schema"
)

func profile(t testing.TB, name string) string {
	t.Helper()
	text, err := Profile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProfilesParse(t *testing.T) {
	for _, name := range []string{"nl", "be"} {
		f, err := Parse([]byte(profile(t, name)))
		if err != nil || f.Profile != name || len(f.Policies) != len(schema.Classes) || len(f.SHA256) != 64 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := Profile("fr"); err == nil {
		t.Error("there is a profile fr")
	}
	if _, err := Profile("../policy"); err == nil {
		t.Error("a path is a profile")
	}
}

// TestReadFileRefuses changes one thing in the bundled file of profile nl.
func TestReadFileRefuses(t *testing.T) {
	good := profile(t, "nl")
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the profile", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	session := good[strings.Index(good, "  - class: session"):strings.Index(good, "  - class: assignment")]
	for name, c := range map[string]struct{ text, want string }{
		"good":           {good, ""},
		"unknown key":    {replace("    period: P14D", "    periode: P14D"), `policy\.yaml:\d+:5: unknown field "periode"`},
		"unknown at top": {good + "note: x\n", `policy\.yaml:\d+:1: unknown field "note"`},
		"key twice":      {good + "zone: UTC\n", `policy\.yaml:\d+:1: `},
		"no yaml":        {"classes: [", `policy\.yaml:1:\d+: `},
		"wrong type":     {replace("classes:", "classes: 5\nx:"), `policy\.yaml:\d+:\d+: `},
		"empty":          {"", `class session is there 0 times`},
		"class missing":  {strings.Replace(good, session, "", 1), `class session is there 0 times`},
		"class twice":    {good + session, `class session is there 2 times`},
		"unknown class":  {replace("class: session", "class: sessions"), `class "sessions": unknown class`},
		"bad period":     {replace("P14D", "14 days"), `class "usage_5m": period`},
		"zero period":    {replace("P14D", "P0D"), `class "usage_5m": period "P0D": empty`},
		"bad zone":       {replace("zone: Europe/Amsterdam", "zone: Amsterdam"), `time zone "Amsterdam"`},
		"no zone":        {replace("zone: Europe/Amsterdam\n", ""), `time zone`},
		"no purpose":     {replace("purpose: faults and complaints\n", "purpose: \"\"\n"), `class "usage_5m": purpose is missing`},
		"legal duty":     {replace("purpose: faults and complaints\n", "purpose: statutory retention, faults\n"), `a legal duty to retain is not a purpose in profile nl`},
		"bewaarplicht":   {replace("purpose: faults and complaints\n", "purpose: de Bewaarplicht.\n"), `a legal duty to retain`},
		"no profile":     {replace("profile: nl\n", ""), `unknown profile ""`},
		"too long":       {good + strings.Repeat("# comment\n", 30_000), `longer than 262144 bytes`},
	} {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: err = %v, want %s and the file", name, err, c.want)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(profile(f, "nl")))
	f.Add([]byte("profile: nl\nclasses:\n- class: session\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(text)
		if err != nil {
			return
		}
		var classes []schema.Class
		for _, p := range file.Policies {
			classes = append(classes, p.Class)
			if err := p.Validate(file.Profile); err != nil {
				t.Fatalf("taken, but %v", err)
			}
		}
		slices.Sort(classes)
		if len(slices.Compact(classes)) != len(schema.Classes) {
			t.Fatalf("taken with classes %v", classes)
		}
	})
}

func TestLengthened(t *testing.T) {
	const ams = "Europe/Amsterdam"
	for _, c := range []struct {
		was, wasZone, now, nowZone string
		want                       bool
	}{
		{"P14D", ams, "P14D", ams, false},
		{"P14D", ams, "P13D", ams, false},
		{"P14D", ams, "P15D", ams, true},
		{"P2W", ams, "P14D", ams, false},
		{"P1Y", ams, "P12M", ams, false},
		{"P30D", ams, "P1M", ams, true},   // 31 days after 1 January
		{"P1M", ams, "P30D", ams, true},   // longer in February
		{"P1M", ams, "P28D", ams, false},  // never longer
		{"P1M", ams, "P31D", ams, true},   // longer in short months
		{"P1Y", ams, "P365D", ams, false}, // shorter in leap years only
		{"P365D", ams, "P1Y", ams, true},  // longer in leap years
		{"P1D", ams, "PT24H", ams, true},  // longer in spring, when a day has 23 hours
		{"PT24H", ams, "P1D", ams, true},  // longer in autumn
		{"P1D", "UTC", "PT24H", "UTC", false},
		{"P6M", ams, "P6M", "UTC", true}, // another calendar
		{"P6M", ams, "P1D", "UTC", true}, // and that is decided by people, not computed
		{"P6M", "UTC", "P6M", ams, true},
	} {
		old := []schema.Policy{{Class: schema.ClassSession, Period: c.was, Zone: c.wasZone}}
		f := File{Policies: []schema.Policy{{Class: schema.ClassUsage5m, Period: "P50Y", Zone: ams}, {Class: schema.ClassSession, Period: c.now, Zone: c.nowZone}}}
		got, err := f.Lengthened(old)
		if err != nil || (len(got) == 1) != c.want || c.want && got[0] != schema.ClassSession {
			t.Errorf("%s %s to %s %s: %v, %v; want lengthened = %v", c.was, c.wasZone, c.now, c.nowZone, got, err, c.want)
		}
	}
}
