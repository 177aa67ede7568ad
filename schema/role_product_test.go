package schema_test

import (
	"bytes"
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/keystore"
	"griffier/api/register"
	"griffier/api/server"
	"griffier/api/usage"
	"griffier/schema"
)

// office returns the register of a connection, with keys of its own.
func office(t *testing.T, conn driver.Conn) *register.Register {
	t.Helper()
	master := filepath.Join(t.TempDir(), "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(t.TempDir(), "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	pseudonyms, err := schema.NewPseudonymiser(bytes.Repeat([]byte{1}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	r, err := register.New(register.Config{Conn: conn, Vault: keys, Pseudonyms: pseudonyms, BlindKey: bytes.Repeat([]byte{2}, 32), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRolesCarryTheProduct does each role's work with the product's own code.
func TestRolesCarryTheProduct(t *testing.T) {
	become := schema.RolesOf(t)
	ref, address := schema.AccessRef{2, 1}, netip.MustParseAddr("10.0.0.1")
	today := schema.Today(0)
	window := usage.Window{Start: today.AddDate(0, 0, -2), End: today.AddDate(0, 0, 1)}
	held := []register.Held{{LineID: "l", Ref: ref, ValidFrom: window.Start.AddDate(-1, 0, 0), ValidTo: schema.Forever}}
	read := func(t *testing.T, ctx context.Context, conn driver.Conn) {
		reader := usage.NewReader(conn)
		if buckets, err := reader.Buckets(ctx, held, window); err != nil || len(buckets) != 1 {
			t.Errorf("buckets: %v (%v), want one", buckets, err)
		}
		if sessions, _, err := reader.Sessions(ctx, held, window, 10); err != nil || len(sessions) != 1 || len(sessions[0].Addresses) != 1 {
			t.Errorf("sessions: %+v (%v), want one with an address", sessions, err)
		}
		if _, err := reader.GapsOf(ctx, held, window); err != nil {
			t.Errorf("gaps: %v", err)
		}
	}
	t.Run("portal", func(t *testing.T) {
		ctx, conn := become(t, schema.RolePortal)
		read(t, ctx, conn)
		if lines, err := office(t, conn).LinesOfAccount(ctx, "a"); err != nil || len(lines) != 1 {
			t.Errorf("lines of an account: %v (%v), want one", lines, err)
		}
	})
	t.Run("executor", func(t *testing.T) {
		ctx, conn := become(t, schema.RoleExecutor)
		read(t, ctx, conn)
		traffic := execute.NewTraffic(conn)
		if limits, err := traffic.Limits(ctx); err != nil || len(limits) == 0 {
			t.Errorf("limits: %v (%v)", limits, err)
		}
		if _, err := traffic.Coverage(ctx, []string{"c1"}, window.Start, window.End); err != nil {
			t.Error(err)
		}
		question := disclosure.Question{Address: address, Instant: today.Add(-30 * time.Second)}
		if found, err := traffic.Assignments(ctx, disclosure.NewPlan(question, time.Second)); err != nil || len(found) != 1 {
			t.Errorf("who held: %v (%v), want one", found, err)
		}
		lines := office(t, conn)
		identifiers := []register.Identifier{{Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "u"}, ValidFrom: window.Start, ValidTo: schema.Forever}}
		contract := register.Line{LineID: "new", AccountID: "b", TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: window.Start, ContractEnd: schema.Forever}
		if err := lines.PutLine(ctx, contract, identifiers, register.Person{Name: "Jan"}); err != nil {
			t.Errorf("a new line: %v", err)
		}
		if person, err := lines.Identity(ctx, "new", today); err != nil || person.Name != "Jan" {
			t.Errorf("whose line it is: %+v (%v)", person, err)
		}
		if _, err := lines.RangesOf(ctx, address, window.Start, window.End); err != nil {
			t.Errorf("ranges: %v", err)
		}
		if err := lines.Holdings(ctx, window.Start, window.End, func(register.Holding) error { return nil }); err != nil {
			t.Errorf("holdings: %v", err)
		}
		if err := server.NewAccessLog(conn, time.Now).Record(ctx, time.Now(), "00ff", "customer", "GetTotals"); err != nil {
			t.Errorf("log of reads: %v", err)
		}
		if _, err := schema.UsageBlocks(ctx, conn); err != nil {
			t.Error(err)
		}
		if _, err := schema.UsageRows(ctx, conn, window.Start, window.End); err != nil {
			t.Error(err)
		}
		stones := []schema.Tombstone{{Ref: ref, HeldFrom: window.Start, HeldUntil: window.End}}
		if _, err := schema.InsideHeld(ctx, conn, stones); err != nil {
			t.Error(err)
		}
		if err := schema.PutTombstones(ctx, conn, stones); err != nil {
			t.Error(err)
		}
		if rows, err := schema.ErasedRows(ctx, conn); err != nil || rows[schema.ClassUsage5m] != 1 || rows[schema.ClassSession] != 1 {
			t.Errorf("erased rows that are left: %v (%v), want one of each class", rows, err)
		}
		if buckets, err := usage.NewReader(conn).Buckets(ctx, held, window); err != nil || len(buckets) != 0 {
			t.Errorf("erased usage: %v (%v), want none", buckets, err)
		}
		version, err := schema.UsageDayVersion(ctx, conn)
		if err != nil {
			t.Error(err)
		}
		if err := schema.WriteUsageDayMarks(ctx, conn, version+1, []schema.UsageDayMark{{UTCDay: today, Through: today}}); err != nil {
			t.Error(err)
		}
		if _, err := schema.ReadUsageDayMarks(ctx, conn, window.Start, window.End); err != nil {
			t.Error(err)
		}
		if _, _, err := schema.ReadableSince(ctx, conn, schema.ClassUsage5m); err != nil {
			t.Error(err)
		}
	})
	t.Run("operator", func(t *testing.T) {
		ctx, conn := become(t, schema.RoleOperator)
		if applied, known, err := schema.Applied(ctx, conn); err != nil || applied != known {
			t.Errorf("%d of %d migrations (%v)", applied, known, err)
		}
		if err := schema.Migrate(ctx, conn, nil); err != nil {
			t.Errorf("nothing to migrate, and yet: %v", err)
		}
		if err := schema.RaiseClockFloor(ctx, conn, time.Now().Add(-time.Minute)); err != nil {
			t.Error(err)
		}
		if _, _, err := schema.Limits(ctx, conn); err != nil {
			t.Error(err)
		}
		schema.SetPolicy(t, ctx, conn, "P9D")
		if _, err := schema.LogTables(ctx, conn); err != nil {
			t.Error(err)
		}
		if logs, err := schema.LogsQueries(ctx, conn); err != nil || logs {
			t.Errorf("queries are logged: %t (%v)", logs, err)
		}
		if _, err := schema.IdleParts(ctx, conn); err != nil {
			t.Error(err)
		}
		if err := schema.RewriteErased(ctx, conn); err != nil {
			t.Error(err)
		}
		if _, err := schema.PruneTombstones(ctx, conn); err != nil {
			t.Error(err)
		}
		due, err := schema.ExpiredDays(ctx, conn, time.Now())
		if err != nil || len(due) < len(schema.Tables) {
			t.Fatalf("%d days are due (%v), want one of each class", len(due), err)
		}
		for _, class := range schema.Classes {
			if _, err := schema.Stored(ctx, conn, class, today, true); err != nil {
				t.Errorf("stored %s: %v", class, err)
			}
			if _, err := schema.OldestEnd(ctx, conn, class, today); err != nil {
				t.Errorf("oldest %s: %v", class, err)
			}
		}
		for _, d := range due {
			if left, err := schema.DropDay(ctx, conn, d.Class, d.Day, time.Now()); err != nil || left.Rows != 0 {
				t.Errorf("drop of %s: %+v (%v)", d.Class, left, err)
			}
		}
	})
}
