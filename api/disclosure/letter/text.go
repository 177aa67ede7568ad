package letter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// MaxBytes is the largest letter that [Text] reads.
const MaxBytes = 4 << 20

// trailer ends a letter, once: what a second one ended would be an update of the first
// (ISO 32000-1 §7.5.6), which a reader shows in its place.
const trailer = "\n%%EOF\n"

var errUnreadable = errors.New("read letter: not a letter that this program writes")

// Text returns the text that a letter shows, in the order of its pages, a line
// for each piece. It reads what [Render] writes: content that is not compressed,
// and strings of UTF-16. Anything else is an error or has no text.
func Text(pdf []byte) (string, error) {
	if len(pdf) > MaxBytes {
		return "", fmt.Errorf("read letter: longer than %d bytes", MaxBytes)
	}
	if !bytes.HasPrefix(pdf, []byte("%PDF-1.")) || !bytes.HasSuffix(pdf, []byte(trailer)) || bytes.Count(pdf, []byte(trailer)) != 1 {
		return "", errUnreadable
	}
	var out strings.Builder
	for rest := pdf; ; {
		_, after, ok := bytes.Cut(rest, []byte("\nstream\n"))
		if !ok {
			return out.String(), nil
		}
		content, next, ok := bytes.Cut(after, []byte("\nendstream"))
		if !ok {
			return "", errUnreadable
		}
		if err := shownIn(content, &out); err != nil {
			return "", err
		}
		rest = next
	}
}

// shownIn appends the strings that a content stream shows: "(…)Tj". A stream of
// something else, such as a font, has none.
func shownIn(content []byte, out *strings.Builder) error {
	for {
		at := bytes.Index(content, []byte(" Td ("))
		if at < 0 {
			return nil
		}
		raw, rest, ok := literal(content[at+len(" Td ("):])
		content = rest
		if !ok || !bytes.HasPrefix(rest, []byte("Tj ET")) {
			continue
		}
		if len(raw)%2 != 0 {
			return errUnreadable
		}
		units := make([]uint16, 0, len(raw)/2)
		for i := 0; i < len(raw); i += 2 {
			units = append(units, uint16(raw[i])<<8|uint16(raw[i+1]))
		}
		out.WriteString(string(utf16.Decode(units)))
		out.WriteByte('\n')
	}
}

// literal reads a PDF string after its opening bracket (ISO 32000-1 §7.3.4.2), in
// the escapes that are written here.
func literal(b []byte) (text, rest []byte, ok bool) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ')':
			return text, b[i+1:], true
		case '\\':
			if i++; i == len(b) {
				return nil, nil, false
			}
			c := b[i]
			if c == 'r' {
				c = '\r'
			}
			text = append(text, c)
		default:
			text = append(text, b[i])
		}
	}
	return nil, nil, false
}

// Reading is a letter's text, to look for values in.
type Reading struct {
	text   string
	glyphs *glyphs
}

// NewReading returns a reading of text that any program took out of a letter.
func NewReading(text string) (*Reading, error) {
	g, err := newGlyphs()
	if err != nil {
		return nil, err
	}
	return &Reading{squeeze(text), g}, nil
}

// Shows reports whether the letter has a value, wherever its lines were broken. The
// value is looked for as it would be printed.
func (r *Reading) Shows(value string) bool {
	return strings.Contains(r.text, squeeze(r.glyphs.shown(value)))
}

// squeeze leaves out all white space.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}
