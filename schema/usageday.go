package schema

import (
	"time"
)

// KindUsageDay is the kind of [UsageDay], which the api makes.
const KindUsageDay Kind = "usage_day"

// longestDay is the longest a local day may be. Clocks go back by an hour, in one
// zone by half of one.
const longestDay = 26 * time.Hour

// A UsageDay is what one reference of a line moved in one direction and IP
// version on one local day, or in the part of the day in which the line had the
// reference: in [StartedAt, EndedAt), which are whole buckets. The parts of a
// reference never overlap. What is not to be counted (a BNG's count of what a
// kernel counted too) is a row of zero bytes.
//
// A row is replaced by one of a higher Version with the same reference, interval,
// direction, IP version, source and collector. A part whose interval is no longer
// right is Withdrawn, which is to say that it is not there.
type UsageDay struct {
	AccessRef   AccessRef   `json:"access_ref"`
	Day         time.Time   `json:"day"`  // the local date, as UTC midnight
	Zone        string      `json:"zone"` // IANA name
	StartedAt   time.Time   `json:"started_at"`
	EndedAt     time.Time   `json:"ended_at"` // exclusive
	Direction   Direction   `json:"direction"`
	IPVersion   uint8       `json:"ip_version"` // 4 or 6; 0 from a BNG, which does not tell them apart
	Source      UsageSource `json:"source"`
	CollectorID string      `json:"collector_id"`
	Bytes       uint64      `json:"bytes"`
	Packets     uint64      `json:"packets"`
	GapSeconds  uint32      `json:"gap_seconds"` // of the interval, not collected by any of its collectors
	Withdrawn   bool        `json:"withdrawn"`
	Version     uint64      `json:"version"`
}

// Kind implements [Record].
func (*UsageDay) Kind() Kind { return KindUsageDay }

// Class implements [Record].
func (*UsageDay) Class() Class { return ClassUsageDay }

func (r *UsageDay) validate() error {
	whole := func(t time.Time) bool { return t.UnixNano()%int64(BucketLength) == 0 }
	return first(
		notZero("access_ref", r.AccessRef),
		checkTime("started_at", r.StartedAt),
		checkTime("ended_at", r.EndedAt),
		checkTime("day", r.Day),
		checkName("zone", r.Zone),
		unless(whole(r.StartedAt) && whole(r.EndedAt), "started_at or ended_at is not a multiple of the bucket length"),
		unless(r.StartedAt.Before(r.EndedAt), "ended_at not after started_at"),
		unless(r.EndedAt.Sub(r.StartedAt) <= longestDay, "longer than a day"),
		oneOf("direction", r.Direction, directions),
		oneOf("source", r.Source, []UsageSource{UsageKernel, UsageRADIUS}),
		unless(r.IPVersion == 4 || r.IPVersion == 6 || r.IPVersion == 0 && r.Source == UsageRADIUS, "ip_version is neither 4 nor 6"),
		checkName("collector_id", r.CollectorID),
	)
}

var usageDayColumns = []column[*UsageDay]{
	field("access_ref", typeID, func(r *UsageDay) []byte { return r.AccessRef[:] }),
	field("day", "Date", func(r *UsageDay) time.Time { return r.Day.UTC() }),
	field("zone", typeLabel, func(r *UsageDay) string { return r.Zone }),
	timeField("started_at", func(r *UsageDay) time.Time { return r.StartedAt }),
	timeField("ended_at", func(r *UsageDay) time.Time { return r.EndedAt }),
	field("direction", typeLabel, func(r *UsageDay) string { return string(r.Direction) }),
	field("ip_version", "UInt8", func(r *UsageDay) uint8 { return r.IPVersion }),
	field("source", typeLabel, func(r *UsageDay) string { return string(r.Source) }),
	field("collector_id", typeLabel, func(r *UsageDay) string { return r.CollectorID }),
	field("bytes", typeCounter, func(r *UsageDay) uint64 { return r.Bytes }),
	field("packets", typeCounter, func(r *UsageDay) uint64 { return r.Packets }),
	field("gap_seconds", "UInt32", func(r *UsageDay) uint32 { return r.GapSeconds }),
	field("withdrawn", typeBool, func(r *UsageDay) bool { return r.Withdrawn }),
	field("version", typeCounter, func(r *UsageDay) uint64 { return r.Version }),
	classField[*UsageDay](),
}
