package schema

import (
	"net/netip"
	"time"
)

// Kind names a record type as it is printed by `griffier-collector -replay -o json`
// and as the ClickHouse table that stores it.
type Kind string

// The four kinds of record a collector makes.
const (
	KindSession    Kind = "session"
	KindAssignment Kind = "assignment"
	KindUsage      Kind = "usage"
	KindCoverage   Kind = "coverage"
)

// A Record is one row for the traffic store: *Session, *Assignment, *Usage or
// *Coverage. JSON field names are the column names.
type Record interface {
	Kind() Kind
	// Class is the retention class that the row expires under.
	Class() Class
}

// EndCause says why a session or assignment ended. The open slice of a session
// that still lives has EndNone.
type EndCause string

// End causes. A slice that was cut at UTC midnight while its session went on
// has EndCut.
const (
	EndNone        EndCause = ""
	EndCut         EndCause = "cut"
	EndRelease     EndCause = "release"
	EndExpiry      EndCause = "expiry"
	EndSuperseded  EndCause = "superseded"
	EndLostCarrier EndCause = "lost_carrier"
	EndNASReboot   EndCause = "nas_reboot"
	EndInferred    EndCause = "inferred"
)

// Certainty says how the collector came to know an interval.
type Certainty string

// Certainties, strongest first. A synthesised interval has a start or end that
// was computed (Acct-Session-Time, lease time) rather than seen.
const (
	CertaintyObserved    Certainty = "observed"
	CertaintySynthesised Certainty = "synthesised"
	CertaintyInferred    Certainty = "inferred"
)

// Source says which protocol or table told the collector of a binding.
type Source string

// Sources of sessions and assignments.
const (
	SourceRADIUS Source = "radius"
	SourceDHCPv4 Source = "dhcpv4"
	SourceDHCPv6 Source = "dhcpv6"
	SourcePPPoE  Source = "pppoe"
	SourceStatic Source = "static"
	// SourceIPFIX is a translator that reports the blocks of ports that it assigns
	// (RFC 8158).
	SourceIPFIX Source = "ipfix"
	// SourceConntrack is a translator that reports single ports as flows begin and
	// end, by conntrack or in a log of its own: such an assignment lasts only while
	// a flow does.
	SourceConntrack Source = "conntrack"
	// SourceDeterministic is computed from a translator's parameters (RFC 7422)
	// when it is asked for, and never stored.
	SourceDeterministic Source = "deterministic"
)

// Direction is seen from the subscriber: up is sent by the line, down is
// delivered to it.
type Direction string

// The two directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
)

// A Session is one slice of a connection time: the part of a session that lies
// in one UTC day. Intervals are half-open, [StartedAt, EndedAt), in UTC with
// millisecond precision.
//
// The open slice (Open true) of a living session is emitted again every few
// minutes with a higher Version and EndedAt moved to the time of emission; the
// highest Version of (SessionID, StartedAt) is the one that counts. SessionID,
// access line and StartedAt never change between versions.
type Session struct {
	SessionID        ID        `json:"session_id"`
	AccessRef        AccessRef `json:"access_ref"`
	SessionStartedAt time.Time `json:"session_started_at"` // of the whole session
	StartedAt        time.Time `json:"started_at"`         // of this slice
	EndedAt          time.Time `json:"ended_at"`           // of this slice, exclusive
	Open             bool      `json:"open"`
	Version          uint64    `json:"version"`
	EndCause         EndCause  `json:"end_cause"`
	Source           Source    `json:"source"`
	Certainty        Certainty `json:"certainty"`
	NAS              string    `json:"nas"`      // NAS-Identifier, NAS-IP-Address or interface name
	NASPort          string    `json:"nas_port"` // NAS-Port-Id or VLAN stack
	CollectorID      string    `json:"collector_id"`
}

// Kind implements [Record].
func (*Session) Kind() Kind { return KindSession }

// Class implements [Record].
func (*Session) Class() Class { return ClassSession }

// An Assignment is one slice of an address or prefix held by an access line
// during [StartedAt, EndedAt). Slices are cut, re-emitted and versioned exactly
// as those of a [Session]; the highest Version of (AssignmentID, StartedAt)
// counts.
//
// An IPv4 address has Prefix a.b.c.d/32. PortStart and PortEnd (inclusive) are
// 0 and 65535 unless a port block was assigned; Protocol is the IANA number that
// the block is for, 0 for every one.
//
// A translator knows its subscribers by their inside addresses. Its assignments
// name Inside and have no AccessRef; whose the inside address was, assignments of
// that address say. It has exactly one of the two.
type Assignment struct {
	AssignmentID        ID           `json:"assignment_id"`
	SessionID           ID           `json:"session_id"`
	AccessRef           AccessRef    `json:"access_ref"`
	Prefix              netip.Prefix `json:"prefix"`
	PortStart           uint16       `json:"port_start"`
	PortEnd             uint16       `json:"port_end"`
	Protocol            uint8        `json:"protocol,omitzero"`
	Inside              netip.Addr   `json:"inside_address,omitzero"`
	AssignmentStartedAt time.Time    `json:"assignment_started_at"` // of the whole assignment
	StartedAt           time.Time    `json:"started_at"`
	EndedAt             time.Time    `json:"ended_at"`
	Open                bool         `json:"open"`
	Version             uint64       `json:"version"`
	EndCause            EndCause     `json:"end_cause"`
	Source              Source       `json:"source"`
	Certainty           Certainty    `json:"certainty"`
	CollectorID         string       `json:"collector_id"`
}

// Shared reports whether others may hold the same address at the same time, on
// other ports.
func (r *Assignment) Shared() bool {
	return r.PortStart != 0 || r.PortEnd != 65535 || r.Protocol != 0 || r.Inside.IsValid()
}

// Kind implements [Record].
func (*Assignment) Kind() Kind { return KindAssignment }

// Class implements [Record].
func (*Assignment) Class() Class { return ClassAssignment }

// BucketLength is the length of a usage bucket. Buckets start at multiples of
// it since the epoch, so none straddles an hour, a day or a local midnight.
const BucketLength = 5 * time.Minute

// UsageSource says who counted.
type UsageSource string

// Sources of usage. A line that the kernel counts may be counted by its BNG too;
// the two are never added, and the kernel's counts.
const (
	UsageKernel UsageSource = "kernel" // this collector's kernel programs, L3 bytes
	UsageRADIUS UsageSource = "radius" // a BNG, in RADIUS accounting: bytes by its own definition
)

// Usage is what one access line moved in one direction and IP version since the
// previous Usage record of the same counter, all of it inside one bucket. Bytes
// are L3 bytes. A bucket's total is the sum over its rows.
//
// CumulativeBytes and CumulativePackets are the counter's value at SampledAt,
// since the line got the counter: the baseline a restarted collector goes on from.
type Usage struct {
	AccessRef         AccessRef `json:"access_ref"`
	BucketStartedAt   time.Time `json:"bucket_started_at"`
	EndedAt           time.Time `json:"ended_at"` // end of the bucket, exclusive
	SampledAt         time.Time `json:"sampled_at"`
	Direction         Direction `json:"direction"`
	IPVersion         uint8     `json:"ip_version"` // 4 or 6; 0 from a BNG, which does not tell them apart
	Bytes             uint64    `json:"bytes"`
	Packets           uint64    `json:"packets"`
	CumulativeBytes   uint64    `json:"cumulative_bytes"`
	CumulativePackets uint64    `json:"cumulative_packets"`
	CounterID         ID        `json:"counter_id"` // one life of one counter: collector, boot, slot and generation
	CollectorID       string    `json:"collector_id"`
	// Source is UsageKernel if empty.
	Source UsageSource `json:"source"`
}

// Kind implements [Record].
func (*Usage) Kind() Kind { return KindUsage }

// Class implements [Record].
func (*Usage) Class() Class { return ClassUsage5m }

// CoverageState says what a collector was doing during an interval.
type CoverageState string

// A covered interval was seen whole; a gap is declared with its cause.
const (
	Covered CoverageState = "covered"
	Gap     CoverageState = "gap"
)

// Coverage is an interval during which a collector was, or declares that it was
// not, collecting. Covered rows are slices like those of a [Session]; the spool
// keeps order, so a stored covered row that ends at T means that every slice and
// count up to T is stored too.
type Coverage struct {
	CoverageID       ID            `json:"coverage_id"`
	CollectorID      string        `json:"collector_id"`
	State            CoverageState `json:"state"`
	Cause            string        `json:"cause"` // of a gap: ring_drop, spool_full, not_running…
	StartedAt        time.Time     `json:"started_at"`
	EndedAt          time.Time     `json:"ended_at"`
	Open             bool          `json:"open"`
	Version          uint64        `json:"version"`
	BootID           string        `json:"boot_id"`
	ClockOffsetNanos int64         `json:"clock_offset_nanos"`
	ClockSynced      bool          `json:"clock_synced"`
}

// Kind implements [Record].
func (*Coverage) Kind() Kind { return KindCoverage }

// Class implements [Record]. Coverage outlives what it covers, so that an
// expired interval is never mistaken for a gap.
func (*Coverage) Class() Class { return ClassCoverage }
