package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"griffier/schema/engine/enginetest"
)

// mustExec runs a statement or fails the test.
func mustExec(t *testing.T, conn driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("exec %.80s: %v", sql, err)
	}
}

// count returns the single number that a statement selects.
func count(t *testing.T, conn driver.Conn, sql string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("query %.80s: %v", sql, err)
	}
	return n
}

// wantCode fails unless err carries a ClickHouse exception of that code.
func wantCode(t *testing.T, err error, code int32) *clickhouse.Exception {
	t.Helper()
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want a *clickhouse.Exception of code %d", err, err, code)
	}
	if e.Code != code {
		t.Fatalf("got code %d (%s), want %d", e.Code, e.Message, code)
	}
	return e
}

// row holds one value of every type that the schema uses.
type row struct {
	IP      netip.Addr `ch:"ip"`
	At      time.Time  `ch:"at"`
	Ref     []byte     `ch:"ref"`
	NAS     string     `ch:"nas"`
	Cause   string     `ch:"cause"`
	Ports   []uint16   `ch:"ports"`
	Ended   *time.Time `ch:"ended"`
	ID      uuid.UUID  `ch:"id"`
	Counter uint64     `ch:"counter"`
	Closed  bool       `ch:"closed"`
	Text    string     `ch:"text"`
}

const allTypes = `CREATE TABLE all_types (
	ip IPv6, at DateTime64(3, 'UTC'), ref FixedString(16), nas LowCardinality(String),
	cause Enum8('user' = 1, 'lost' = 2), ports Array(UInt16), ended Nullable(DateTime64(3, 'UTC')),
	id UUID, counter UInt64, closed Bool, text String
) ENGINE = MergeTree ORDER BY at`

func sampleRows() []row {
	ended := time.Date(2026, 3, 29, 1, 0, 0, 999e6, time.UTC)
	return []row{
		{
			IP: netip.MustParseAddr("2001:db8::1"), At: time.Date(2026, 3, 29, 0, 59, 59, 123e6, time.UTC),
			Ref: []byte("\x00\x01\x02\x03\n\r\x00\xff89abcdef"), NAS: "bras-1", Cause: "user", Ports: []uint16{1024, 65535},
			Ended: &ended, ID: uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), Counter: math.MaxUint64, Closed: true,
			Text: "tab\tnewline\nquote'back\\slash \x00 né",
		},
		{
			IP: netip.MustParseAddr("::ffff:192.0.2.1"), At: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
			Ref: bytes.Repeat([]byte{0}, 16), NAS: "", Cause: "lost", Ports: nil, Ended: nil, ID: uuid.Nil, Counter: 1<<63 + 1,
		},
	}
}

func TestTypesRoundTrip(t *testing.T) {
	for _, compression := range []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD,
		clickhouse.CompressionGZIP, clickhouse.CompressionDeflate,
	} {
		t.Run(compression.String(), func(t *testing.T) {
			db := enginetest.Start(t)
			conn := open(t, db, func(o *clickhouse.Options) {
				o.Compression = &clickhouse.Compression{Method: compression, Level: 1}
			})
			mustExec(t, conn, allTypes)
			want := sampleRows()
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO all_types")
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if err := batch.AppendStruct(&want[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			var got []row
			if err := conn.Select(t.Context(), &got, "SELECT * FROM all_types ORDER BY at DESC"); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("got %d rows, want %d", len(got), len(want))
			}
			for i := range want {
				compareRows(t, got[i], want[i])
			}
		})
	}
}

func compareRows(t *testing.T, got, want row) {
	t.Helper()
	if got.IP.Unmap() != want.IP.Unmap() || !got.At.Equal(want.At) || !bytes.Equal(got.Ref, want.Ref) ||
		got.NAS != want.NAS || got.Cause != want.Cause || fmt.Sprint(got.Ports) != fmt.Sprint(want.Ports) ||
		got.ID != want.ID || got.Counter != want.Counter || got.Closed != want.Closed || got.Text != want.Text {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if (got.Ended == nil) != (want.Ended == nil) || got.Ended != nil && !got.Ended.Equal(*want.Ended) {
		t.Errorf("ended: got %v, want %v", got.Ended, want.Ended)
	}
}

// open returns a client with changed options.
func open(t *testing.T, db *enginetest.Database, change func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	return openSocket(t, db.Socket, db.Name, change)
}

func TestLargeResultIsStreamed(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	const rows = 1_000_000
	result, err := conn.Query(t.Context(), "SELECT number, toString(number) FROM numbers(?)", rows)
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	var n, sum uint64
	for result.Next() {
		var number uint64
		var text string
		if err := result.Scan(&number, &text); err != nil {
			t.Fatal(err)
		}
		n++
		sum += number
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	if n != rows || sum != rows*(rows-1)/2 {
		t.Errorf("got %d rows with sum %d, want %d with %d", n, sum, rows, rows*(rows-1)/2)
	}
}

func TestExceptionsCarryTheirCode(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	for _, test := range []struct {
		name, sql string
		code      int32
	}{
		{"unknown table", "SELECT * FROM no_such_table", 60},
		{"unknown database", "SELECT * FROM no_such_database.t", 81},
		{"syntax", "SELECT FROM WHERE", 62},
		{"two statements", "SELECT 1; SELECT 2", 62},
		{"statement and rubbish", "SELECT 1; RUBBISH", 62},
		{"create twice", "CREATE DATABASE system", 82},
		{"unknown setting", "SELECT 1 SETTINGS no_such_setting = 1", 115},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantCode(t, conn.Exec(t.Context(), test.sql), test.code)
			rows, err := conn.Query(t.Context(), test.sql)
			if err == nil {
				rows.Close()
			}
			wantCode(t, err, test.code)
		})
	}
	t.Run("insert into unknown table", func(t *testing.T) {
		_, err := conn.PrepareBatch(t.Context(), "INSERT INTO no_such_table")
		wantCode(t, err, 60)
	})
	t.Run("unknown client setting", func(t *testing.T) {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1}))
		wantCode(t, conn.Exec(ctx, "SELECT 1"), 115)
	})
}

func TestExceptionAmidAResult(t *testing.T) {
	for _, compression := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4} {
		t.Run(compression.String(), func(t *testing.T) {
			conn := open(t, enginetest.Start(t), func(o *clickhouse.Options) {
				o.Compression = &clickhouse.Compression{Method: compression}
			})
			rows, err := conn.Query(t.Context(), "SELECT throwIf(number = 500000) FROM numbers(1000000) SETTINGS max_threads = 1")
			if err != nil {
				t.Fatalf("query failed before its first row: %v", err)
			}
			n := 0
			for rows.Next() {
				n++
			}
			if n == 0 {
				t.Error("got no rows before the exception")
			}
			wantCode(t, rows.Err(), 395)
			if err := conn.Ping(t.Context()); err != nil {
				t.Errorf("ping after a broken result: %v", err)
			}
		})
	}
}

func TestParameters(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	nasty := "'; DROP TABLE t; -- \\ \t \n \" ` {x:String} é \u2028"
	var text string
	var number uint64
	var list []string
	var absent *string
	err := conn.QueryRow(t.Context(), "SELECT {text:String}, {number:UInt64}, {list:Array(String)}, {absent:Nullable(String)}",
		clickhouse.Named("text", nasty), clickhouse.Named("number", uint64(math.MaxUint64)),
		clickhouse.Named("list", []string{nasty, ""}), clickhouse.Named("absent", nil)).Scan(&text, &number, &list, &absent)
	if err != nil {
		t.Fatal(err)
	}
	if text != nasty || number != math.MaxUint64 || len(list) != 2 || list[0] != nasty || absent != nil {
		t.Errorf("got %q %d %q %v", text, number, list, absent)
	}
	t.Run("in an insert", func(t *testing.T) {
		mustExec(t, conn, "CREATE TABLE p (a String) ENGINE = MergeTree ORDER BY a")
		mustExec(t, conn, "INSERT INTO p VALUES ({a:String})", clickhouse.Named("a", nasty))
		mustExec(t, conn, "INSERT INTO p SELECT {a:String}", clickhouse.Named("a", nasty))
		if n := count(t, conn, "SELECT count() FROM p WHERE a = {a:String}", clickhouse.Named("a", nasty)); n != 2 {
			t.Errorf("got %d rows, want 2", n)
		}
	})
	t.Run("missing", func(t *testing.T) {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"other": "1"}))
		wantCode(t, conn.QueryRow(ctx, "SELECT {absent:String}").Err(), 456)
	})
}

func TestLargeParameter(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	refs := make([]string, 50_000)
	for i := range refs {
		refs[i] = fmt.Sprintf("%032x", i)
	}
	n := count(t, conn, "SELECT length(arrayDistinct({refs:Array(String)}))",
		clickhouse.Named("refs", refs))
	if n != uint64(len(refs)) {
		t.Errorf("got %d, want %d", n, len(refs))
	}
}

// TestSparseColumns reads a column that the engine stores sparsely, which the
// plain Native form does not know.
func TestSparseColumns(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	mustExec(t, conn, `CREATE TABLE sparse (id UInt64, bytes UInt64, cause LowCardinality(String), note String) ENGINE = MergeTree ORDER BY id`)
	mustExec(t, conn, "INSERT INTO sparse SELECT number, if(number % 1000 = 7, number, 0), '', if(number = 7, 'x', '') FROM numbers(100000)")
	if n := count(t, conn, `SELECT count() FROM system.parts_columns WHERE table = 'sparse' AND database = currentDatabase()
		AND active AND serialization_kind = 'Sparse'`); n == 0 {
		t.Fatal("no column is stored sparsely: this tests nothing")
	}
	rows, err := conn.Query(t.Context(), "SELECT id, bytes, cause, note FROM sparse ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var n uint64
	for ; rows.Next(); n++ {
		var id, volume uint64
		var cause, note string
		if err := rows.Scan(&id, &volume, &cause, &note); err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		if id%1000 == 7 {
			want = id
		}
		if id != n || volume != want || cause != "" || (note == "x") != (id == 7) {
			t.Fatalf("row %d: got %d %d %q %q", n, id, volume, cause, note)
		}
	}
	if err := rows.Err(); err != nil || n != 100_000 {
		t.Errorf("got %d rows, %v", n, err)
	}
}

func TestSettings(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	with := func(s clickhouse.Settings) context.Context {
		return clickhouse.Context(t.Context(), clickhouse.WithSettings(s))
	}
	t.Run("per query", func(t *testing.T) {
		var threads string
		err := conn.QueryRow(with(clickhouse.Settings{"max_threads": 3}), "SELECT toString(getSetting('max_threads'))").Scan(&threads)
		if err != nil || threads != "3" {
			t.Errorf("got %q, %v; want 3", threads, err)
		}
		err = conn.QueryRow(t.Context(), "SELECT toString(getSetting('max_threads'))").Scan(&threads)
		if err != nil || threads == "3" {
			t.Errorf("setting leaked to the next query: got %q, %v", threads, err)
		}
	})
	t.Run("text with quotes", func(t *testing.T) {
		var comment string
		err := conn.QueryRow(with(clickhouse.Settings{"log_comment": `it's \ "x"`}), "SELECT getSetting('log_comment')").Scan(&comment)
		if err != nil || !strings.HasSuffix(comment, ` it's \ "x"`) {
			t.Errorf("got %q, %v", comment, err)
		}
	})
	t.Run("limits hold", func(t *testing.T) {
		err := conn.QueryRow(with(clickhouse.Settings{"max_result_rows": 10}), "SELECT number FROM numbers(100)").Err()
		wantCode(t, err, 396)
	})
	t.Run("readonly", func(t *testing.T) {
		mustExec(t, conn, "CREATE TABLE ro (a UInt8) ENGINE = MergeTree ORDER BY a")
		for _, level := range []int{1, 2} {
			ctx := with(clickhouse.Settings{"readonly": level, "max_threads": 1})
			if err := conn.QueryRow(ctx, "SELECT count() FROM ro").Err(); err != nil {
				t.Errorf("readonly=%d select: %v", level, err)
			}
			wantCode(t, conn.Exec(ctx, "INSERT INTO ro VALUES (1)"), 164)
			wantCode(t, conn.Exec(ctx, "DROP TABLE ro"), 164)
			wantCode(t, conn.Exec(ctx, "CREATE TABLE ro2 (a UInt8) ENGINE = Memory"), 164)
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO ro")
			if err != nil {
				t.Fatal(err)
			}
			if err := batch.Append(uint8(1)); err != nil {
				t.Fatal(err)
			}
			wantCode(t, batch.Send(), 164)
		}
	})
	t.Run("pinned", func(t *testing.T) {
		for name, want := range map[string]string{
			"async_insert": "0", "log_queries": "0", "deduplicate_blocks_in_dependent_materialized_views": "1",
		} {
			var got string
			err := conn.QueryRow(t.Context(), "SELECT value FROM system.settings WHERE name = {n:String}", clickhouse.Named("n", name)).Scan(&got)
			if err != nil || got != want {
				t.Errorf("%s = %q, %v; want %s", name, got, err, want)
			}
			flipped := map[string]string{"0": "1", "1": "0"}[want]
			wantCode(t, conn.Exec(with(clickhouse.Settings{name: flipped}), "SELECT 1"), 452)
			wantCode(t, conn.Exec(t.Context(), "SELECT 1 SETTINGS "+name+" = "+flipped), 452)
		}
		for _, name := range []string{"fsync_after_insert", "fsync_part_directory"} {
			var got string
			err := conn.QueryRow(t.Context(), "SELECT value FROM system.merge_tree_settings WHERE name = {n:String}", clickhouse.Named("n", name)).Scan(&got)
			if err != nil || got != "1" {
				t.Errorf("%s = %q, %v; want 1", name, got, err)
			}
		}
	})
}

func TestInsertForms(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	mustExec(t, conn, "CREATE TABLE forms (a UInt64, b String DEFAULT 'none') ENGINE = MergeTree ORDER BY a")
	mustExec(t, conn, "INSERT INTO forms VALUES (1, 'x'),\n(2, 'y;z')")
	mustExec(t, conn, "INSERT INTO forms (a) VALUES (?)", 3)
	mustExec(t, conn, "INSERT INTO forms FORMAT JSONEachRow\n{\"a\": 4}\n{\"a\": 5, \"b\": \"five\"}")
	mustExec(t, conn, "INSERT INTO forms SELECT number, 'sel' FROM numbers(6, 2)")
	if err := conn.InsertFormat(t.Context(), "CSV", "INSERT INTO forms", strings.NewReader("8,eight\n9,nine\n")); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO forms (a) SETTINGS max_threads = 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Append(uint64(10)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var all string
	if err := conn.QueryRow(t.Context(), "SELECT arrayStringConcat(arraySort(groupArray(toString(a) || b)), ' ') FROM forms").Scan(&all); err != nil {
		t.Fatal(err)
	}
	const want = "10none 1x 2y;z 3none 4none 5five 6sel 7sel 8eight 9nine"
	if all != want {
		t.Errorf("got %q, want %q", all, want)
	}
	t.Run("bad data", func(t *testing.T) {
		err := conn.InsertFormat(t.Context(), "CSV", "INSERT INTO forms", strings.NewReader("not a number,x\n"))
		wantCode(t, err, 27)
	})
}

func TestDeduplicationToken(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	mustExec(t, conn, `CREATE TABLE usage (line UInt64, bytes UInt64) ENGINE = MergeTree ORDER BY line
		SETTINGS non_replicated_deduplication_window = 1000`)
	mustExec(t, conn, `CREATE TABLE daily (line UInt64, bytes UInt64) ENGINE = SummingMergeTree ORDER BY line
		SETTINGS non_replicated_deduplication_window = 1000`)
	mustExec(t, conn, "CREATE MATERIALIZED VIEW usage_daily TO daily AS SELECT line, sum(bytes) AS bytes FROM usage GROUP BY line")
	send := func(token string, rows int) {
		t.Helper()
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token}))
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO usage")
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			if err := batch.Append(uint64(i), uint64(1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		token string
		total uint64
	}{{"segment-1", 10}, {"segment-1", 10}, {"segment-2", 20}, {"segment-1", 20}, {"segment-2", 20}} {
		send(step.token, 10)
		if got := count(t, conn, "SELECT sum(bytes) FROM usage"); got != step.total {
			t.Errorf("after %s: usage holds %d, want %d", step.token, got, step.total)
		}
		if got := count(t, conn, "SELECT sum(bytes) FROM daily"); got != step.total {
			t.Errorf("after %s: the view's table holds %d, want %d", step.token, got, step.total)
		}
	}
}
