package watch_test

import (
	"testing"
	"time"

	"griffier/api/oversight"
	"griffier/api/warrant"
)

// BenchmarkResolved is what a disclosure of one line waits for being watched: the
// two entries that must be durable before it goes on.
func BenchmarkResolved(b *testing.B) {
	d := newDesk(b, oversight.Limits{})
	w := d.Warrant(id(1), "NL-OM", warrant.Attribution)
	n := 0
	for b.Loop() {
		n++
		if err := d.Resolved(b.Context(), warrant.Task{ID: id(n), WarrantID: w.ID, Attempt: 1, CreatedAt: time.Now()}, w, []string{"L-1"}); err != nil {
			b.Fatal(err)
		}
	}
}
