package letter_test

import (
	"os"
	"testing"

	"griffier/api/warrant/letter"
)

func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("testdata/nl.txt")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := letter.Parse(string(text), "Europe/Amsterdam"); err != nil {
			b.Fatal(err)
		}
	}
}
