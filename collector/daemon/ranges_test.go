package daemon

import (
	"context"
	"net/netip"
	"testing"

	"griffier/collector/binding"
	"griffier/schema"
)

// Ranges and lines that a reload changes hold at once, and for what a crash
// afterwards leaves: what was told under the old ones is not judged by the new.
func TestReloadedRangesSurviveACrash(t *testing.T) {
	dir := t.TempDir()
	l, _ := testLoop(t, dir, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	// observation(1) is told 100.64.0.1, a while before that is lent.
	if err := l.handle(ctx, observation(1)); err != nil {
		t.Fatal(err)
	}
	line := []binding.StaticLine{{Identifier: schema.Identifier{Kind: schema.IdentStaticPrefix, Value: "a"},
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}}
	ours := binding.Range{Prefix: netip.MustParsePrefix("192.0.2.0/24")}
	lent := binding.Range{Prefix: netip.MustParsePrefix("192.0.2.0/25"), Provider: "reseller"}
	count := func(want int, ranges ...binding.Range) {
		t.Helper()
		image := crashImage(t, dir)
		for image == "" { // a checkpoint came in between
			image = crashImage(t, dir)
		}
		again, _ := testLoop(t, image, 1<<20, ranges...)
		if _, addresses := again.binding.Live(); addresses != want {
			t.Errorf("after a crash %d addresses count, want %d", addresses, want)
		}
	}
	if err := l.provision(ctx, line, []binding.Range{ours, lent}); err != nil {
		t.Fatal(err)
	}
	// The line's prefix is another's. The session is in no range now, and goes with
	// its next telling.
	count(1, ours, lent)
	if err := l.provision(ctx, line, []binding.Range{ours}); err != nil {
		t.Fatal(err)
	}
	count(2, ours)
	o := observation(1)
	o.Kind, o.SessionStartedAt = binding.Refresh, o.At
	if err := l.handle(ctx, o); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, addresses := l.binding.Live(); addresses != 1 {
		t.Errorf("%d addresses count after the session was told again, want the line's alone", addresses)
	}
	count(1, ours)
}
