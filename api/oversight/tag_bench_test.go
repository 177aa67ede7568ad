package oversight

import (
	"fmt"
	"testing"
)

// BenchmarkLinked is what a disclosure pays for being watched, in a month with ten
// thousand others.
func BenchmarkLinked(b *testing.B) {
	s := NewState()
	keyID := TagKeyID(Period(start), 0)
	secrets := Secrets{keyID: secretOf(1)}
	for i := range 10_000 {
		s.tags = append(s.tags, Tag{At: start, Domain: OfLine, WarrantID: id(i), TaskID: id(i), KeyID: keyID}.Seal(secrets[keyID], fmt.Sprintf("L-%d", i)))
	}
	own := Tag{Domain: OfLine, WarrantID: id(-1), TaskID: id(-1), KeyID: keyID}
	for b.Loop() {
		if l := s.Linked(start, own, secrets, "L-7"); l.Disclosures != 2 {
			b.Fatal(l)
		}
	}
}

// BenchmarkPublic suppresses a year of a large provider.
func BenchmarkPublic(b *testing.B) {
	var cells []Cell
	for a := range 20 {
		for c, category := range []string{"IDENTITY", "ATTRIBUTION", "HISTORY", "TIME"} {
			for g, age := range AgeBands {
				n := uint64((a*7+c*3+g)%9) * uint64(a%5)
				cells = append(cells, Cell{fmt.Sprintf("A%02d", a), fmt.Sprintf("B%d", a%6), category, age, Figures{Disclosed: n, Unanswered: n / 2, Refused: n / 7}})
			}
		}
	}
	for b.Loop() {
		if len(Public(cells, LeastPublished)) == 0 {
			b.Fatal("nothing")
		}
	}
}
