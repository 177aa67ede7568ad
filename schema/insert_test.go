package schema

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestInsertRoundTrip(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P1M")
	noon := today(-1).Add(12*time.Hour + 123*time.Millisecond)
	session := testSession(1, noon, noon.Add(time.Hour))
	session.SessionStartedAt, session.Open, session.Version, session.EndCause = noon.Add(-40*time.Hour), true, 7, EndNone
	assignment := testAssignment(1, noon, noon.Add(time.Hour))
	assignment.Prefix = netip.MustParsePrefix("2001:db8:0:ff00::/56")
	translated := testAssignment(2, noon, noon.Add(time.Hour))
	translated.Prefix, translated.PortStart, translated.PortEnd = netip.MustParsePrefix("203.0.113.7/32"), 1024, 2047
	translated.AccessRef, translated.Protocol, translated.Inside = AccessRef{}, 17, netip.MustParseAddr("100.64.0.7")
	usage := testUsage(1, today(-1).Add(5*time.Minute))
	usage.Direction, usage.IPVersion, usage.Source = Up, 0, UsageRADIUS
	coverage := testCoverage(1, noon, noon.Add(time.Hour))
	coverage.State, coverage.Cause = Gap, "ring_drop"
	entry := testAccessLog(1, noon)
	if err := Insert(ctx, conn, "token", []Record{session, assignment, translated, usage, coverage, entry}); err != nil {
		t.Fatal(err)
	}

	var s Session
	var class, endCause, source, certainty string
	err := conn.QueryRow(ctx, "SELECT * FROM traffic.session WHERE access_ref = unhex(?)", session.AccessRef.String()).Scan(
		&s.SessionID, &s.AccessRef, &s.SessionStartedAt, &s.StartedAt, &s.EndedAt, &s.Open, &s.Version,
		&endCause, &source, &certainty, &s.NAS, &s.NASPort, &s.CollectorID, &class)
	if err != nil {
		t.Fatal(err)
	}
	s.EndCause, s.Source, s.Certainty = EndCause(endCause), Source(source), Certainty(certainty)
	if s != *session || class != string(ClassSession) {
		t.Errorf("session = %+v (%s), want %+v", s, class, *session)
	}

	named := map[ID]bool{}
	for _, want := range []*Assignment{assignment, translated} {
		var a Assignment
		var inside netip.Addr
		address, length := PrefixColumns(want.Prefix)
		err = conn.QueryRow(ctx, "SELECT * FROM traffic.assignment WHERE prefix_address = ?", address.String()).Scan(
			&a.AssignmentID, &a.SessionID, &a.AccessRef, &address, &length, &a.PortStart, &a.PortEnd, &a.Protocol, &inside, &a.AssignmentStartedAt,
			&a.StartedAt, &a.EndedAt, &a.Open, &a.Version, &endCause, &source, &certainty, &a.CollectorID, &class)
		if err != nil {
			t.Fatal(err)
		}
		a.EndCause, a.Source, a.Certainty, a.Inside = EndCause(endCause), Source(source), Certainty(certainty), InsideFromColumn(inside)
		if a.AssignmentID == (ID{}) || named[a.AssignmentID] {
			t.Errorf("assignment id %s is no name", a.AssignmentID)
		}
		named[a.AssignmentID] = true
		a.AssignmentID = want.AssignmentID // the store derives its own
		if a.Prefix, err = PrefixFromColumns(address, length); err != nil || a != *want {
			t.Errorf("assignment = %+v (%v), want %+v", a, err, *want)
		}
	}

	var u Usage
	var direction string
	err = conn.QueryRow(ctx, "SELECT * FROM traffic.usage").Scan(
		&u.AccessRef, &u.BucketStartedAt, &u.EndedAt, &u.SampledAt, &direction, &u.IPVersion, &u.Bytes, &u.Packets,
		&u.CumulativeBytes, &u.CumulativePackets, &u.CounterID, &u.CollectorID, &class, &source)
	if err != nil {
		t.Fatal(err)
	}
	u.Direction, u.Source = Direction(direction), UsageSource(source)
	if u != *usage {
		t.Errorf("usage = %+v, want %+v", u, *usage)
	}

	var c Coverage
	var state string
	err = conn.QueryRow(ctx, "SELECT * FROM traffic.coverage").Scan(
		&c.CoverageID, &c.CollectorID, &state, &c.Cause, &c.StartedAt, &c.EndedAt, &c.Open, &c.Version,
		&c.BootID, &c.ClockOffsetNanos, &c.ClockSynced, &class)
	if err != nil {
		t.Fatal(err)
	}
	if c.State = CoverageState(state); c != *coverage {
		t.Errorf("coverage = %+v, want %+v", c, *coverage)
	}

	var e AccessLogEntry
	var ended time.Time
	var refs []string
	err = conn.QueryRow(ctx, "SELECT * FROM traffic.access_log").Scan(
		&e.EntryID, &e.HappenedAt, &ended, &e.Actor, &e.Role, &e.Action, &e.Outcome, &e.RequestID, &refs, &e.RowsRead, &class)
	if err != nil {
		t.Fatal(err)
	}
	if !e.HappenedAt.Equal(noon) || !ended.Equal(noon) || e.RowsRead != 3 || len(refs) != 2 || refs[0] != string(entry.AccessRefs[0][:]) {
		t.Errorf("access log entry = %+v, refs %q", e, refs)
	}
}

func TestPrefixColumns(t *testing.T) {
	for _, text := range []string{"192.0.2.1/32", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "2001:db8::1/128"} {
		p := netip.MustParsePrefix(text)
		address, length := PrefixColumns(p)
		if back, err := PrefixFromColumns(address, length); err != nil || back != p || !address.Is6() {
			t.Errorf("%v is stored as %v/%d and read back as %v (%v)", p, address, length, back, err)
		}
	}
	if _, err := PrefixFromColumns(netip.MustParseAddr("2001:db8::"), 129); err == nil {
		t.Error("a length of 129 was read back")
	}
	covering := CoveringPrefixes(netip.MustParseAddr("192.0.2.77"))
	if len(covering) != 32 || covering[0].String() != "192.0.2.77/32" || covering[8].String() != "192.0.2.0/24" {
		t.Errorf("CoveringPrefixes = %v", covering)
	}
}

func TestInsertRefuses(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P1M")
	noon := today(-1).Add(12 * time.Hour)
	session := func(change func(*Session)) Record {
		r := testSession(1, noon, noon.Add(time.Hour))
		change(r)
		return r
	}
	assignment := func(change func(*Assignment)) Record {
		r := testAssignment(1, noon, noon.Add(time.Hour))
		change(r)
		return r
	}
	usage := func(change func(*Usage)) Record {
		r := testUsage(1, noon)
		change(r)
		return r
	}
	coverage := func(change func(*Coverage)) Record {
		r := testCoverage(1, noon, noon.Add(time.Hour))
		change(r)
		return r
	}
	for _, c := range []struct {
		name, want string
		record     Record
	}{
		{"zero id", "session_id is zero", session(func(r *Session) { r.SessionID = ID{} })},
		{"zero ref", "access_ref is zero", session(func(r *Session) { r.AccessRef = AccessRef{} })},
		{"zero start", "started_at: zero time", session(func(r *Session) { r.StartedAt = time.Time{} })},
		{"clock never set", "outside the years", session(func(r *Session) { r.EndedAt = time.Unix(60, 0) })},
		{"backwards", "ended_at before started_at", session(func(r *Session) { r.EndedAt = r.StartedAt.Add(-time.Millisecond) })},
		{"over midnight", "crosses UTC midnight", session(func(r *Session) { r.EndedAt = today(0).Add(time.Millisecond) })},
		{"session begins late", "session_started_at after started_at", session(func(r *Session) { r.SessionStartedAt = r.StartedAt.Add(1) })},
		{"end cause", "end_cause", session(func(r *Session) { r.EndCause = "tired" })},
		{"source", "source", session(func(r *Session) { r.Source = "" })},
		{"certainty", "certainty", session(func(r *Session) { r.Certainty = "perhaps" })},
		{"collector", "collector_id is empty", session(func(r *Session) { r.CollectorID = "" })},
		{"long text", "nas_port is longer", session(func(r *Session) { r.NASPort = strings.Repeat("x", 257) })},
		{"no prefix", "prefix is not valid", assignment(func(r *Assignment) { r.Prefix = netip.Prefix{} })},
		{"host bits", "host bits", assignment(func(r *Assignment) { r.Prefix = netip.MustParsePrefix("10.0.0.1/24") })},
		{"mapped", "v4-mapped", assignment(func(r *Assignment) { r.Prefix = netip.MustParsePrefix("::ffff:10.0.0.1/128") })},
		{"default route", "default route", assignment(func(r *Assignment) { r.Prefix = netip.MustParsePrefix("0.0.0.0/0") })},
		{"ports", "port_end", assignment(func(r *Assignment) { r.PortStart, r.PortEnd = 2, 1 })},
		{"misaligned bucket", "multiple of the bucket", usage(func(r *Usage) { r.BucketStartedAt = r.BucketStartedAt.Add(time.Second) })},
		{"short bucket", "end of the bucket", usage(func(r *Usage) { r.EndedAt = r.EndedAt.Add(-1) })},
		{"early sample", "sampled_at", usage(func(r *Usage) { r.SampledAt = r.BucketStartedAt.Add(-1) })},
		{"ip version", "ip_version", usage(func(r *Usage) { r.IPVersion = 5 })},
		{"direction", "direction", usage(func(r *Usage) { r.Direction = "sideways" })},
		{"counter", "cumulative", usage(func(r *Usage) { r.CumulativeBytes = r.Bytes - 1 })},
		{"gap", "gap without a cause", coverage(func(r *Coverage) { r.State = Gap })},
		{"nil", "unknown type", nil},
	} {
		err := Insert(ctx, conn, "refused", []Record{testSession(2, noon, noon), c.record})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "record 1") {
			t.Errorf("%s: Insert = %v, want record 1 refused with %q", c.name, err, c.want)
		}
	}
	if err := Insert(ctx, conn, "", []Record{testSession(2, noon, noon)}); err == nil {
		t.Error("an empty token was accepted")
	}
	if got := countViews(t, ctx, conn); got != [6]uint64{} {
		t.Errorf("refused records left rows: %v", got)
	}
}

// TestStoreHoldsItsOwnRules writes past Insert: the tables refuse what would
// break the look-back of a day or the drop of whole partitions.
func TestStoreHoldsItsOwnRules(t *testing.T) {
	ctx, conn, _ := newStore(t)
	for _, statement := range []string{
		"INSERT INTO traffic.session_slice (started_at, ended_at, class) VALUES ('2026-03-01 23:00:00', '2026-03-02 00:00:00.001', 'session')",
		"INSERT INTO traffic.assignment_slice (started_at, length_ms) VALUES ('2026-03-01 23:00:00', 3600001)",
		"INSERT INTO traffic.assignment_slice (started_at, length_ms) VALUES ('2026-03-01 23:00:00', 4294967295)",
		"INSERT INTO traffic.assignment_slice (started_at, class) VALUES ('2026-03-01 23:00:00', 'session')",
		"INSERT INTO traffic.coverage_slice (started_at, ended_at, class) VALUES ('2026-03-01 23:00:00', '2026-03-01 23:00:00', 'session')",
		"INSERT INTO traffic.usage_bucket (bucket_started_at, ended_at, class) VALUES ('2026-03-01 23:01:00', '2026-03-01 23:06:00', 'usage_5m')",
		"INSERT INTO traffic.access_log_entry (happened_at, ended_at, class) VALUES ('2026-03-01 23:01:00', '2027-03-01 23:01:00', 'access_log')",
	} {
		if err := conn.Exec(ctx, statement); err == nil || !strings.Contains(err.Error(), "onstraint") {
			t.Errorf("%s: %v, want a violated constraint", statement, err)
		}
	}
}

// TestInsertReplay checks that any number of repeats, with the same token or
// after the store forgot it, and versions in any order, leave the same content.
func TestInsertReplay(t *testing.T) {
	checks(t, 15)
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P1M")
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range tables {
			if err := conn.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
				rt.Fatal(err)
			}
		}
		run := rapid.StringMatching(`[a-z]{16}`).Draw(rt, "run")
		type block struct {
			token   string
			records []Record
		}
		var blocks []block
		want := make(map[ID]uint64) // session id → end of its highest version, in ms
		best := make(map[ID]uint64)
		for i := range rapid.IntRange(1, 4).Draw(rt, "blocks") {
			b := block{token: run + string(rune('a'+i))}
			for range rapid.IntRange(1, 4).Draw(rt, "records") {
				n := byte(rapid.IntRange(1, 3).Draw(rt, "line"))
				// A version is emitted once; what it says is fixed by its number.
				version := uint64(rapid.IntRange(1, 6).Draw(rt, "version"))
				start := today(-2).Add(time.Duration(n) * time.Hour)
				end := start.Add(time.Duration((version*7)%6) * time.Minute)
				s, a := testSession(n, start, end), testAssignment(n, start, end)
				s.Version, a.Version = version, version
				u := testUsage(n, start)
				u.SampledAt = start.Add(time.Duration(version) * time.Second)
				b.records = append(b.records, s, a, u)
				if version > best[s.SessionID] {
					best[s.SessionID], want[s.SessionID] = version, uint64(end.UnixMilli())
				}
			}
			blocks = append(blocks, b)
		}
		insert := func(b block) {
			if err := Insert(ctx, conn, b.token, b.records); err != nil {
				rt.Fatal(err)
			}
		}
		for _, b := range blocks {
			insert(b)
		}
		once := content(t, ctx, conn)
		if got := count(t, ctx, conn, "SELECT count() FROM traffic.session"); got != uint64(len(want)) {
			rt.Fatalf("%d sessions are visible, want %d", got, len(want))
		}
		for id, end := range want {
			got := count(t, ctx, conn, "SELECT toUInt64(toUnixTimestamp64Milli(ended_at)) FROM traffic.session WHERE session_id = unhex(?)", id.String())
			if got != end {
				rt.Fatalf("session ends at %d, want %d of its highest version", got, end)
			}
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		random := rand.New(rand.NewPCG(seed, 0))
		for range rapid.IntRange(1, 3).Draw(rt, "repeats") {
			random.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
			for _, b := range blocks {
				if random.IntN(2) == 0 {
					b.token += "forgotten" // as if the token had left the window
				}
				insert(b)
			}
			if random.IntN(2) == 0 {
				if err := conn.Exec(ctx, "OPTIMIZE TABLE traffic.session_slice FINAL"); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if again := content(t, ctx, conn); again != once {
			rt.Fatalf("replay changed the content from\n%s\nto\n%s", once, again)
		}
	})
}

// TestReplayChangesNoSum sends blocks again, any of them, any number of times and in
// any order: neither the sum over a base table, past the view and its FINAL, nor
// that of a table fed from it by a materialised view moves.
func TestReplayChangesNoSum(t *testing.T) {
	checks(t, 10)
	ctx, conn, _ := newStore(t)
	for _, statement := range []string{
		`CREATE TABLE traffic.fed (access_ref FixedString(16), bytes UInt64) ENGINE = SummingMergeTree ORDER BY access_ref
SETTINGS non_replicated_deduplication_window = 100000`,
		"CREATE MATERIALIZED VIEW traffic.feed TO traffic.fed AS SELECT access_ref, sum(bytes) AS bytes FROM traffic.usage_bucket GROUP BY access_ref",
	} {
		if err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	var sent uint64 // bytes of everything that was ever inserted
	rows := 0       // in all; each has a key of its own, so that a merge removes none
	rapid.Check(t, func(rt *rapid.T) {
		run := fmt.Sprintf("run%d-", rows)
		blocks := make([][]Record, rapid.IntRange(1, 5).Draw(rt, "blocks"))
		order := rapid.SliceOfN(rapid.IntRange(0, len(blocks)-1), 0, 12).Draw(rt, "repeats")
		for b := range blocks {
			for range rapid.IntRange(1, 5).Draw(rt, "rows") {
				u := testUsage(rapid.Byte().Draw(rt, "line"), today(-rapid.IntRange(1, 3).Draw(rt, "day")))
				u.Bytes = uint64(rapid.Uint32().Draw(rt, "bytes"))
				u.CumulativeBytes = u.Bytes + uint64(rapid.Uint32().Draw(rt, "before"))
				rows++
				u.CounterID = ID{4, byte(rows >> 16), byte(rows >> 8), byte(rows)}
				blocks[b] = append(blocks[b], u)
				sent += u.Bytes
			}
			order = append(order, b)
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, b := range order {
			if err := Insert(ctx, conn, run+strconv.Itoa(b), blocks[b]); err != nil {
				rt.Fatal(err)
			}
		}
		for _, table := range []string{"traffic.usage_bucket", "traffic.fed"} {
			if got := count(t, ctx, conn, "SELECT sum(bytes) FROM "+table); got != sent {
				rt.Fatalf("%s: sum of bytes %d, want %d", table, got, sent)
			}
		}
	})
}

// TestInsertDeduplicates checks that a repeat writes nothing at all, so that a
// sum over the base table would hold too.
func TestInsertDeduplicates(t *testing.T) {
	ctx, conn, _ := newStore(t)
	records := oneOfEach(1, today(-1).Add(time.Hour))
	for range 3 {
		if err := Insert(ctx, conn, "same", records); err != nil {
			t.Fatal(err)
		}
	}
	for class, table := range tables {
		if got := count(t, ctx, conn, "SELECT count() FROM "+table); got != 1 {
			t.Errorf("%s: %d rows after three inserts with one token, want 1", class, got)
		}
	}
	var window string
	for class, table := range tables {
		err := conn.QueryRow(ctx, "SELECT extract(create_table_query, 'non_replicated_deduplication_window = (\\d+)') FROM system.tables WHERE concat(database, '.', name) = ?", table).Scan(&window)
		if err != nil || window != "100000" {
			t.Errorf("%s: deduplication window %q (%v), want 100000", class, window, err)
		}
	}
}
