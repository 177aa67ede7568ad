package document_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkPut stores documents of a mebibyte, durably: sealed, synced, entered.
func BenchmarkPut(b *testing.B) {
	o := newOffice(b)
	page := strings.Repeat("vordering ", 1<<20/10)
	b.SetBytes(1 << 20)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		w := o.warrant(fmt.Sprintf("PV-%d", i))
		b.StartTimer()
		if _, err := o.put(w, fmt.Sprint(i)+page); err != nil {
			b.Fatal(err)
		}
	}
}
