package letter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"griffier/api/warrant"
)

// Limits of a text.
const (
	MaxBytes     = 256 << 10
	MaxLineBytes = 4 << 10
	MaxFindings  = 500
)

// Kind is what a finding is of.
type Kind string

// Kinds of finding.
const (
	Address   Kind = "ADDRESS"
	MAC       Kind = "MAC"
	Port      Kind = "PORT"
	Protocol  Kind = "PROTOCOL"
	Instant   Kind = "INSTANT" // a date with a time of day
	Date      Kind = "DATE"    // without one
	Time      Kind = "TIME"    // without a date
	Zone      Kind = "ZONE"
	Reference Kind = "REFERENCE"
	Article   Kind = "ARTICLE"
	Suspect   Kind = "SUSPECT" // characters that look like others, or are not seen
)

// Finding is one thing that a text may say.
type Finding struct {
	Kind   Kind
	Line   int    // from 1
	Column int    // from 1, in characters
	Source string // the whole line
	Text   string // as it stands there
	// Value is its canonical form, when it has exactly one; Options are the several
	// that it may have.
	Value   string
	Options []string
	// Outcome and Candidates are of an instant.
	Outcome    warrant.ReadingOutcome
	Candidates []warrant.Candidate
	Notes      []string
}

// Proposal is what was found, in the order of the text.
type Proposal struct {
	Findings []Finding
	// Draft has what could be read in one way only. It lacks all that a person must
	// decide, so that no warrant can be made of it as it is.
	Draft warrant.Content
	// Open says, field by field of a warrant, what a person must decide.
	Open []Question
	// Cut says that there were more findings than [MaxFindings].
	Cut bool
}

// Question is a field of a warrant that a person must decide, and why.
type Question struct{ Field, Why string }

// Errors of a text that is not read.
var (
	ErrTooLong = errors.New("letter: the text, or a line of it, is too long")
	ErrNotText = errors.New("letter: it is not UTF-8 text")
)

// span is a finding's place in its line, in bytes.
type span struct {
	start, end int
	finding    Finding
	date       []day      // of a date: what it may be
	clock      *clockTime // of a time of day
	zone       *warrant.Zone
}

// Parse reads a text. zone is the provider's own: a time that has none is read in it
// and in UTC, both listed as mere possibilities; it may be empty.
func Parse(text, zone string) (Proposal, error) {
	switch {
	case len(text) > MaxBytes:
		return Proposal{}, ErrTooLong
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return Proposal{}, ErrNotText
	}
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\f", "\n", "\v", "\n").Replace(text)
	var lines [][]span
	var sources []string
	for source := range strings.SplitSeq(text, "\n") {
		if len(source) > MaxLineBytes {
			return Proposal{}, fmt.Errorf("line %d: %w", len(sources)+1, ErrTooLong)
		}
		sources = append(sources, source)
		lines = append(lines, scan(source))
	}
	assumed := assumptions(lines, zone)
	var p Proposal
	for i, spans := range lines {
		for _, s := range join(spans, assumed) {
			if len(p.Findings) == MaxFindings {
				p.Cut = true
				break
			}
			f := s.finding
			f.Line, f.Column, f.Source = i+1, utf8.RuneCountInString(sources[i][:s.start])+1, sources[i]
			f.Text = sources[i][s.start:s.end]
			p.Findings = append(p.Findings, f)
		}
	}
	p.draft()
	return p, nil
}

// scan finds what is in one line, in its order, nothing of it twice.
func scan(line string) []span {
	var found []span
	taken := make([]bool, len(line))
	for _, of := range []func(string) []span{instants, addresses, macs, articles, references, ports, protocols, dates, clocks, zones} {
		for _, s := range of(line) {
			if s.start >= s.end || slices.Contains(taken[s.start:s.end], true) {
				continue
			}
			for i := s.start; i < s.end; i++ {
				taken[i] = true
			}
			found = append(found, s)
		}
	}
	found = append(found, suspects(line)...) // whatever they stand in
	slices.SortStableFunc(found, func(a, b span) int { return a.start - b.start })
	return found
}

// bounded reports whether line[start:end] is not in the middle of a word or number.
func bounded(line string, start, end int) bool {
	before, _ := utf8.DecodeLastRuneInString(line[:start])
	after, _ := utf8.DecodeRuneInString(line[end:])
	word := func(r rune) bool {
		return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_')
	}
	return !word(before) && !word(after)
}

// suspects are characters that a reader does not see, or takes for others.
func suspects(line string) []span {
	var out []span
	latin := strings.ContainsFunc(line, func(r rune) bool { return r < utf8.RuneSelf && unicode.IsLetter(r) })
	for i, r := range line {
		note := ""
		switch {
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.IsControl(r) && r != '\t':
			note = "An invisible character: something here may not be what it looks like."
		case r >= utf8.RuneSelf && unicode.IsDigit(r):
			note = "A digit of another script: the number here was not read."
		case latin && (unicode.Is(unicode.Cyrillic, r) || unicode.Is(unicode.Greek, r)), r >= 0xff01 && r <= 0xff5e:
			note = "A letter of another script among Latin ones: it may look like another."
		default:
			continue
		}
		end := i + utf8.RuneLen(r)
		if n := len(out); n > 0 && out[n-1].end == i && out[n-1].finding.Notes[0] == note {
			out[n-1].end = end
			continue
		}
		out = append(out, span{start: i, end: end, finding: Finding{Kind: Suspect, Notes: []string{note}}})
	}
	return out
}

// draft takes over what can be read in one way only, and asks about the rest.
func (p *Proposal) draft() {
	values := func(kind Kind) (out []string) {
		for _, f := range p.Findings {
			if f.Kind != kind {
				continue
			}
			for _, v := range slices.Concat([]string{f.Value}, f.Options) {
				if v != "" && !slices.Contains(out, v) {
					out = append(out, v)
				}
			}
		}
		return out
	}
	ask := func(field, why string) { p.Open = append(p.Open, Question{field, why}) }
	one := func(field string, options []string, to *string) {
		switch len(options) {
		case 0:
			ask(field, "was not found")
		case 1:
			*to = options[0]
			ask(field, "was found once: check it")
		default:
			ask(field, fmt.Sprintf("may be one of %d that were found", len(options)))
		}
	}
	one("legal_basis", values(Article), &p.Draft.LegalBasis)
	one("reference", values(Reference), &p.Draft.Reference)
	for _, target := range values(Address) {
		if _, err := warrant.ParseTarget(target); err == nil && len(p.Draft.Targets) < warrant.MaxTargets {
			p.Draft.Targets = append(p.Draft.Targets, target)
		}
	}
	switch n := len(p.Draft.Targets); {
	case n == 0:
		ask("targets", "no concrete address was found")
	default:
		ask("targets", fmt.Sprintf("%d found: leave out those that the order does not ask about", n))
	}
	unclear := 0
	for _, f := range p.Findings {
		if f.Kind == Instant && f.Outcome != warrant.ReadExact {
			unclear++
		}
	}
	if unclear > 0 {
		ask("window_start", fmt.Sprintf("%d times can be read in more than one way, or in none: ask the authority", unclear))
	}
	for _, field := range []string{"authority", "requested_by", "issued_at", "valid_from", "valid_until", "window_start", "window_end", "categories", "recipient", "document_sha256"} {
		ask(field, "is for you to enter, from the order itself")
	}
	if p.Cut {
		ask("", fmt.Sprintf("there are more than %d findings: the text was not read to its end", MaxFindings))
	}
}
