package letter_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"griffier/api/warrant/letter"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// show is a proposal as a golden file has it.
func show(p letter.Proposal) string {
	var b strings.Builder
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "%d:%d %s %q", f.Line, f.Column, f.Kind, f.Text)
		if f.Value != "" {
			fmt.Fprintf(&b, " = %s", f.Value)
		}
		if len(f.Options) > 0 {
			fmt.Fprintf(&b, " one of %s", strings.Join(f.Options, " | "))
		}
		if f.Outcome != "" {
			fmt.Fprintf(&b, " %s", f.Outcome)
		}
		b.WriteByte('\n')
		for _, c := range f.Candidates {
			fmt.Fprintf(&b, "    %s %s\n", c.At.UTC().Format(time.RFC3339Nano), c.Meaning)
		}
		for _, n := range f.Notes {
			fmt.Fprintf(&b, "    ! %s\n", n)
		}
	}
	fmt.Fprintf(&b, "draft: basis %q reference %q targets %q\n", p.Draft.LegalBasis, p.Draft.Reference, p.Draft.Targets)
	return b.String()
}

// Letters in four languages, as offices write them, against all that is found.
func TestLetters(t *testing.T) {
	letters, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(letters) < 4 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	for _, name := range letters {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := letter.Parse(string(text), "Europe/Amsterdam")
		if err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(name, ".txt") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(show(p)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(p); got != string(want) {
			t.Errorf("%s: found\n%s\nwant\n%s", name, got, want)
		}
	}
}

// found returns the findings of a kind in a text, each as value, or options.
func found(t *testing.T, text string, kind letter.Kind) []string {
	t.Helper()
	p, err := letter.Parse(text, "Europe/Amsterdam")
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var out []string
	for _, f := range p.Findings {
		if f.Kind != kind {
			continue
		}
		value := f.Value
		if value == "" {
			value = strings.Join(f.Options, "|")
		}
		if kind == letter.Instant {
			value = string(f.Outcome)
			for _, c := range f.Candidates {
				value += " " + c.At.UTC().Format("2006-01-02T15:04:05Z")
			}
		}
		out = append(out, value)
	}
	return out
}

func TestFindings(t *testing.T) {
	tests := []struct {
		text string
		kind letter.Kind
		want []string
	}{
		{"IP 192.0.2.1.", letter.Address, []string{"192.0.2.1"}},
		{"192[.]0[.]2[.]1:51234", letter.Address, []string{"192.0.2.1"}},
		{"192[.]0[.]2[.]1:51234", letter.Port, []string{"51234"}},
		{"192(.)0(.)2(.)1[:]443", letter.Address, []string{"192.0.2.1"}},
		{"192(.)0(.)2(.)1[:]443", letter.Port, []string{"443"}},
		{"192 [dot] 0 [dot] 2 [dot] 1", letter.Address, []string{"192.0.2.1"}},
		{"192.0.2.1:70000", letter.Port, []string{""}},
		{"192.0.2.010", letter.Address, []string{""}},
		{"192.0.2.256", letter.Address, []string{""}},
		{"192.0.2.0/24", letter.Address, []string{"192.0.2.0/24"}},
		{"192.0.2.7/32", letter.Address, []string{"192.0.2.7"}},
		{"192.0.2.*", letter.Address, []string{""}},
		{"1.2.3.4.5", letter.Address, nil},
		{"2001:DB8:0:0::1", letter.Address, []string{"2001:db8::1"}},
		{"[2001:db8::1]:51234 tcp", letter.Address, []string{"2001:db8::1"}},
		{"[2001:db8::1]:51234 tcp", letter.Port, []string{"51234"}},
		{"2001[:]db8[:][:]1", letter.Address, []string{"2001:db8::1"}},
		{"2001:db8:1:2300::/56", letter.Address, []string{"2001:db8:1:2300::/56"}},
		{"::ffff:192.0.2.1", letter.Address, []string{"192.0.2.1"}},
		{"om 12:30:45 uur", letter.Address, nil},
		{"aa:bb:cc:dd:ee:ff", letter.Address, nil},
		{"AA-BB-CC-DD-EE-FF", letter.MAC, []string{"aa:bb:cc:dd:ee:ff"}},
		{"bronpoort 51234, doelpoort 443", letter.Port, []string{"51234", ""}},
		{"source port: 51234; destination port 443", letter.Port, []string{"51234", ""}},
		{"port source 51234", letter.Port, []string{"51234"}},
		{"Quellport Nr. 51234", letter.Port, []string{"51234"}},
		{"rapport 51234", letter.Port, nil},
		{"TCP en udp", letter.Protocol, []string{"TCP", "UDP"}},
		{"artikel 126na Sv", letter.Article, []string{"NL-126na|NL-126na-2"}},
		{"artikel 126na lid 1 Sv", letter.Article, []string{"NL-126na"}},
		{"art. 126na, tweede", letter.Article, []string{"NL-126na|NL-126na-2"}},
		{"art. 126n (2)", letter.Article, []string{"NL-126n"}},
		{"art. 126ni Sv", letter.Article, []string{"NL-126ni"}},
		{"artikel 46bis en 88 bis", letter.Article, []string{"BE-46bis", "BE-88bis"}},
		{"EPOC-PR of 1 May", letter.Article, []string{"EPOC-PR"}},
		{"an EPOC", letter.Article, []string{"EPOC-SUBSCRIBER|EPOC-USER|EPOC-TRAFFIC"}},
		{"1126na", letter.Article, nil},
		{"Kenmerk: PL1300-2026/117-A.", letter.Reference, []string{"PL1300-2026/117-A"}},
		{"Parketnummer 13/123456-26", letter.Reference, []string{"13/123456-26"}},
		{"Réf. : BR.30.L4.1234/2026", letter.Reference, []string{"BR.30.L4.1234/2026"}},
		{"Aktenzeichen: 12 Js 345/26", letter.Reference, []string{"12"}},
		{"Kenmerk: Р-117", letter.Reference, []string{""}}, // a Cyrillic Р
		{"kenmerkend 123", letter.Reference, nil},

		{"op 19-11-2026 om 14:30:15 CET", letter.Instant, []string{"EXACT 2026-11-19T13:30:15Z"}},
		{"2026-11-19T14:30:15+01:00", letter.Instant, []string{"EXACT 2026-11-19T13:30:15Z"}},
		{"2026-11-19 14:30:15Z", letter.Instant, []string{"EXACT 2026-11-19T14:30:15Z"}},
		{"19 november 2026 om 14.30 uur (Nederlandse tijd)", letter.Instant, []string{"EXACT 2026-11-19T13:30:00Z"}},
		{"le 1er mars 2026 à 14h30 heure belge", letter.Instant, []string{"EXACT 2026-03-01T13:30:00Z"}},
		{"am 3. März 2026 um 14:30:00 Uhr MEZ", letter.Instant, []string{"EXACT 2026-03-03T13:30:00Z"}},
		{"March 3, 2026 at 2:30:00 pm UTC", letter.Instant, []string{"EXACT 2026-03-03T14:30:00Z"}},
		{"3rd March 2026, 12:05:00 a.m. UTC", letter.Instant, []string{"EXACT 2026-03-03T00:05:00Z"}},
		{"25 oktober 2026 tussen 01:30:00 en 02:30:00 uur Nederlandse tijd", letter.Instant,
			[]string{"EXACT 2026-10-24T23:30:00Z", "TIME_AMBIGUOUS_DST 2026-10-25T00:30:00Z 2026-10-25T01:30:00Z"}},
		{"29 maart 2026 02:30:00 Europe/Amsterdam", letter.Instant, []string{"TIME_NONEXISTENT_DST"}},
		{"25 oktober 2026 02:30:00 zomertijd", letter.Instant, []string{"EXACT 2026-10-25T00:30:00Z"}},
		{"1 juli 2026 12:00:00 CET", letter.Instant, []string{"ABBREVIATION_OUT_OF_SEASON 2026-07-01T10:00:00Z 2026-07-01T11:00:00Z"}},
		{"19 november 2026 14:30:15", letter.Instant, []string{"TIME_ZONE_MISSING 2026-11-19T13:30:15Z 2026-11-19T14:30:15Z"}},
		{"19 november 2026 14:30:15 lokale tijd", letter.Instant, []string{"TIME_ZONE_MISSING 2026-11-19T13:30:15Z 2026-11-19T14:30:15Z"}},
		{"05/06/2026 12:00:00 UTC", letter.Instant, []string{"DATE_AMBIGUOUS 2026-06-05T12:00:00Z 2026-05-06T12:00:00Z"}},
		{"25-10-26 12:00:00 UTC", letter.Instant, []string{"DATE_AMBIGUOUS 2026-10-25T12:00:00Z 2025-10-26T12:00:00Z"}},
		{"19 november '26 12:00:00 UTC", letter.Instant, []string{"DATE_AMBIGUOUS 2026-11-19T12:00:00Z"}},
		{"19 november om 12:00:00 UTC", letter.Instant, []string{"DATE_AMBIGUOUS"}},
		{"31 februari 2026 om 12:00:00 UTC", letter.Instant, []string{"NO_SUCH_TIME"}},
		{"om 14:30:15 op 19-11-2026 UTC", letter.Instant, []string{"EXACT 2026-11-19T14:30:15Z"}},
		{"12:00:00", letter.Time, []string{"12:00:00"}},
		{"bedrag 12.30 euro", letter.Time, nil},
		{"om 14 uur", letter.Time, []string{""}},
		{"19 november 2026", letter.Date, []string{"2026-11-19"}},
		{"2 août 2026", letter.Date, []string{"2026-08-02"}},
		{"31.12.2026", letter.Date, []string{"2026-12-31"}},
		{"versie 99-99-2026", letter.Date, []string{""}},
	}
	for _, test := range tests {
		if got := found(t, test.text, test.kind); !slices.Equal(got, test.want) {
			t.Errorf("%s in %q = %q, want %q", test.kind, test.text, got, test.want)
		}
	}
}

// A zone that the text states elsewhere is one possibility among others, never the
// answer.
func TestZoneElsewhere(t *testing.T) {
	got := found(t, "Alle tijden zijn in UTC.\n19 november 2026 14:30:15", letter.Instant)
	if want := []string{"TIME_ZONE_MISSING 2026-11-19T14:30:15Z 2026-11-19T13:30:15Z"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// What cannot be seen is pointed at, and nothing is read over it.
func TestSuspects(t *testing.T) {
	for _, text := range []string{"192.0.2.\u200b1", "192.0.2.١", "Kenmerk: АB-12", "19\u202e2-0-2-1", "port ５１２３４"} {
		p, err := letter.Parse(text, "")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(p.Findings, func(f letter.Finding) bool { return f.Kind == letter.Suspect && len(f.Notes) > 0 }) {
			t.Errorf("%q: nothing is suspect in %+v", text, p.Findings)
		}
		if len(p.Draft.Targets) > 0 || p.Draft.Reference != "" {
			t.Errorf("%q: the draft has %+v", text, p.Draft)
		}
	}
	if got := found(t, "Résumé du procès-verbal, Überprüfung; één à deux € – “goed”", letter.Suspect); got != nil {
		t.Errorf("ordinary letters are suspect: %q", got)
	}
}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"too long": {strings.Repeat("a\n", letter.MaxBytes), letter.ErrTooLong}, "a long line": {strings.Repeat("a", letter.MaxLineBytes+1), letter.ErrTooLong},
		"bytes": {"\xff\xfe", letter.ErrNotText}, "nul": {"a\x00b", letter.ErrNotText}, "nothing": {"", nil},
	} {
		if _, err := letter.Parse(test.text, ""); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	p, err := letter.Parse(strings.Repeat("192.0.2.1\n", letter.MaxFindings+1), "")
	if err != nil || !p.Cut || len(p.Findings) != letter.MaxFindings {
		t.Errorf("%d findings, cut %v, %v", len(p.Findings), p.Cut, err)
	}
	// The longest text that is read, dense with all that is looked for.
	dense := strings.Repeat(strings.Repeat("19-11-26 1:2 192[.]0 2001:: art 126n ref 1 ", 90)+"\n", 60)
	began := time.Now()
	if _, err := letter.Parse(dense, "Europe/Amsterdam"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Minute {
		t.Errorf("%d bytes take %v", len(dense), took)
	}
}

func FuzzParse(f *testing.F) {
	letters, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range letters {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("192[.]0[.]2[.]1:51234/24 [2001:db8::1]:443 aa:bb:cc:dd:ee:ff 24:00 05/06/26 19 nov 14h30 +01:00 UTC-14 126na lid 2")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := letter.Parse(text, "Europe/Amsterdam")
		if err != nil {
			return
		}
		for _, found := range p.Findings {
			if found.Line < 1 || found.Column < 1 || found.Text == "" || !strings.Contains(found.Source, found.Text) || !utf8.ValidString(found.Text) {
				t.Fatalf("%q: %+v", text, found)
			}
			// A place is one where the text really stands.
			if column := []rune(found.Source)[found.Column-1:]; !strings.HasPrefix(string(column), found.Text) {
				t.Fatalf("%q: not at its column: %+v", text, found)
			}
			if found.Kind == letter.Instant && found.Value != "" && len(found.Candidates) != 1 {
				t.Fatalf("%q: a value of %d candidates: %+v", text, len(found.Candidates), found)
			}
		}
		if p.Draft.WindowStart+p.Draft.WindowEnd+p.Draft.RequestedBy+p.Draft.Recipient+p.Draft.DocumentSHA256 != "" {
			t.Fatalf("the draft decides: %+v", p.Draft)
		}
	})
}
