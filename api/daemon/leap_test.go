package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/clock"
	"griffier/api/ledger"
	"griffier/api/reason"
)

// What is destroyed for good waits for a person when the clock of a laboratory leapt.
func TestSure(t *testing.T) {
	is := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	now := is
	unkept := func() (clock.Reading, error) { return clock.Reading{}, nil }
	s := sure{&clock.Judge{LastAt: func() time.Time { return is }, Now: func() time.Time { return now }, Read: unkept}, clock.NewLeap(is, unkept)}
	for at, want := range map[time.Time]reason.Reason{is: "", is.AddDate(0, 0, 6): "", is.AddDate(10, 0, 0): reason.ClockUntrusted, is.Add(-time.Minute): reason.ClockUntrusted} {
		now = at
		s.leap.Accept(is)
		if err := s.Check(); reason.Of(err) != want {
			t.Errorf("at %v: %v, want %q", at, err, want)
		}
	}
}

// TestAClockThatLeaptStartsNothing: griffierd was away for longer than anybody
// would leave it (or the clock is wrong, which it cannot tell), and nothing keeps
// the clock. It starts on an operator's word only, which its ledger keeps.
func TestAClockThatLeaptStartsNothing(t *testing.T) {
	short, err := os.MkdirTemp("", "gl") // a socket path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	o := options()
	o.Listen, o.LedgerLimit = "127.0.0.1:0", 10*time.Second
	path, err := Init(filepath.Join(short, "g"), o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.LoadKey(cfg.Ledger.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	past := func() time.Time { return time.Now().Add(-clock.MaxLeap - time.Hour) }
	book, err := ledger.Open(t.Context(), ledger.Config{Dir: cfg.Ledger.Dir, WitnessFile: cfg.Ledger.WitnessFile, Key: key,
		Now: past, Limit: cfg.Ledger.Limit, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := book.Append(t.Context(), ledger.Draft{Kind: "test.stopped", Role: "system", Facts: struct{}{}}); err != nil {
		t.Fatal(err)
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	start := func(accept bool) (served bool, _ error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err := Run(ctx, cfg, slog.New(slog.NewJSONHandler(&logs, nil)), Start{AcceptClock: accept, Ready: func(net.Addr) { served = true; cancel() }})
		return served, err
	}
	reading, err := clock.Read()
	kept := err == nil && reading.Synced && reading.Offset.Abs() <= clock.MaxOffset
	served, err := start(false)
	if refused := err != nil && strings.Contains(err.Error(), "-accept-clock"); served != kept || refused == kept {
		t.Fatalf("a clock that is kept: %t; served: %t, %v", kept, served, err)
	}
	if kept {
		return // the clock of this host may leap
	}
	if served, err := start(true); !served || err != nil {
		t.Fatalf("with the operator's word: served: %t, %v", served, err)
	}
	if !strings.Contains(logs.String(), "because an operator said so") {
		t.Error("the log does not say on whose word")
	}
	if served, err := start(false); !served || err != nil {
		t.Fatalf("the start after that: served: %t, %v", served, err)
	}
}
