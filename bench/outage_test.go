package main

import (
	"os"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(playRole(role))
	}
	os.Exit(m.Run())
}

// The store is away for most of a minute while events come at 2,000 a second, and
// the collector is killed twice: after that the store has every row once. With
// -short it is away for five seconds; an hour, and events at 10,000 a second, are for
// bench -run outage -outage 1h.
func TestOutageLosesNothing(t *testing.T) {
	defer func(rate uint64) { outageRate = rate }(outageRate)
	outageRate = 2_000
	outage := 45 * time.Second
	if testing.Short() {
		outage = 5 * time.Second
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := runOutage(t.Context(), dir, time.Second, outage)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if least := uint64(outage.Seconds()) * outageRate / 4; r.Events < least || r.Backlog < least/2 {
		t.Errorf("%d events, of which %d waited for the store; want at least %d: the test saw too little", r.Events, r.Backlog, least)
	}
}

// The comparison sees a row that is missing, double or changed.
func TestLedgerSeesEveryDifference(t *testing.T) {
	const events = 2000
	e := enginetest.Start(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: e.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	day := yesterday()
	ledger := func(next uint64) *generatorLedger {
		l := &generatorLedger{day: day, tallies: map[schema.Kind]tally{}}
		l.advance(next)
		return l
	}
	var records []schema.Record
	for n := range uint64(events) {
		records = append(records, event(n, day))
	}
	if err := schema.Insert(t.Context(), conn, "all", records); err != nil {
		t.Fatal(err)
	}
	if err := ledger(events).compare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if ledger(events+1).compare(t.Context(), conn) == nil {
		t.Error("a missing row is not seen")
	}
	changed := ledger(events - 1)
	r := event(events-1, day).(*schema.Coverage)
	r.ClockSynced = false
	changed.tallies[r.Kind()] = tally{changed.tallies[r.Kind()].Rows + 1, changed.tallies[r.Kind()].Sum + xxhash.Sum64(rowText(nil, r))}
	if changed.compare(t.Context(), conn) == nil {
		t.Error("a changed row is not seen")
	}
	if err := schema.Insert(t.Context(), conn, "again", records[5:6]); err != nil {
		t.Fatal(err)
	}
	if ledger(events).compare(t.Context(), conn) == nil {
		t.Error("a double row is not seen")
	}
}
