package schema

import (
	"cmp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// A column is how one field of T is stored. The columns of a kind are written
// out, not reflected, so that nothing is stored that is not listed here.
type column[T any] struct {
	name string
	kind string // ClickHouse type that is sent; the store converts it to the column's
	// fill returns the field of every row as clickhouse-go takes a column, in the
	// memory of an earlier result of it that is no longer needed, if it is given one.
	fill func(rows []T, reuse any) any
}

const (
	typeID      = "FixedString(16)"
	typeTime    = "DateTime64(3, 'UTC')"
	typeLabel   = "String"
	typeString  = "String"
	typeBool    = "Bool"
	typeCounter = "UInt64"
)

func each[T, V any](rows []T, get func(T) V) []V {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = get(r)
	}
	return values
}

func field[T, V any](name, kind string, get func(T) V) column[T] {
	return column[T]{name, kind, func(rows []T, reuse any) any {
		values, _ := reuse.([]V)
		values = values[:0]
		for _, r := range rows {
			values = append(values, get(r))
		}
		return values
	}}
}

func timeField[T any](name string, get func(T) time.Time) column[T] {
	return field(name, typeTime, func(r T) time.Time { return get(r).UTC() })
}

// millisecondsBetween counts from one stored time to another: each is first
// rounded down to the millisecond that the store holds.
func millisecondsBetween(from, to time.Time) int64 { return to.UnixMilli() - from.UnixMilli() }

func classField[T Record]() column[T] {
	return field("class", typeLabel, func(r T) string { return string(r.Class()) })
}

var sessionColumns = []column[*Session]{
	field("session_id", typeID, func(r *Session) []byte { return r.SessionID[:] }),
	field("access_ref", typeID, func(r *Session) []byte { return r.AccessRef[:] }),
	timeField("session_started_at", func(r *Session) time.Time { return r.SessionStartedAt }),
	timeField("started_at", func(r *Session) time.Time { return r.StartedAt }),
	timeField("ended_at", func(r *Session) time.Time { return r.EndedAt }),
	field("open", typeBool, func(r *Session) bool { return r.Open }),
	field("version", typeCounter, func(r *Session) uint64 { return r.Version }),
	field("end_cause", typeLabel, func(r *Session) string { return string(r.EndCause) }),
	field("source", typeLabel, func(r *Session) string { return string(r.Source) }),
	field("certainty", typeLabel, func(r *Session) string { return string(r.Certainty) }),
	field("nas", typeLabel, func(r *Session) string { return r.NAS }),
	field("nas_port", typeString, func(r *Session) string { return r.NASPort }),
	field("collector_id", typeLabel, func(r *Session) string { return r.CollectorID }),
	classField[*Session](),
}

var assignmentColumns = []column[*Assignment]{
	field("prefix_address", "IPv6", func(r *Assignment) [16]byte { return r.Prefix.Addr().As16() }),
	field("prefix_length", "UInt8", func(r *Assignment) uint8 { _, n := PrefixColumns(r.Prefix); return n }),
	field("port_start", "UInt16", func(r *Assignment) uint16 { return r.PortStart }),
	field("port_end", "UInt16", func(r *Assignment) uint16 { return r.PortEnd }),
	field("protocol", "UInt8", func(r *Assignment) uint8 { return r.Protocol }),
	field("access_ref", typeID, func(r *Assignment) []byte { return r.AccessRef[:] }),
	field("inside_address", "IPv6", func(r *Assignment) [16]byte { return InsideColumn(r.Inside).As16() }),
	field("session_id", typeID, func(r *Assignment) []byte { return r.SessionID[:] }),
	timeField("started_at", func(r *Assignment) time.Time { return r.StartedAt }),
	field("length_ms", "UInt32", func(r *Assignment) uint32 { return uint32(millisecondsBetween(r.StartedAt, r.EndedAt)) }),
	field("age_ms", typeCounter, func(r *Assignment) uint64 { return uint64(millisecondsBetween(r.AssignmentStartedAt, r.StartedAt)) }),
	field("open", typeBool, func(r *Assignment) bool { return r.Open }),
	field("version", typeCounter, func(r *Assignment) uint64 { return r.Version }),
	field("end_cause", typeLabel, func(r *Assignment) string { return string(r.EndCause) }),
	field("source", typeLabel, func(r *Assignment) string { return string(r.Source) }),
	field("certainty", typeLabel, func(r *Assignment) string { return string(r.Certainty) }),
	field("collector_id", typeLabel, func(r *Assignment) string { return r.CollectorID }),
}

var usageColumns = []column[*Usage]{
	field("access_ref", typeID, func(r *Usage) []byte { return r.AccessRef[:] }),
	timeField("bucket_started_at", func(r *Usage) time.Time { return r.BucketStartedAt }),
	timeField("sampled_at", func(r *Usage) time.Time { return r.SampledAt }),
	field("direction", typeLabel, func(r *Usage) string { return string(r.Direction) }),
	field("ip_version", "UInt8", func(r *Usage) uint8 { return r.IPVersion }),
	field("moved_bytes", typeCounter, func(r *Usage) uint64 { return r.Bytes }),
	field("moved_packets", typeCounter, func(r *Usage) uint64 { return r.Packets }),
	field("counter_bytes", typeCounter, func(r *Usage) uint64 { return r.CumulativeBytes }),
	field("counter_packets", typeCounter, func(r *Usage) uint64 { return r.CumulativePackets }),
	field("counter_id", typeID, func(r *Usage) []byte { return r.CounterID[:] }),
	field("collector_id", typeLabel, func(r *Usage) string { return r.CollectorID }),
	field("source", typeLabel, func(r *Usage) string { return cmp.Or(string(r.Source), string(UsageKernel)) }),
}

var coverageColumns = []column[*Coverage]{
	field("coverage_id", typeID, func(r *Coverage) []byte { return r.CoverageID[:] }),
	field("collector_id", typeLabel, func(r *Coverage) string { return r.CollectorID }),
	field("state", typeLabel, func(r *Coverage) string { return string(r.State) }),
	field("cause", typeLabel, func(r *Coverage) string { return r.Cause }),
	timeField("started_at", func(r *Coverage) time.Time { return r.StartedAt }),
	timeField("ended_at", func(r *Coverage) time.Time { return r.EndedAt }),
	field("open", typeBool, func(r *Coverage) bool { return r.Open }),
	field("version", typeCounter, func(r *Coverage) uint64 { return r.Version }),
	field("boot_id", typeLabel, func(r *Coverage) string { return r.BootID }),
	field("clock_offset_nanos", "Int64", func(r *Coverage) int64 { return r.ClockOffsetNanos }),
	field("clock_synced", typeBool, func(r *Coverage) bool { return r.ClockSynced }),
	classField[*Coverage](),
}

var accessLogColumns = []column[*AccessLogEntry]{
	field("entry_id", typeID, func(r *AccessLogEntry) []byte { return r.EntryID[:] }),
	timeField("happened_at", func(r *AccessLogEntry) time.Time { return r.HappenedAt }),
	timeField("ended_at", func(r *AccessLogEntry) time.Time { return r.HappenedAt }),
	field("actor", typeString, func(r *AccessLogEntry) string { return r.Actor }),
	field("role", typeLabel, func(r *AccessLogEntry) string { return r.Role }),
	field("action", typeLabel, func(r *AccessLogEntry) string { return r.Action }),
	field("outcome", typeLabel, func(r *AccessLogEntry) string { return r.Outcome }),
	field("request_id", typeString, func(r *AccessLogEntry) string { return r.RequestID }),
	field("access_refs", "Array("+typeID+")", func(r *AccessLogEntry) []string {
		return each(r.AccessRefs, func(ref AccessRef) string { return string(ref[:]) })
	}),
	field("rows_read", typeCounter, func(r *AccessLogEntry) uint64 { return r.RowsRead }),
	classField[*AccessLogEntry](),
}

func namesAndTypes[T any](columns []column[T]) []clickhouse.ColumnNameAndType {
	return each(columns, func(c column[T]) clickhouse.ColumnNameAndType {
		return clickhouse.ColumnNameAndType{Name: c.name, Type: c.kind}
	})
}
