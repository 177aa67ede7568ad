package letter_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure/letter"
	"griffier/api/reason"
)

var show = flag.String("show", "", "folder to leave the letters in, to look at them")

func amsterdam(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// sample asks about the hour that the clock change repeats: 02:30 summer time.
func sample(t testing.TB, language letter.Language, answer reason.Reason) letter.Letter {
	at := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	l := letter.Letter{
		Language: language, Zone: amsterdam(t), At: at.Add(26 * time.Hour),
		Provider: "Voorbeeld Internet B.V.", Authority: "OM Amsterdam", RequestedBy: "mr. A. de Vries, officier van justitie", Reference: "PV-2026/0042",
		LegalBasis: "NL-126na", WarrantID: strings.Repeat("a1", 16), TaskID: strings.Repeat("b2", 16), LogIndex: 1234,
		Question: letter.Question{Category: "ATTRIBUTION", Target: "192.0.2.17", Port: "40123", Protocol: "6", InstantEntered: "2026-10-25T02:30:00+02:00",
			Instant: at, Uncertainty: time.Second, ClockMargin: 2 * time.Second, From: at.Add(-3 * time.Second), To: at.Add(3 * time.Second)},
		Answer:    letter.Answer{Reason: answer},
		Searched:  []string{"ranges of the provider and of others that use them, at the interval", "lines of the pseudonyms found, at the interval"},
		Retention: &letter.Retention{Period: "P6M", Zone: "Europe/Amsterdam", ReadableFrom: at.AddDate(0, -6, 0)},
		Coverage:  []letter.Cover{{Collector: "bng1", State: "covered", From: at.Add(-3 * time.Second), To: at.Add(3 * time.Second), ClockSynced: true}},
	}
	if l.Answer.Positive() {
		l.Neighbouring = true
		l.Records = []letter.Record{{
			{Name: "address", Value: "192.0.2.17"}, {Name: "line_id", Value: "L-000042"}, {Name: "instant_utc", Value: "2026-10-25T00:30:00Z"},
			{Name: "subscriber_of_line_name", Value: "Łukasz (\\) Jansen-Ğül, mevr."},
			{Name: "installation_street", Value: "Lange Voorhout"}, {Name: "installation_house_number", Value: "8"},
			{Name: "installation_postcode", Value: "2514 EA"}, {Name: "installation_town", Value: "Den Haag"}, {Name: "port", Value: ""},
		}}
	}
	return l
}

func render(t testing.TB, l letter.Letter) []byte {
	t.Helper()
	pdf, err := letter.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	return pdf
}

// read returns the text as another program reads it.
func read(t *testing.T, name string, pdf []byte) string {
	t.Helper()
	dir := t.TempDir()
	if *show != "" {
		dir = *show
	}
	path := filepath.Join(dir, name+".pdf")
	if err := os.WriteFile(path, pdf, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("pdftotext", "-layout", path, "-").Output()
	if err != nil {
		t.Fatalf("pdftotext (Debian's poppler-utils): %v", err)
	}
	return string(text)
}

func shows(t *testing.T, text, value string) bool {
	t.Helper()
	r, err := letter.NewReading(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Shows(value)
}

func TestLetter(t *testing.T) {
	for _, c := range []struct {
		language letter.Language
		answer   reason.Reason
		want     []string
		not      []string
	}{
		{letter.Dutch, reason.Match, []string{"Antwoord op uw vordering", "PV-2026/0042", "mr. A. de Vries, officier van justitie", "2026-10-25T02:30:00+02:00",
			"zondag 25 oktober 2026 00:30:00 UTC", "zondag 25 oktober 2026 02:30:00 CEST (UTC+02:00, zomertijd, Europe/Amsterdam)", "Precies één aansluiting",
			"Abonnee van de aansluiting", "Łukasz (\\) Jansen-Ğül, mevr.", "Installatie: postcode", "2514 EA", "INSTALLATIEADRES", "geen factuuradres",
			"nooit de gebruiker ervan", "Let op het tijdvak", "40123", "TCP (6)", "inschrijving 1234", "bladzijde 1 van 2", "waargenomen"}, []string{"Negatieve verklaring"}},
		{letter.English, reason.Match, []string{"Answer to your order", "Sunday 25 October 2026 02:30:00 CEST (UTC+02:00, summer time, Europe/Amsterdam)", "Exactly one line.",
			"INSTALLATION ADDRESS", "It is not a billing address", "never the user of it", "Mind the interval", "1 s as you stated, and 2 s for the provider's clocks"}, nil},
		{letter.Dutch, reason.NoMatch, []string{"Negatieve verklaring", "Er is geen gegeven voorhanden", "op verzoek van een betrokkene zijn gewist", "P6M", "NO_MATCH", "bng1"},
			[]string{"Antwoord op uw vordering", "Abonnee van de aansluiting", "INSTALLATIEADRES", "Let op het tijdvak"}},
		{letter.English, reason.CoverageGap, []string{"Negative certificate", "this is no statement that there was no subscriber", "COVERAGE_GAP"}, []string{"Subscriber of the line"}},
	} {
		name := string(c.language) + "-" + strings.ToLower(string(c.answer))
		t.Run(name, func(t *testing.T) {
			pdf := render(t, sample(t, c.language, c.answer))
			text := read(t, name, pdf)
			own, err := letter.Text(pdf)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !shows(t, text, want) {
					t.Errorf("pdftotext does not find %q in:\n%s", want, text)
				}
				if !shows(t, own, want) {
					t.Errorf("Text does not find %q in:\n%s", want, own)
				}
			}
			for _, not := range c.not {
				if shows(t, text, not) {
					t.Errorf("the letter says %q:\n%s", not, text)
				}
			}
		})
	}
}

// TestAnswersAboutALine: what is true of an address, that the range is the provider's
// and was seen, is not said where the register was asked, or a line's own records.
func TestAnswersAboutALine(t *testing.T) {
	for _, c := range []struct {
		language letter.Language
		category string
		ofLine   bool
		answer   reason.Reason
		want     string
		not      string
	}{
		{letter.English, "IDENTITY", true, reason.NoMatch, "register of lines knew none under what you named", "The address is the provider's"},
		{letter.Dutch, "IDENTITY", true, reason.NoMatch, "kende het aansluitingenregister van de aanbieder er geen", "Het adres is van de aanbieder"},
		{letter.English, "IDENTITY", true, reason.AmbiguousBoundary, "or a contract began or ended", "held the address"},
		{letter.Dutch, "IDENTITY", true, reason.AmbiguousBoundary, "of een contract begon of eindigde", "had het adres"},
		{letter.English, "HISTORY", true, reason.NoMatch, "while every collector of the provider was looking", "The address is the provider's"},
		{letter.Dutch, "TIME", true, reason.NoMatch, "terwijl elke waarnemer van de aanbieder waarnam", "Het adres is van de aanbieder"},
		{letter.English, "VOLUME", true, reason.CoverageGap, "no statement that there was nothing", "No collector of that range"},
		{letter.Dutch, "PRESERVATION", true, reason.CoverageGap, "geen verklaring dat er niets was", "Geen waarnemer van die reeks"},
		{letter.English, "PRESERVATION", false, reason.NoMatch, "The address is the provider's", "the register knew no line"},
		{letter.English, "ATTRIBUTION", false, reason.NoMatch, "The address is the provider's", "register of lines knew none"},
	} {
		l := sample(t, c.language, c.answer)
		l.Question.Category, l.Question.OfLine = c.category, c.ofLine
		text, err := letter.Text(render(t, l))
		if err != nil {
			t.Fatal(err)
		}
		if !shows(t, text, c.want) || shows(t, text, c.not) {
			t.Errorf("%s %s %s: want %q and not %q in:\n%s", c.language, c.category, c.answer, c.want, c.not, text)
		}
	}
}

func TestReproducible(t *testing.T) {
	first := render(t, sample(t, letter.Dutch, reason.Match))
	for range 10 {
		if !bytes.Equal(render(t, sample(t, letter.Dutch, reason.Match)), first) {
			t.Fatal("the same letter has other bytes")
		}
	}
}

// TestEveryAnswer has words in every language for every answer that there is.
func TestEveryAnswer(t *testing.T) {
	for _, language := range []letter.Language{letter.Dutch, letter.English} {
		for _, e := range reason.Catalogue {
			if e.Group != reason.Answers {
				continue
			}
			l := sample(t, language, e.Reason)
			l.Answer.Provider, l.Answer.Band, l.Corrects = "Ander B.V.", "11-100", strings.Repeat("c", 64)
			text, err := letter.Text(render(t, l))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{string(e.Reason), "Ander B.V.", "11-100", l.Corrects, l.TaskID} {
				if !shows(t, text, want) {
					t.Errorf("%s %s: no %q", language, e.Reason, want)
				}
			}
		}
		if _, err := letter.Render(sample(t, language, reason.Internal)); err == nil {
			t.Error("a letter about what is no answer")
		}
	}
	if _, err := letter.Render(sample(t, "fr", reason.Match)); err == nil {
		t.Error("a letter in a language that has no words")
	}
}

// TestUnshown: what the type does not have is shown by its code, and said so.
func TestUnshown(t *testing.T) {
	l := sample(t, letter.English, reason.Match)
	l.Records[0][3].Value = "王\u202e芳 Jansen"
	text, err := letter.Text(render(t, l))
	if err != nil {
		t.Fatal(err)
	}
	if !shows(t, text, "[U+738B][U+202E][U+82B3] Jansen") || !shows(t, text, l.Records[0][3].Value) || !shows(t, text, "A code such as") {
		t.Errorf("%s", text)
	}
}

// TestLong has more records than a letter prints, and values that break over lines and pages.
func TestLong(t *testing.T) {
	l := sample(t, letter.English, reason.Match)
	one := append(letter.Record{}, l.Records[0]...)
	one[3].Value = strings.Repeat("Wieringherwaardenaarsbroekhuizen ", 12)
	for range letter.MaxRecords + 20 {
		l.Records = append(l.Records, one)
	}
	pdf := render(t, l)
	text, err := letter.Text(pdf)
	if err != nil {
		t.Fatal(err)
	}
	if len(pdf) > letter.MaxBytes || !shows(t, text, "21 more of the 121 records") || strings.Count(text, "Record ") != letter.MaxRecords {
		t.Errorf("%d bytes, %d records", len(pdf), strings.Count(text, "Record "))
	}
}

func TestTextRefuses(t *testing.T) {
	good := render(t, sample(t, letter.English, reason.NoMatch))
	for name, pdf := range map[string][]byte{
		"nothing": nil, "no PDF": []byte("x"), "cut": good[:len(good)-20], "size": append(bytes.Clone(good), make([]byte, letter.MaxBytes)...),
		"stream without end": append([]byte("%PDF-1.3\nstream\n BT 0 0 Td (\x00a)Tj ET"), "\n%%EOF"...),
		"half a character":   []byte("%PDF-1.3\nstream\nBT 0 0 Td (a)Tj ET\nendstream\n%%EOF"),
	} {
		if text, err := letter.Text(pdf); err == nil {
			t.Errorf("%s: read as %q", name, text)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(render(f, sample(f, letter.English, reason.NoMatch)))
	f.Add([]byte("%PDF-1.3\nstream\nBT 0 0 Td (\\\\\x00a)Tj ET\nendstream\n%%EOF"))
	f.Fuzz(func(t *testing.T, pdf []byte) {
		if text, err := letter.Text(pdf); err == nil && len(text) > 4*len(pdf) {
			t.Fatal("more text than there can be")
		}
	})
}

func BenchmarkRender(b *testing.B) {
	l := sample(b, letter.Dutch, reason.Match)
	for b.Loop() {
		render(b, l)
	}
}
