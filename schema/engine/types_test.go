package engine_test

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"griffier/schema/engine/enginetest"
)

// TestEphemeralAndAliasColumns: two 64-bit numbers go in, one 128-bit number is
// stored, and the two and their difference come out, to the ends of their range.
func TestEphemeralAndAliasColumns(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	mustExec(t, conn, `CREATE TABLE readings (k UInt64, moved UInt64 EPHEMERAL, counter UInt64 EPHEMERAL,
		both UInt128 DEFAULT bitOr(bitShiftLeft(toUInt128(counter), 64), toUInt128(counter - moved)) CODEC(Delta(8), ZSTD),
		bytes UInt64 ALIAS toUInt64(bitShiftRight(both, 64)) - toUInt64(both), cumulative UInt64 ALIAS toUInt64(bitShiftRight(both, 64)))
		ENGINE = MergeTree ORDER BY k`)
	type reading struct{ moved, counter uint64 }
	want := []reading{{0, 0}, {0, math.MaxUint64}, {math.MaxUint64, math.MaxUint64}, {1, math.MaxUint64}, {1 << 63, 1 << 63}, {5, 1<<63 + 4}, {1, 1}}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO readings (k, moved, counter)")
	if err != nil {
		t.Fatal(err)
	}
	for k, r := range want {
		if err := batch.Append(uint64(k), r.moved, r.counter); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	for k, r := range want {
		var got reading
		var both big.Int
		if err := conn.QueryRow(t.Context(), "SELECT bytes, cumulative, both FROM readings WHERE k = ?", k).Scan(&got.moved, &got.counter, &both); err != nil {
			t.Fatal(err)
		}
		stored := new(big.Int).Lsh(new(big.Int).SetUint64(r.counter), 64)
		stored.Or(stored, new(big.Int).SetUint64(r.counter-r.moved))
		if got != r || both.Cmp(stored) != 0 {
			t.Errorf("%d: got %+v and %v, want %+v and %v", k, got, &both, r, stored)
		}
	}
}

// TestLabelsAreConverted sends text to columns that hold it by a dictionary, as
// inserts do because the engine makes dictionaries faster than the client.
func TestLabelsAreConverted(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	mustExec(t, conn, "CREATE TABLE labels (k UInt64, label LowCardinality(String), cause Enum8('' = 0, 'cut' = 1)) ENGINE = MergeTree ORDER BY k")
	const rows = 70_000 // more than a dictionary of 16 bits holds
	ks, labels, causes := make([]uint64, rows), make([]string, rows), make([]string, rows)
	for i := range rows {
		ks[i], labels[i], causes[i] = uint64(i), fmt.Sprint("label-", i), []string{"", "cut"}[i%2]
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithColumnNamesAndTypes([]clickhouse.ColumnNameAndType{
		{Name: "k", Type: "UInt64"}, {Name: "label", Type: "String"}, {Name: "cause", Type: "String"}}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO labels (k, label, cause)")
	if err != nil {
		t.Fatal(err)
	}
	for i, column := range []any{ks, labels, causes} {
		if err := batch.Column(i).Append(column); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, conn, "SELECT countIf(label = concat('label-', toString(k)) AND cause = if(k % 2 = 0, '', 'cut')) FROM labels"); n != rows {
		t.Errorf("%d rows are as they were sent, want %d", n, rows)
	}
	if err := conn.Select(t.Context(), &[]struct {
		Label string `ch:"label"`
	}{}, "SELECT label FROM labels"); err != nil {
		t.Errorf("a dictionary of %d labels is not read: %v", rows, err)
	}
}

// wide is one value of every type that the schema uses or may come to use.
type wide struct {
	IP      netip.Addr  `ch:"ip"`
	MaybeIP *netip.Addr `ch:"maybe_ip"`
	At      time.Time   `ch:"at"`
	Refs    []string    `ch:"refs"`
	Label   *string     `ch:"label"`
	Kind    string      `ch:"kind"`
	ID      uuid.UUID   `ch:"id"`
	Counter uint64      `ch:"counter"`
	Signed  int64       `ch:"signed"`
	Lists   [][]uint16  `ch:"lists"`
}

// TestAnyValueRoundTrips is a property of all types: what goes in comes out.
func TestAnyValueRoundTrips(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	mustExec(t, conn, `CREATE TABLE wide (n UInt64, ip IPv6, maybe_ip Nullable(IPv6), at DateTime64(3, 'UTC'), refs Array(FixedString(16)),
		label LowCardinality(Nullable(String)), kind Enum16('a' = -32768, 'b' = 0, 'c' = 32767), id UUID, counter UInt64, signed Int64,
		lists Array(Array(UInt16))) ENGINE = MergeTree ORDER BY n`)
	n := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		n++
		bytes16 := func(what string) (b [16]byte) {
			copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, what))
			return b
		}
		text := rapid.String().Draw(rt, "label")
		address := netip.AddrFrom16(bytes16("maybe ip"))
		want := wide{
			IP: netip.AddrFrom16(bytes16("ip")), At: time.UnixMilli(rapid.Int64Range(0, 7258118399999).Draw(rt, "ms to 2199")).UTC(),
			Kind: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "kind"), ID: bytes16("id"),
			Counter: rapid.Uint64().Draw(rt, "counter"), Signed: rapid.Int64().Draw(rt, "signed"),
			Lists: rapid.SliceOfN(rapid.SliceOfN(rapid.Uint16(), 0, 4), 0, 4).Draw(rt, "lists"),
		}
		if rapid.Bool().Draw(rt, "some") {
			want.MaybeIP, want.Label = &address, &text
		}
		for range rapid.IntRange(0, 3).Draw(rt, "refs") {
			ref := bytes16("ref")
			want.Refs = append(want.Refs, string(ref[:]))
		}
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO wide")
		if err != nil {
			rt.Fatal(err)
		}
		if err := batch.Append(n, want.IP, want.MaybeIP, want.At, want.Refs, want.Label, want.Kind, want.ID, want.Counter, want.Signed, want.Lists); err != nil {
			rt.Fatal(err)
		}
		if err := batch.Send(); err != nil {
			rt.Fatal(err)
		}
		var got []wide
		if err := conn.Select(t.Context(), &got, "SELECT * EXCEPT n FROM wide WHERE n = ?", n); err != nil || len(got) != 1 {
			rt.Fatalf("%d rows, %v", len(got), err)
		}
		if a, b := shown(got[0]), shown(want); a != b {
			rt.Fatalf("got\n%s, want\n%s", a, b)
		}
	})
}

// shown writes a value out, with addresses as the 128 bits that are stored.
func shown(w wide) string {
	optional := func(set bool, get func() string) string {
		if !set {
			return "none"
		}
		return fmt.Sprintf("%q", get())
	}
	lists := slices.DeleteFunc(strings.Fields(fmt.Sprint(w.Lists)), func(s string) bool { return s == "" })
	return fmt.Sprintf("%x %s %d %q %s %s %s %d %d %v", w.IP.As16(), optional(w.MaybeIP != nil, func() string { b := w.MaybeIP.As16(); return string(b[:]) }),
		w.At.UnixMilli(), w.Refs, optional(w.Label != nil, func() string { return *w.Label }), w.Kind, w.ID, w.Counter, w.Signed, lists)
}
