package keep

import (
	"bytes"
	"testing"
)

// BenchmarkFile seals and reads back a hold of as many rows as one may have.
func BenchmarkFile(b *testing.B) {
	keys := vault(b, "a")
	c := contents("a", MaxRows-4)
	b.ReportAllocs()
	for b.Loop() {
		var file bytes.Buffer
		if err := write(&file, sealWith(keys, "a", "w1"), c); err != nil {
			b.Fatal(err)
		}
		if _, err := readAll(file.Bytes(), openWith(keys, "a", "a", "w1")); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(file.Len())/MaxRows, "bytes/row")
	}
}
