package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/api/register"
	"griffier/schema"
)

// customer is a line of the tables below, written into the real register.
type customer struct {
	id, zone string
	held     []register.Held
}

// registered writes lines into the register's tables as PutLine does, without
// persons, whom the roll-up does not read.
func registered(t testing.TB, conn driver.Conn, customers ...customer) {
	t.Helper()
	registeredAt(t, conn, time.Now(), customers...)
}

func registeredAt(t testing.TB, conn driver.Conn, at time.Time, customers ...customer) {
	t.Helper()
	ctx := context.Background()
	version := uint64(at.UnixNano())
	lines, err := conn.PrepareBatch(ctx, "INSERT INTO register.line (line_id, account_id, time_zone, billing_day, contract_start, contract_end, version)")
	if err != nil {
		t.Fatal(err)
	}
	access, err := conn.PrepareBatch(ctx, "INSERT INTO register.line_access (line_id, access_ref, valid_from, valid_to, version)")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range customers {
		if err := lines.Append(c.id, "acc", c.zone, uint8(1), day(-1000), schema.Forever, version); err != nil {
			t.Fatal(err)
		}
		for _, h := range c.held {
			n++
			if err := access.Append(c.id, string(h.Ref[:]), h.ValidFrom, h.ValidTo, version); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n > 0 {
		if err := access.Send(); err != nil {
			t.Fatal(err)
		}
	}
	if err := lines.Send(); err != nil {
		t.Fatal(err)
	}
}

func newRoller(conn driver.Conn) *Roller {
	lines, err := register.New(register.Config{Conn: conn, BlindKey: make([]byte, 32), Now: time.Now})
	if err != nil {
		panic(err)
	}
	return NewRoller(conn, lines, prometheus.NewRegistry(), time.Now, slog.New(slog.DiscardHandler))
}

func roll(t testing.TB, conn driver.Conn) Rolled {
	t.Helper()
	done, err := newRoller(conn).Roll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// dayRows is what the view shows of a reference: bytes by interval.
func dayRows(t testing.TB, conn driver.Conn, ref byte) map[string]uint64 {
	t.Helper()
	rows, err := conn.Query(context.Background(), `SELECT started_at, ended_at, sum(bytes) FROM traffic.usage_day
		WHERE access_ref = unhex(?) GROUP BY started_at, ended_at`, schema.AccessRef{ref}.String())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]uint64{}
	for rows.Next() {
		var start, end time.Time
		var n uint64
		if err := rows.Scan(&start, &end, &n); err != nil {
			t.Fatal(err)
		}
		out[span(start, end)] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func span(start, end time.Time) string {
	return start.UTC().Format("01-02T15:04") + "/" + end.UTC().Format("01-02T15:04")
}

func wantDays(t testing.TB, conn driver.Conn, ref byte, want map[string]uint64) {
	t.Helper()
	if got := dayRows(t, conn, ref); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("days %v, want %v", got, want)
	}
}

// local returns the UTC instant of a local hour some days from today.
func local(t testing.TB, zone string, days, hour int) time.Time {
	t.Helper()
	loc := load2(t, zone)
	y, m, d := day(days).Date()
	return time.Date(y, m, d, hour, 0, 0, 0, loc).UTC()
}

func load2(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

const (
	amsterdam = "Europe/Amsterdam"
	kathmandu = "Asia/Kathmandu" // UTC+5:45
)

func TestRollCutsAtLocalMidnight(t *testing.T) {
	_, conn := store(t)
	registered(t, conn, customer{"L-1", amsterdam, []register.Held{always(1)}}, customer{"L-2", kathmandu, []register.Held{always(2)}})
	const last = schema.BucketLength
	for ref, zone := range map[byte]string{1: amsterdam, 2: kathmandu} {
		a, b, c := local(t, zone, -4, 0), local(t, zone, -3, 0), local(t, zone, -2, 0)
		put(t, conn, used(ref, a, schema.Up, 4, 1), used(ref, b.Add(-last), schema.Down, 6, 20), used(ref, b, schema.Down, 4, 300),
			used(ref, c.Add(-last), schema.Up, 6, 4000), used(ref, c, schema.Up, 4, 50000))
	}
	first := roll(t, conn)
	if first.Rows != 2*5*2 { // both directions of an IP version
		t.Errorf("%d rows written, want 20", first.Rows)
	}
	for ref, zone := range map[byte]string{1: amsterdam, 2: kathmandu} {
		a, b, c, d := local(t, zone, -4, 0), local(t, zone, -3, 0), local(t, zone, -2, 0), local(t, zone, -1, 0)
		wantDays(t, conn, ref, map[string]uint64{span(a, b): 21, span(b, c): 4300, span(c, d): 50000})
	}
	if again := roll(t, conn); again.Rows != 0 || len(again.Late) != 0 {
		t.Errorf("nothing changed, and yet %+v", again)
	}
}

func TestRollTakesLateRowsIn(t *testing.T) {
	_, conn := store(t)
	registered(t, conn, customer{"L-1", amsterdam, []register.Held{always(1)}})
	a, b := local(t, amsterdam, -4, 0), local(t, amsterdam, -3, 0)
	early := used(1, a, schema.Up, 4, 1)
	put(t, conn, early)
	roll(t, conn)
	wantDays(t, conn, 1, map[string]uint64{span(a, b): 1})
	late := used(1, a.Add(5*time.Hour), schema.Up, 4, 10)
	put(t, conn, early, late)
	put(t, conn, late, early)
	if done := roll(t, conn); done.Late[lateCounted] != 1 || done.Rows == 0 {
		t.Errorf("%+v, want one late row, however often it came", done)
	}
	wantDays(t, conn, 1, map[string]uint64{span(a, b): 11})
	put(t, conn, early, late) // a replay that the store does not recognise by its token
	if done := roll(t, conn); done.Rows != 0 || len(done.Late) != 0 {
		t.Errorf("a replay changed %+v", done)
	}
	wantDays(t, conn, 1, map[string]uint64{span(a, b): 11})
}

// TestRollNeverCountsDown: of a day that has lost buckets nothing is summed anew.
func TestRollNeverCountsDown(t *testing.T) {
	ctx, conn := store(t)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1)}})
	put(t, conn, used(1, day(-6), schema.Up, 4, 1), used(1, day(-6).Add(23*time.Hour), schema.Up, 4, 10), used(1, day(-3), schema.Up, 4, 7))
	roll(t, conn)
	want := map[string]uint64{span(day(-6), day(-5)): 11, span(day(-3), day(-2)): 7}
	wantDays(t, conn, 1, want)
	// Buckets are kept for 5.5 days from now on, days for six months.
	policies, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	since := time.Since(day(-6).Add(12 * time.Hour))
	for i := range policies {
		if policies[i].Class == schema.ClassUsage5m {
			policies[i].Period = fmt.Sprintf("PT%dS", int(since.Seconds()))
		}
	}
	if err := schema.WritePolicy(ctx, conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
	if done := roll(t, conn); done.Rows != 0 {
		t.Errorf("expiry alone wrote %d rows", done.Rows)
	}
	put(t, conn, used(1, day(-6).Add(22*time.Hour), schema.Up, 4, 100), used(1, day(-3).Add(time.Hour), schema.Up, 4, 70))
	if done := roll(t, conn); done.Late[lateElapsed] != 1 || done.Late[lateCounted] != 1 {
		t.Errorf("late %v, want one counted and one elapsed", done.Late)
	}
	want[span(day(-3), day(-2))] = 77
	wantDays(t, conn, 1, want)
	if done := roll(t, conn); done.Rows != 0 || len(done.Late) != 0 {
		t.Errorf("once more: %+v", done)
	}
}

// interrupted runs something once, just before the first query that says a phrase.
type interrupted struct {
	driver.Conn
	phrase string
	once   sync.Once
	first  func()
}

func (i *interrupted) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	if strings.Contains(query, i.phrase) {
		i.once.Do(i.first)
	}
	return i.Conn.Query(ctx, query, args...)
}

// TestRollUnderAPolicyThatIsShortened: the policy changes after a run found a day to
// be whole and before it sums it. The buckets are gone by then, and the day is not
// written down to what is left of it.
func TestRollUnderAPolicyThatIsShortened(t *testing.T) {
	ctx, conn := store(t)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1)}})
	put(t, conn, used(1, day(-6), schema.Up, 4, 1), used(1, day(-6).Add(23*time.Hour), schema.Up, 4, 10))
	roll(t, conn)
	want := map[string]uint64{span(day(-6), day(-5)): 11}
	wantDays(t, conn, 1, want)
	put(t, conn, used(1, day(-6).Add(22*time.Hour), schema.Up, 4, 100)) // late
	swapped := false
	racing := &interrupted{Conn: conn, phrase: "FROM traffic.usage\n", first: func() {
		policies, err := schema.ReadPolicy(ctx, conn)
		if err != nil {
			t.Error(err)
		}
		for i := range policies {
			if policies[i].Class == schema.ClassUsage5m {
				policies[i].Period = fmt.Sprintf("PT%dS", int(time.Since(day(-6).Add(12*time.Hour)).Seconds()))
			}
		}
		if err := schema.WritePolicy(ctx, conn, schema.ProfileNL, policies); err != nil {
			t.Error(err)
		}
		swapped = true
	}}
	if _, err := newRoller(racing).Roll(ctx); !errors.Is(err, errExpired) || !swapped {
		t.Errorf("a run that the policy was shortened under (%t): %v", swapped, err)
	}
	wantDays(t, conn, 1, want)
	if done := roll(t, conn); done.Rows != 0 || done.Late[lateElapsed] != 1 {
		t.Errorf("the next run: %+v, want one late row that came too late", done)
	}
	wantDays(t, conn, 1, want)
}

// TestRollOfALineThatMoves: a reference passes from one line to another, of
// another zone, in the middle of a day; then the register is corrected.
func TestRollOfALineThatMoves(t *testing.T) {
	_, conn := store(t)
	moved := local(t, amsterdam, -3, 10)
	until := func(at time.Time) register.Held { h := always(1); h.ValidTo = at; return h }
	from := func(at time.Time) register.Held { h := always(1); h.ValidFrom = at; return h }
	registered(t, conn, customer{"L-1", amsterdam, []register.Held{until(moved.Add(time.Minute))}},
		customer{"L-2", kathmandu, []register.Held{from(moved.Add(time.Minute))}})
	a, b := local(t, amsterdam, -3, 0), local(t, kathmandu, -2, 0)
	put(t, conn, used(1, a, schema.Up, 4, 1), used(1, moved, schema.Up, 4, 10), used(1, moved.Add(schema.BucketLength), schema.Up, 4, 100), used(1, b, schema.Up, 4, 1000))
	roll(t, conn)
	cut := moved.Add(schema.BucketLength) // the first bucket that starts after it
	next := local(t, kathmandu, -1, 0)
	wantDays(t, conn, 1, map[string]uint64{span(a, cut): 11, span(cut, b): 100, span(b, next): 1000})
	// It was an hour earlier, says the register now; the old interval is closed as PutLine would.
	moved = moved.Add(-time.Hour)
	access, err := conn.PrepareBatch(context.Background(), "INSERT INTO register.line_access (line_id, access_ref, valid_from, valid_to, version)")
	if err != nil {
		t.Fatal(err)
	}
	ref := schema.AccessRef{1}
	old := from(cut.Add(-4 * time.Minute))
	if err := access.Append("L-2", string(ref[:]), old.ValidFrom, old.ValidFrom, uint64(time.Now().UnixNano())); err != nil {
		t.Fatal(err)
	}
	if err := access.Send(); err != nil {
		t.Fatal(err)
	}
	registered(t, conn, customer{"L-1", amsterdam, []register.Held{until(moved)}}, customer{"L-2", kathmandu, []register.Held{from(moved)}})
	roll(t, conn)
	wantDays(t, conn, 1, map[string]uint64{span(a, moved): 1, span(moved, b): 110, span(b, next): 1000})
	if done := roll(t, conn); done.Rows != 0 {
		t.Errorf("once more wrote %d rows", done.Rows)
	}
}

// TestRollOfALineThatChangesZone: days that were cut stay so; the next begin where
// the last ended.
func TestRollOfALineThatChangesZone(t *testing.T) {
	_, conn := store(t)
	registered(t, conn, customer{"L-1", amsterdam, []register.Held{always(1)}})
	a, b := local(t, amsterdam, -4, 0), local(t, amsterdam, -3, 0)
	put(t, conn, used(1, a, schema.Up, 4, 1), used(1, b.Add(-schema.BucketLength), schema.Up, 4, 10))
	roll(t, conn)
	wantDays(t, conn, 1, map[string]uint64{span(a, b): 11})
	registered(t, conn, customer{"L-1", kathmandu, []register.Held{always(1)}})
	c, d := local(t, kathmandu, -3, 0), local(t, kathmandu, -2, 0) // begins before b
	put(t, conn, used(1, a.Add(time.Hour), schema.Up, 4, 100), used(1, b, schema.Up, 4, 1000), used(1, d, schema.Up, 4, 10000))
	roll(t, conn)
	if !c.Before(b) {
		t.Fatalf("%v is not before %v, so the test tests nothing", c, b)
	}
	wantDays(t, conn, 1, map[string]uint64{span(a, b): 111, span(b, d): 1000, span(d, local(t, kathmandu, -1, 0)): 10000})
	if done := roll(t, conn); done.Rows != 0 {
		t.Errorf("once more wrote %d rows", done.Rows)
	}
}

// TestRollRefusesAZoneThatBucketsStraddle: no zone in use is one, so the tables'
// own check is asked.
func TestRollRefusesAZoneThatBucketsStraddle(t *testing.T) {
	odd := time.FixedZone("odd", 7*60)
	w := Window{day(-3), day(0)}
	if err := checkCuts(w, odd); err == nil {
		t.Error("a midnight at seven past was accepted")
	}
	for _, zone := range zones {
		if err := checkCuts(Window{day(-700), day(700)}, load2(t, zone)); err != nil {
			t.Errorf("%s: %v", zone, err)
		}
	}
	_, conn := store(t)
	registered(t, conn, customer{"L-1", "Mars/Olympus", []register.Held{always(1)}}, customer{"L-2", "UTC", []register.Held{always(2)}})
	put(t, conn, used(1, day(-3), schema.Up, 4, 1), used(2, day(-3), schema.Up, 4, 1))
	if done := roll(t, conn); done.Refused != 1 || done.Rows != 2 {
		t.Errorf("%+v, want one line refused and the other rolled up", done)
	}
}

// TestRollOfSeveralThatCount: a kernel's count replaces a BNG's on its UTC days,
// and of a redundant pair one counts.
func TestRollOfSeveralThatCount(t *testing.T) {
	_, conn := store(t)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1), always(2)}}, customer{"L-2", "UTC", []register.Held{always(3)}})
	bng := func(ref, counter byte, collector string, at time.Time, bytes uint64) *schema.Usage {
		u := used(ref, at, schema.Down, 0, bytes)
		u.Source, u.IPVersion, u.CounterID, u.CollectorID = schema.UsageRADIUS, 0, schema.ID{8, counter}, collector
		return u
	}
	session := func(ref, id byte, collector string) *schema.Session {
		return &schema.Session{SessionID: schema.ID{8, id}, AccessRef: schema.AccessRef{ref}, SessionStartedAt: day(-5), StartedAt: day(-5), EndedAt: day(-4),
			Version: 1, EndCause: schema.EndCut, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "bras", NASPort: "1", CollectorID: collector}
	}
	at := day(-4).Add(10 * time.Hour)
	put(t, conn, used(1, at, schema.Down, 4, 100), bng(2, 1, "c1", at.Add(time.Hour), 120), bng(2, 1, "c1", day(-3), 1000),
		session(3, 3, "a"), session(3, 4, "b"), bng(3, 3, "a", day(-5), 50), bng(3, 4, "b", day(-5), 50), bng(3, 3, "a", day(-5).Add(time.Hour), 5))
	roll(t, conn)
	d4, d3 := span(day(-4), day(-3)), span(day(-3), day(-2))
	wantDays(t, conn, 1, map[string]uint64{d4: 100})
	wantDays(t, conn, 2, map[string]uint64{d4: 0, d3: 1000})
	wantDays(t, conn, 3, map[string]uint64{span(day(-5), day(-4)): 55})
	// The other of the pair was told more, on another day: every day follows.
	put(t, conn, bng(3, 4, "b", day(-2), 500))
	roll(t, conn)
	wantDays(t, conn, 3, map[string]uint64{span(day(-5), day(-4)): 50, span(day(-2), day(-1)): 500})
	if done := roll(t, conn); done.Rows != 0 {
		t.Errorf("once more wrote %d rows", done.Rows)
	}
}

// TestATileIsInsertedWhole: a reader takes any row of a tile for all of it.
func TestATileIsInsertedWhole(t *testing.T) {
	row := func(ref byte, n int) *schema.UsageDay {
		return &schema.UsageDay{AccessRef: schema.AccessRef{ref}, StartedAt: day(n)}
	}
	rows := []*schema.UsageDay{row(1, -2), row(1, -2), row(1, -1), row(1, -1), row(1, -1), row(2, -1)}
	for most, want := range map[int]int{1: 2, 2: 2, 3: 5, 4: 5, 5: 5, 6: 6, 9: 6} {
		if got := wholeTiles(rows, most); got != want {
			t.Errorf("at most %d: %d rows, want %d", most, got, want)
		}
	}
}

// TestRollMetrics: how a run went is told, and of whom is not.
func TestRollMetrics(t *testing.T) {
	_, conn := store(t)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1)}}, customer{"L-2", "Mars/Olympus", []register.Held{always(2)}})
	put(t, conn, used(1, day(-3), schema.Up, 4, 1))
	lines, err := register.New(register.Config{Conn: conn, BlindKey: make([]byte, 32), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	roller := NewRoller(conn, lines, registry, time.Now, slog.New(slog.DiscardHandler))
	for range 2 {
		if _, err := roller.Roll(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, conn, used(1, day(-3).Add(time.Hour), schema.Up, 4, 2))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := roller.Roll(gone); err == nil {
		t.Error("rolled up without a store")
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{"griffier_usage_roll_runs_total ok": 2, "griffier_usage_roll_runs_total failed": 1, "griffier_usage_roll_late_rows_total counted": 1,
		"griffier_usage_roll_late_rows_total elapsed": 0, "griffier_usage_roll_rows_total": 3, "griffier_usage_roll_refused_lines": 1} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if last := got["griffier_usage_roll_last_success_timestamp_seconds"]; time.Since(time.Unix(int64(last), 0)) > time.Hour {
		t.Errorf("last success %v", last)
	}
}
