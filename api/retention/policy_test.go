package retention

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"griffier/api/signedfile"
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
		if err != nil || f.Jurisdiction != name || f.Generation != 1 || len(f.Rules) != len(Classes()) || len(f.SHA256) != 64 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if len(f.Policies()) != len(schema.Classes) {
			t.Errorf("%s: %d policies for the store, want %d", name, len(f.Policies()), len(schema.Classes))
		}
	}
	if _, err := Profile("fr"); err == nil {
		t.Error("there is a profile fr")
	}
	if _, err := Profile("../policy"); err == nil {
		t.Error("a path is a profile")
	}
}

// TestLaws: what comes with the program knows every class that it names, and its
// terms read.
func TestLaws(t *testing.T) {
	for _, l := range laws {
		seen := map[schema.Class]bool{}
		for _, m := range l.Classes {
			if _, err := schema.ParsePeriod(m.Maximum); err != nil || !slices.Contains(Classes(), m.Class) || seen[m.Class] ||
				m.Source == "" || !slices.Contains([]string{"read", "secondary", "check"}, m.Status) {
				t.Errorf("%s: %+v, %v", l.Jurisdiction, m, err)
			}
			seen[m.Class] = true
		}
	}
	for _, c := range []struct {
		jurisdiction string
		class        schema.Class
		want         string
	}{{"nl", schema.ClassSession, "P6M"}, {"be", schema.ClassSession, "P12M"}, {"be+nl", schema.ClassSession, "P6M"}, {"nl", schema.ClassCoverage, ""}, {"", schema.ClassSession, ""}} {
		if got := Maximum(c.jurisdiction, c.class); got != c.want {
			t.Errorf("maximum of %s in %s = %q, want %q", c.class, c.jurisdiction, got, c.want)
		}
	}
}

// TestReadFileRefuses changes one thing in the bundled file of profile nl, and
// signs it again: a good signature does not help.
func TestReadFileRefuses(t *testing.T) {
	good := profile(t, "nl")
	signer, trusted := testKey(t, "test.example/retention")
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the profile", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	session := good[strings.Index(good, "  - class: session"):strings.Index(good, "  - class: assignment")]
	for name, c := range map[string]struct{ text, want string }{
		"good":                 {good, ""},
		"unknown key":          {replace("    period: P14D", "    periode: P14D"), `policy\.yaml:\d+:5: unknown field "periode"`},
		"unknown at top":       {good + "note: x\n", `policy\.yaml:\d+:1: unknown field "note"`},
		"key twice":            {good + "zone: UTC\n", `policy\.yaml:\d+:1: `},
		"no yaml":              {"classes: [\n", `policy\.yaml:1:\d+: `},
		"wrong type":           {replace("classes:", "classes: 5\nx:"), `policy\.yaml:\d+:\d+: `},
		"a map for a text":     {replace("period: P14D", "period: {a: b}"), `policy\.yaml:\d+:13: want a text`},
		"empty":                {"\n", `policy\.yaml: is empty`},
		"a comment only":       {"# to be written\n", `class session is missing`},
		"byte order mark":      {"\ufeff" + good, `policy\.yaml:1:1: begins with a byte order mark`},
		"Windows line ends":    {strings.ReplaceAll(good, "\n", "\r\n"), `policy\.yaml:1:\d+: the line ends as on Windows`},
		"one Windows line end": {replace("period: P14D\n", "period: P14D\r\n"), `policy\.yaml:21:17: the line ends as on Windows`},
		"tab":                  {replace("    period: P14D", "\tperiod: P14D"), `policy\.yaml:21:1: there is a tab`},
		"no UTF-8":             {replace("purpose: faults and complaints", "purpose: storing\xe9n"), `policy\.yaml:\d+:21: this is not UTF-8`},
		"UTF-16":               {"\xff\xfeg\x00e\x00", `policy\.yaml:1:1: this is not UTF-8`},
		"control character":    {replace("purpose: faults and complaints", "purpose: faults\x00"), `policy\.yaml:\d+:20: there is a control character`},
		"key twice in a class": {replace("    period: P14D\n", "    period: P14D\n    period: P13D\n"), `policy\.yaml:22:5: `},
		"merge":                {replace("    period: P14D\n", "    <<: {period: P14D}\n"), `policy\.yaml:21:5: anchors, aliases and merges`},
		"other digits":         {replace("P14D", "P１４D"), `:13: class "usage_5m": period`},
		"an invisible letter":  {replace("class: session", "class: sess\u200bion"), `:12: class "sess\\u200bion": unknown class`},
		"ten megabytes":        {good + strings.Repeat("# comment\n", 1_000_000), `longer than 24576 bytes`},
		"class missing":        {strings.Replace(good, session, "", 1), `class session is missing`},
		"class twice":          {good + session, `policy\.yaml:\d+:12: class "session" is there already, in line \d+: the two overlap`},
		"unknown class":        {replace("class: session", "class: sessions"), `policy\.yaml:\d+:12: class "sessions": unknown class`},
		"bad period":           {replace("P14D", "14 days"), `policy\.yaml:\d+:13: class "usage_5m": period "14 days"`},
		"zero period":          {replace("P14D", "P0D"), `:13: class "usage_5m": period "P0D": empty`},
		"negative period":      {replace("P14D", "-P14D"), `:13: class "usage_5m": period "-P14D": want ISO 8601`},
		"negative days":        {replace("P14D", "P-14D"), `:13: class "usage_5m": period "P-14D": want whole numbers`},
		"no period":            {replace("    period: P14D\n", ""), `:12: class "usage_5m": period ""`},
		"longer than lawful":   {replace("period: P6M", "period: P7M"), `:13: class "session": period P7M is longer than lawful in nl: at most P6M`},
		"some days too long":   {replace("period: P6M", "period: P182D"), `longer than lawful`},
		"absurdly long":        {replace("period: P13M", "period: P99Y"), `:13: class "coverage": period "P99Y": longer than 50 years`},
		"beyond a backup":      {replace("class: key_backup\n    period: P30D", "class: key_backup\n    period: P31D"), `class "key_backup": period P31D is longer than lawful`},
		"bad zone":             {replace("zone: Europe/Amsterdam", "zone: Amsterdam"), `:7: class "session": time zone "Amsterdam"`},
		"bad zone of a class":  {replace("    period: P14D", "    zone: Mars/Olympus\n    period: P14D"), `:11: class "usage_5m": time zone "Mars/Olympus"`},
		"no zone":              {replace("zone: Europe/Amsterdam\n", ""), `time zone`},
		"no purpose":           {replace("purpose: faults and complaints\n", "purpose: \"\"\n"), `:14: class "usage_5m": purpose is missing`},
		"purpose left out":     {replace("    purpose: faults and complaints\n", ""), `:12: class "usage_5m": purpose is missing`},
		"no basis":             {replace("    basis: Tw 11.5; GDPR 6(1)(b)\n", ""), `:12: class "usage_5m": basis is missing`},
		"a book for a purpose": {replace("purpose: faults and complaints\n", "purpose: "+strings.Repeat("x", 501)+"\n"), `purpose is longer than 500 bytes`},
		"legal duty":           {replace("purpose: faults and complaints\n", "purpose: statutory retention, faults\n"), `a legal duty to retain is not a purpose in profile nl`},
		"bewaarplicht":         {replace("purpose: faults and complaints\n", "purpose: de Bewaarplicht.\n"), `a legal duty to retain`},
		"duty beside be":       {strings.Replace(replace("[nl]", "[be, nl]"), "faults and complaints", "legal duty", 1), `a legal duty to retain`},
		"no jurisdiction":      {replace("jurisdictions: [nl]\n", ""), `jurisdictions: is missing`},
		"unknown jurisdiction": {replace("[nl]", "[nl, fr]"), `policy\.yaml:\d+:21: jurisdiction "fr": unknown`},
		"overlapping":          {replace("[nl]", "[nl, be, nl]"), `policy\.yaml:\d+:25: jurisdiction "nl" is there already, in line \d+: the two overlap`},
		"no generation":        {replace("generation: 1\n", ""), `generation: want a whole number`},
		"negative generation":  {replace("generation: 1\n", "generation: -1\n"), `policy\.yaml:\d+:13: generation: want`},
		"fractional":           {replace("generation: 1\n", "generation: 1.5\n"), `policy\.yaml:\d+:13: want a text`},
		"too long":             {good + strings.Repeat("# comment\n", 3_000), `longer than 24576 bytes`},
		"a megabyte":           {good + strings.Repeat("# comment\n", 100_000), `longer than 24576 bytes`},
		"alias":                {replace("purpose: faults and complaints\n", "purpose: &p faults\n    status: *p\n"), `policy\.yaml:\d+:\d+: anchors, aliases and merges`},
		"bomb":                 {"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + good, `policy\.yaml:1:4: anchors, aliases and merges`},
		"nested":               {good + "x: " + strings.Repeat("[", 20_000) + "\n", `policy\.yaml:\d+:\d+: brackets are nested too deep`},
		"nested maps":          {good + "x: " + strings.Repeat("{a: ", 4_000) + "\n", `brackets are nested too deep`},
		"tag":                  {replace("P14D", "!!str P14D"), `policy\.yaml:\d+:13: tags and directives`},
		"two documents":        {good + "---\nzone: UTC\n", `more than one document`},
	} {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		file, err := note.Sign(&note.Note{Text: c.text}, signer)
		if err != nil {
			file = []byte(c.text) // what cannot be signed either
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = ReadFile(path, trusted)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: err = %v, want %s and the file", name, err, c.want)
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("%s: refusing it took %v", name, took)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none"), trusted); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	both, err := Parse([]byte(replace("[nl]", "[nl, be]")))
	if err != nil || both.Jurisdiction != "be+nl" {
		t.Errorf("two jurisdictions: %s, %v", both.Jurisdiction, err)
	}
	// Everything that is wrong is told at once.
	_, err = Parse([]byte(strings.Replace(replace("P14D", "P0D"), "[nl]", "[xx]", 1)))
	var all *signedfile.FileError
	if !errors.As(err, &all) || len(all.Problems) != 2 || all.Problems[0].Line >= all.Problems[1].Line {
		t.Errorf("two mistakes: %v, want both, in order", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(profile(f, "nl")))
	f.Add([]byte(profile(f, "be")))
	f.Add([]byte("generation: 1\njurisdictions: [nl, be]\nclasses:\n- class: session\n  period: P-1D\n  purpose: |\n    a\n"))
	f.Add([]byte("a: &a [*a, {b: !!c d}]\n--- x\n? - y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse(text)
		if err != nil {
			var told *signedfile.FileError
			if !errors.As(err, &told) || len(told.Problems) == 0 {
				t.Fatalf("refused without a problem: %v", err)
			}
			return
		}
		var classes []schema.Class
		for _, r := range file.Rules {
			classes = append(classes, r.Class)
			if bad := r.Refusals(file.Jurisdiction); len(bad) > 0 {
				t.Fatalf("taken, but %v", bad)
			}
			if most := Maximum(file.Jurisdiction, r.Class); most != "" {
				limit := r.Policy
				limit.Period = most
				if longer, err := limit.Lengthens(r.Policy); err != nil || longer {
					t.Fatalf("%s: %s is taken, beyond %s (%v)", r.Class, r.Period, most, err)
				}
			}
		}
		slices.Sort(classes)
		if len(slices.Compact(classes)) != len(Classes()) || file.Generation == 0 {
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
		f := File{Rules: []Rule{{Policy: schema.Policy{Class: schema.ClassUsage5m, Period: "P50Y", Zone: ams}},
			{Policy: schema.Policy{Class: schema.ClassSession, Period: c.now, Zone: c.nowZone}}}}
		got, err := f.Lengthened(old)
		if err != nil || (len(got) == 1) != c.want || c.want && got[0] != schema.ClassSession {
			t.Errorf("%s %s to %s %s: %v, %v; want lengthened = %v", c.was, c.wasZone, c.now, c.nowZone, got, err, c.want)
		}
	}
}
