package schema

import (
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bytes"

	"griffier/schema/engine/enginetest"
)

// TestErasure puts rows of two lines that had one circuit after each other, and of
// a third, and erases the first: only its rows go, from sight at once and from the
// disk after the rewrite, and they do not come back.
func TestErasure(t *testing.T) {
	ctx := t.Context()
	database := enginetest.Start(t)
	conn, err := Open(ctx, Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := Migrate(ctx, conn, nil); err != nil {
		t.Fatal(err)
	}
	var policies []Policy
	for _, class := range Classes {
		policies = append(policies, Policy{Class: class, Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults"})
	}
	if err := WritePolicy(ctx, conn, ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
	moved := time.Now().UTC().Truncate(24 * time.Hour).Add(-48 * time.Hour) // when the circuit changed hands
	erased, other := AccessRef{0xE1, 0xA5, 0xED, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, AccessRef{0x07, 0x4E, 0x12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	inside := netip.MustParseAddr("100.64.7.9")
	session := func(n byte, ref AccessRef, at time.Time) *Session {
		return &Session{SessionID: ID{n}, AccessRef: ref, SessionStartedAt: at, StartedAt: at, EndedAt: at.Add(time.Hour), Version: 1,
			Source: SourceRADIUS, Certainty: CertaintyObserved, CollectorID: "c1"}
	}
	held := func(n byte, ref AccessRef, prefix string, at time.Time) *Assignment {
		return &Assignment{AssignmentID: ID{n + 1}, SessionID: ID{n}, AccessRef: ref, Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535, AssignmentStartedAt: at, StartedAt: at,
			EndedAt: at.Add(time.Hour), Version: 1, Source: SourceRADIUS, Certainty: CertaintyObserved, CollectorID: "c1"}
	}
	ported := func(at time.Time) *Assignment {
		a := held(0, AccessRef{}, "192.0.2.1/32", at)
		a.Inside, a.PortStart, a.PortEnd, a.Source, a.SessionID = inside, 2000, 2999, SourceIPFIX, ID{}
		return a
	}
	used := func(ref AccessRef, at time.Time) *Usage {
		return &Usage{AccessRef: ref, BucketStartedAt: at, EndedAt: at.Add(BucketLength), SampledAt: at.Add(time.Minute), Direction: Up, IPVersion: 4,
			Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CounterID: ID{1}, CollectorID: "c1"}
	}
	daily := func(ref AccessRef, at time.Time) *UsageDay {
		return &UsageDay{AccessRef: ref, Day: at.Truncate(24 * time.Hour), Zone: "Europe/Amsterdam", StartedAt: at, EndedAt: at.Add(time.Hour), Direction: Up,
			IPVersion: 4, Source: UsageKernel, CollectorID: "c1", Bytes: 1, Packets: 1, Version: 1}
	}
	read := func(at time.Time, refs ...AccessRef) *AccessLogEntry {
		return &AccessLogEntry{EntryID: ID{byte(len(refs))}, HappenedAt: at, Actor: "a", Role: "customer", Action: "x", Outcome: "OK", AccessRefs: refs}
	}
	before, after := moved.Add(-3*time.Hour), moved.Add(3*time.Hour)
	rows := []Record{
		session(1, erased, before), session(2, erased, after), session(3, other, before),
		held(1, erased, "100.64.7.9/32", before), held(4, erased, "100.64.7.9/32", before.Add(time.Hour)), held(2, erased, "100.64.7.9/32", after), held(3, other, "100.64.7.10/32", before), ported(before.Add(time.Minute)), ported(before.Add(time.Hour + time.Minute)), ported(after.Add(time.Minute)),
		used(erased, before), used(erased, after), used(other, before),
		daily(erased, before), daily(erased, after), daily(other, before),
		read(after, erased, other),
	}
	if err := Insert(ctx, conn, "rows", rows); err != nil {
		t.Fatal(err)
	}
	views := map[string][2]uint64{"traffic.session": {3, 2}, "traffic.assignment": {7, 3}, "traffic.usage": {3, 2}, "traffic.usage_day": {3, 2}}
	seen := func(when string, n int) {
		t.Helper()
		for view, want := range views {
			if got := count(t, ctx, conn, "SELECT count() FROM "+view); got != want[n] {
				t.Errorf("%s: %s shows %d rows, want %d", when, view, got, want[n])
			}
		}
	}
	seen("before", 0)
	stones := []Tombstone{{Ref: erased, HeldFrom: moved.Add(-24 * time.Hour), HeldUntil: moved}}
	more, err := InsideHeld(ctx, conn, stones)
	if err != nil {
		t.Fatal(err)
	}
	if len(more) != 1 || more[0].Inside.Unmap() != inside {
		t.Fatalf("InsideHeld = %v", more)
	}
	for range 2 { // a repetition changes nothing
		if err := PutTombstones(ctx, conn, append(stones, more...)); err != nil {
			t.Fatal(err)
		}
	}
	seen("erased", 1)
	if n, err := ErasedRows(ctx, conn); err != nil || n[ClassSession] != 1 || n[ClassAssignment] != 4 || n[ClassUsage5m] != 1 || n[ClassUsageDay] != 1 {
		t.Errorf("ErasedRows = %v, %v", n, err)
	}
	if err := RewriteErased(ctx, conn); err != nil {
		t.Fatal(err)
	}
	seen("rewritten", 1)
	if n, err := ErasedRows(ctx, conn); err != nil || n[ClassSession]+n[ClassAssignment]+n[ClassUsage5m]+n[ClassUsageDay] != 0 {
		t.Errorf("ErasedRows = %v, %v", n, err)
	}
	if got := count(t, ctx, conn, "SELECT length(access_refs) FROM traffic.access_log"); got != 1 {
		t.Errorf("the log of reads has %d references, want 1", got)
	}
	// The later holder's rows are of the same reference and stay; what came late of
	// the earlier's is not seen.
	late := session(9, erased, before.Add(time.Minute))
	if err := Insert(ctx, conn, "late", []Record{late}); err != nil {
		t.Fatal(err)
	}
	seen("late", 1)
	// Without the later holder no byte of the reference is left anywhere.
	if err := PutTombstones(ctx, conn, []Tombstone{{Ref: erased, HeldFrom: moved, HeldUntil: moved.Add(72 * time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(database.Socket), "data")
	for _, table := range []string{"session_slice", "assignment_slice", "usage_bucket", "usage_day_part"} {
		if got := count(t, ctx, conn, "SELECT count() FROM traffic."+table+" WHERE access_ref = toFixedString(unhex('"+erased.String()+"'), 16)"); got == 0 {
			t.Errorf("traffic.%s has no row of the reference before the rewrite", table)
		}
	}
	if err := RewriteErased(ctx, conn); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"session_slice", "assignment_slice", "usage_bucket", "usage_day_part"} {
		if got := count(t, ctx, conn, "SELECT count() FROM traffic."+table+" WHERE access_ref = toFixedString(unhex('"+erased.String()+"'), 16)"); got != 0 {
			t.Errorf("traffic.%s has %d rows of the reference", table, got)
		}
	}
	if n := filesWith(t, dir, []byte(erased.String())); n != 0 {
		t.Errorf("%d of the store's files have the reference in text", n)
	}
	if left, err := PruneTombstones(ctx, conn); err != nil || left != 3 {
		t.Errorf("PruneTombstones = %d, %v, want 3", left, err)
	}
}

// filesWith counts files under dir that contain b.
func filesWith(t *testing.T, dir string, b []byte) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, b) {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
