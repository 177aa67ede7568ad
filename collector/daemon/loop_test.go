package daemon

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/collector/binding"
	"griffier/collector/lease"
	"griffier/collector/radius"
	"griffier/collector/spool"
	"griffier/schema"
)

// testLoop is a loop over a real spool, without a datapath.
func testLoop(t testing.TB, dir string, maxBytes int64, ranges ...binding.Range) (*loop, *spool.Spool) {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: dir, MaxBytes: maxBytes, SegmentBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p, err := schema.NewPseudonymiser([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(slog.New(slog.DiscardHandler), s, 128<<10, 10*time.Second, prometheus.NewRegistry())
	l.leases = lease.NewFollower(lease.Config{})
	l.binding = binding.New(binding.Config{CollectorID: "test", Pseudonymiser: p, ReemitInterval: time.Hour, Ranges: ranges})
	l.ranges = ranges
	tracker := radius.NewTracker(radius.TrackerConfig{})
	l.radius = tracker.Snapshot
	if err := l.recover(tracker); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func observation(i int) binding.Observation {
	return binding.Observation{
		At: time.Now().UTC(), Kind: binding.Start, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
		SessionKey: fmt.Sprintf("nas|0|%d|0", i), Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: fmt.Sprint("user", i)}, NAS: "nas",
		Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 32)},
	}
}

// stored reads and acknowledges everything in the spool.
func stored(t *testing.T, s *spool.Spool) (records []schema.Record) {
	t.Helper()
	for s.Stats().PendingRows > 0 {
		b, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, b.Records...)
		if err := s.Ack(b.Token); err != nil {
			t.Fatal(err)
		}
	}
	return records
}

// changes are the observations of a session that gets another address each time.
func changes(session, count int) (out []binding.Observation) {
	began := time.Now().UTC().Add(-time.Hour)
	for i := range count {
		o := observation(session)
		o.At = began.Add(time.Duration(i) * 20 * time.Millisecond)
		o.Prefixes = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(64 + session), byte(i >> 8), byte(i)}), 32)}
		if i > 0 {
			o.Kind, o.SessionStartedAt = binding.Refresh, began
		}
		out = append(out, o)
	}
	return out
}

// While the spool is full nothing is acknowledged; once the store takes rows
// again everything that waited is, once, and the time is declared as a gap.
func TestFullSpoolHoldsAcknowledgementsBack(t *testing.T) {
	l, s := testLoop(t, t.TempDir(), 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	const sessions, each = 4, 1000
	acked := make(chan error, sessions*each)
	for n := range sessions {
		go func() {
			for _, o := range changes(n, each) {
				acked <- l.handle(ctx, o)
			}
		}()
	}
	// It fills up, and stays so.
	count := 0
	for quiet := false; !quiet; {
		select {
		case err := <-acked:
			if err != nil {
				t.Fatal(err)
			}
			count++
		case <-time.After(5 * retrySpool):
			quiet = testutil.ToFloat64(l.metrics.stuck) > 0 // and not only a disk that takes its time
		}
	}
	if count == 0 || count == sessions*each {
		t.Fatalf("%d observations were acknowledged; want some, then a full spool", count)
	}
	t.Logf("full after %d of %d", count, sessions*each)
	// The store is back.
	held := map[schema.ID]bool{}
	gaps := 0
	take := func() {
		for _, r := range stored(t, s) {
			switch r := r.(type) {
			case *schema.Assignment:
				held[r.AssignmentID] = true
			case *schema.Coverage:
				if r.State == schema.Gap && r.Cause == binding.GapSpoolFull {
					gaps++
				}
			}
		}
	}
	for deadline := time.After(10 * time.Minute); count < sessions*each; {
		take()
		select {
		case err := <-acked:
			if err != nil {
				t.Fatal(err)
			}
			count++
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d of %d acknowledged", count, sessions*each)
		}
	}
	cancel()
	for stopped := false; !stopped; {
		take()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			stopped = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	take()
	if len(held) != sessions*each {
		t.Errorf("%d assignments reached the store, want %d", len(held), sessions*each)
	}
	if gaps == 0 {
		t.Error("no gap was declared")
	}
}

// A batch that is not durable at the end was not acknowledged, and what was is
// there after a restart.
func TestStopWhileFullAcknowledgesNothing(t *testing.T) {
	dir := t.TempDir()
	l, s := testLoop(t, dir, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	acked := 0
	all := changes(0, 4000)
	for _, o := range all {
		patience := 3 * retrySpool
		if acked == 0 {
			patience = time.Minute
		}
		done, stop := context.WithTimeout(ctx, patience)
		err := l.handle(done, o)
		stop()
		if err != nil {
			break
		}
		acked++
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.Close()
	if acked == 0 || acked == len(all) {
		t.Fatalf("%d observations were acknowledged; want some, then a full spool", acked)
	}
	again, _ := testLoop(t, dir, 2<<20)
	sessions := again.binding.Sessions()
	// Or the one after, which was sent: on a slow machine its batch was still being
	// written when the sender gave up, and then it may be there.
	if len(sessions) != 1 || sessions[0].Prefixes[0] != all[acked-1].Prefixes[0] && sessions[0].Prefixes[0] != all[acked].Prefixes[0] {
		t.Errorf("after the restart %d sessions; the last acknowledged address is not held", len(sessions))
	}
}

// The spool does not keep what its retention class would not.
func TestSpoolForgetsWhatHasExpired(t *testing.T) {
	l, s := testLoop(t, t.TempDir(), 1<<20)
	old := time.Now().UTC().AddDate(0, 0, -20).Truncate(schema.BucketLength)
	usage := func(at time.Time) *schema.Usage {
		return &schema.Usage{
			AccessRef: schema.AccessRef{1}, CounterID: schema.ID{1}, BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength), SampledAt: at,
			Direction: schema.Up, IPVersion: 4, Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CollectorID: "test",
		}
	}
	recent := time.Now().UTC().AddDate(0, 0, -10).Truncate(schema.BucketLength)
	if err := s.Append(t.Context(), spool.Batch{Records: []schema.Record{usage(old), usage(recent)}}); err != nil {
		t.Fatal(err)
	}
	l.policies = []schema.Policy{{Class: schema.ClassUsage5m, Period: "P14D", Zone: "Europe/Amsterdam"}}
	l.quarantine = t.TempDir()
	quarantined := func(name string, at time.Time) string {
		encoded, err := spool.EncodeRecord(usage(at))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(l.quarantine, name+"-invalid.jsonl")
		text := fmt.Sprintf("{\"token\":%q,\"reason\":\"invalid\",\"at\":\"2026-01-01T00:00:00Z\",\"rows\":1}\n{\"kind\":\"usage\",\"encoded\":%q}\n",
			name, base64.StdEncoding.EncodeToString(encoded))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone, left := quarantined("old", old), quarantined("recent", recent)
	l.expire(t.Context(), time.Now())
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an expired row is still in the quarantine: %v", err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("a row that may be kept left the quarantine: %v", err)
	}
	var kept []time.Time
	for _, r := range stored(t, s) {
		if r, ok := r.(*schema.Usage); ok {
			kept = append(kept, r.BucketStartedAt)
		}
	}
	if len(kept) != 1 || !kept[0].Equal(recent) {
		t.Errorf("kept usage of %v, want that of %v alone", kept, recent)
	}
	state, _, err := s.Recover()
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := unpack(state); err != nil || !strings.Contains(string(parts[policiesPart]), "P14D") {
		t.Errorf("the policy is not kept for a start without the store: %v", err)
	}
}

// BenchmarkHandle is the time until an observation is durable and may be
// acknowledged, with 256 outstanding as the RADIUS server allows.
func BenchmarkHandle(b *testing.B) {
	l, s := testLoop(b, b.TempDir(), 4<<30)
	l.checkpointAt = 64 << 20
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				o := observation(int(i))
				o.Prefixes = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
				if err := l.handle(ctx, o); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if s.Stats().PendingRows < uint64(b.N) {
		b.Fatalf("%d rows in the spool for %d sessions", s.Stats().PendingRows, b.N)
	}
}

// BenchmarkSnapshot is how long the loop stands still for a checkpoint of
// 100,000 sessions, how long the writer then packs, and what it takes in the spool.
func BenchmarkSnapshot(b *testing.B) {
	l, _ := testLoop(b, b.TempDir(), 4<<30)
	for i := range 100_000 {
		o := observation(i)
		o.Prefixes = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}
		l.binding.Apply(o.At, o)
	}
	b.ResetTimer()
	for range b.N {
		s, err := l.snapshot()
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		began := time.Now()
		state, err := s.pack()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/pack")
		b.ReportMetric(float64(len(state))/100_000, "B/session")
		b.StartTimer()
	}
}
