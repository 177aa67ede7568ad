package statistics

import (
	"testing"

	"griffier/schema"
)

// TestRestrictedLinesAreNotCounted: neither the line nor its bytes are in any cell
// while its data may not be used.
func TestRestrictedLinesAreNotCounted(t *testing.T) {
	n := newNetwork(t)
	n.register(1, 2, 3)
	for line := 1; line <= 3; line++ {
		n.moved(line, "c1", 10, uint64(line)*1000, schema.UsageKernel)
	}
	counted := func(what string, lines, bytes uint64) {
		t.Helper()
		hours, err := n.publisher.Store.cells(t.Context(), n.day)
		if err != nil {
			t.Fatal(err)
		}
		var c Cell
		for _, cells := range hours {
			for _, cell := range cells {
				c = c.add(cell)
			}
		}
		if c.Lines != lines || c.BytesDown != bytes {
			t.Errorf("%s: %d lines and %d bytes, want %d and %d", what, c.Lines, c.BytesDown, lines, bytes)
		}
	}
	restrict := func(version int, restricted bool) {
		t.Helper()
		err := n.conn.Exec(t.Context(), "INSERT INTO register.restriction (line_id, restricted, ground, since, version) VALUES (?, ?, 'restriction', now64(3), ?)", "L-2", restricted, uint64(version))
		if err != nil {
			t.Fatal(err)
		}
	}
	counted("before", 3, 6000)
	restrict(1, true)
	counted("restricted", 2, 4000)
	restrict(2, false)
	counted("lifted", 3, 6000)
}
