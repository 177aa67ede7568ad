package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// fillDays stores n lines with an hour's session, assignment and usage on each
// of the given number of days before today, written by the engine itself.
func fillDays(t testing.TB, ctx context.Context, conn driver.Conn, days, lines int) {
	t.Helper()
	rows := fmt.Sprintf(`
toDateTime64(today() - 1 - intDiv(number, %d), 3, 'UTC') AS day,
toFixedString(MD5(toString(number %% %d)), 16) AS ref,
toFixedString(MD5(toString(number)), 16) AS id`, lines, lines)
	for _, statement := range []string{
		`INSERT INTO traffic.session_slice (session_id, access_ref, session_started_at, started_at, ended_at, version, class)
SELECT id, ref, day, day, addHours(day, 20), 1, 'session' FROM (SELECT %s FROM numbers(%d))`,
		`INSERT INTO traffic.assignment_slice (session_id, access_ref, prefix_address, prefix_length, port_end, started_at, length_ms, version)
SELECT id, ref, toIPv6(IPv4NumToString(toUInt32(167772160 + number %% 10000))), 128, 65535, day, 20 * 3600000, 1 FROM (SELECT number, %s FROM numbers(%d))`,
		`INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, sampled_at, direction, ip_version, moved_bytes, counter_bytes, counter_id)
SELECT ref, addMinutes(day, 5 * hour), day, 'up', 4, 1, 1 + hour, id FROM (SELECT arrayJoin(range(4)) AS hour, %s FROM numbers(%d))`,
		`INSERT INTO traffic.coverage_slice (coverage_id, collector_id, state, started_at, ended_at, version, class)
SELECT id, concat('c', toString(number %% 100)), 'covered', day, addHours(day, 20), 1, 'coverage' FROM (SELECT number, %s FROM numbers(%d))`,
	} {
		statement = fmt.Sprintf(statement, rows, days*lines) + " SETTINGS max_partitions_per_insert_block = 0"
		if err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
}

// indexUse is what EXPLAIN says of one index.
type indexUse struct {
	Type             string
	Keys             []string
	InitialGranules  int `json:"Initial Granules"`
	SelectedGranules int `json:"Selected Granules"`
}

// explain returns the indexes that a query uses.
func explain(t testing.TB, ctx context.Context, conn driver.Conn, query string, args ...any) []indexUse {
	t.Helper()
	var text string
	if err := conn.QueryRow(ctx, "EXPLAIN indexes = 1, json = 1 "+query, args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var plan any
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatal(err)
	}
	var uses []indexUse
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				walk(child)
			}
		case map[string]any:
			if indexes, ok := node["Indexes"]; ok {
				again, _ := json.Marshal(indexes)
				var found []indexUse
				if err := json.Unmarshal(again, &found); err != nil {
					t.Fatal(err)
				}
				uses = append(uses, found...)
			}
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(plan)
	return uses
}

// whoHeld is the look-up of one address at one instant, as the api asks it.
const whoHeld = `SELECT access_ref FROM traffic.assignment
WHERE prefix_address = toIPv6(?) AND prefix_length = 128
  AND started_at > ? AND started_at <= ? AND ended_at > ?`

// TestLookUpsUseThePrimaryKey checks that a reader's conditions go through the
// view, past FINAL and the expiry filter, into the sort key.
func TestLookUpsUseThePrimaryKey(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P6M")
	fillDays(t, ctx, conn, 4, 20_000)
	at := today(-2).Add(12 * time.Hour)
	from := at.Add(-24 * time.Hour)
	ref := "c4ca4238a0b923820dcc509a6f75849b" // MD5 of "1"
	for _, c := range []struct {
		name, query string
		args        []any
		keys        []string
		granules    int // at most, of the two days that the window touches
	}{
		{"who held", whoHeld, []any{"10.0.7.7", from, at, at}, []string{"prefix_address", "prefix_length", "started_at"}, 2},
		{"sessions", "SELECT * FROM traffic.session WHERE access_ref = unhex(?) AND started_at > ? AND started_at <= ?", []any{ref, from, at}, []string{"access_ref", "started_at"}, 2},
		{"usage", "SELECT sum(bytes) FROM traffic.usage WHERE access_ref = unhex(?) AND bucket_started_at >= ? AND bucket_started_at < ?", []any{ref, from, at}, []string{"access_ref"}, 2},
		{"coverage", "SELECT * FROM traffic.coverage WHERE collector_id = ? AND started_at > ? AND started_at <= ?", []any{"c7", from, at}, []string{"collector_id", "started_at"}, 2},
	} {
		if got := count(t, ctx, conn, "SELECT count() FROM ("+c.query+")", c.args...); got != 1 && c.name != "coverage" && c.name != "who held" {
			t.Errorf("%s: found %d rows, want 1", c.name, got)
		}
		found := false
		for _, use := range explain(t, ctx, conn, c.query, c.args...) {
			if use.Type != "PrimaryKey" {
				continue
			}
			found = true
			if fmt.Sprint(use.Keys) != fmt.Sprint(c.keys) {
				t.Errorf("%s: primary key used by %v, want %v", c.name, use.Keys, c.keys)
			}
			if use.SelectedGranules > c.granules || use.SelectedGranules == 0 {
				t.Errorf("%s: reads %d of %d granules, want 1 to %d", c.name, use.SelectedGranules, use.InitialGranules, c.granules)
			}
		}
		if !found {
			t.Errorf("%s: the primary key is not used", c.name)
		}
	}
}
