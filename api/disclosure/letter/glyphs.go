package letter

import (
	"fmt"
	"strings"

	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// glyphs knows which characters the font has: those of the languages of Europe in
// Latin, Greek and Cyrillic letters.
type glyphs struct {
	font    *sfnt.Font
	buffer  sfnt.Buffer
	unshown bool // a character had none
}

func newGlyphs() (*glyphs, error) {
	font, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("letter: font: %w", err)
	}
	return &glyphs{font: font}, nil
}

// shown replaces what the font has no glyph for, marks that join or turn text
// among it, by its code point: nothing is left out in silence.
func (g *glyphs) shown(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\r' || r == '\t' {
			r = ' '
		}
		if index, err := g.font.GlyphIndex(&g.buffer, r); err != nil || index == 0 || r > 0xffff || r < 0x20 {
			g.unshown = true
			fmt.Fprintf(&b, "[U+%04X]", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
