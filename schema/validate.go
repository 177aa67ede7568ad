package schema

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ErrInvalid is wrapped by every refusal of a record's content. Such a record
// will never be stored, however often it is tried.
var ErrInvalid = errors.New("invalid record")

// maxTextBytes bounds every text of a record; a RADIUS attribute has 253 at most.
const maxTextBytes = 256

var (
	endCauses     = []EndCause{EndNone, EndCut, EndRelease, EndExpiry, EndSuperseded, EndLostCarrier, EndNASReboot, EndInferred}
	certainties   = []Certainty{CertaintyObserved, CertaintySynthesised, CertaintyInferred}
	sources       = []Source{SourceRADIUS, SourceDHCPv4, SourceDHCPv6, SourcePPPoE, SourceStatic, SourceIPFIX, SourceConntrack}
	usageSources  = []UsageSource{"", UsageKernel, UsageRADIUS}
	directions    = []Direction{Up, Down}
	coverageState = []CoverageState{Covered, Gap}
)

// Validate reports whether the store can hold r. Its error wraps [ErrInvalid],
// says which field is wrong, and never contains the record's data.
func Validate(r Record) error {
	var err error
	switch r := r.(type) {
	case *Session:
		err = r.validate()
	case *Assignment:
		err = r.validate()
	case *Usage:
		err = r.validate()
	case *UsageDay:
		err = r.validate()
	case *Coverage:
		err = r.validate()
	case *AccessLogEntry:
		err = r.validate()
	default:
		return fmt.Errorf("%w: unknown type %T", ErrInvalid, r)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, r.Kind(), err)
	}
	return nil
}

func (r *Session) validate() error {
	return first(
		notZero("session_id", r.SessionID),
		notZero("access_ref", r.AccessRef),
		checkSlice(r.StartedAt, r.EndedAt),
		checkWhole("session_started_at", r.SessionStartedAt, r.StartedAt),
		oneOf("end_cause", r.EndCause, endCauses),
		oneOf("source", r.Source, sources),
		oneOf("certainty", r.Certainty, certainties),
		checkText("nas", r.NAS),
		checkText("nas_port", r.NASPort),
		checkName("collector_id", r.CollectorID),
	)
}

func (r *Assignment) validate() error {
	return first(
		notZero("assignment_id", r.AssignmentID),
		unless(r.AccessRef != AccessRef{} || r.Inside.IsValid(), "access_ref is zero and there is no inside_address"),
		unless(r.AccessRef == AccessRef{} || !r.Inside.IsValid(), "both access_ref and inside_address"),
		checkInside(r.Inside),
		checkPrefix(r.Prefix),
		unless(!r.Shared() || r.Prefix.IsSingleIP(), "ports or a protocol of a prefix"),
		unless(r.PortStart <= r.PortEnd, "port_end before port_start"),
		checkSlice(r.StartedAt, r.EndedAt),
		checkWhole("assignment_started_at", r.AssignmentStartedAt, r.StartedAt),
		oneOf("end_cause", r.EndCause, endCauses),
		oneOf("source", r.Source, sources),
		oneOf("certainty", r.Certainty, certainties),
		checkName("collector_id", r.CollectorID),
	)
}

func (r *Usage) validate() error {
	return first(
		notZero("access_ref", r.AccessRef),
		notZero("counter_id", r.CounterID),
		checkTime("bucket_started_at", r.BucketStartedAt),
		unless(r.BucketStartedAt.UnixNano()%int64(BucketLength) == 0, "bucket_started_at is not a multiple of the bucket length"),
		unless(r.EndedAt.Equal(r.BucketStartedAt.Add(BucketLength)), "ended_at is not the end of the bucket"),
		checkTime("sampled_at", r.SampledAt),
		unless(!r.SampledAt.Before(r.BucketStartedAt), "sampled_at before the bucket"),
		oneOf("direction", r.Direction, directions),
		oneOf("source", r.Source, usageSources),
		unless(r.IPVersion == 4 || r.IPVersion == 6 || r.IPVersion == 0 && r.Source == UsageRADIUS, "ip_version is neither 4 nor 6"),
		unless(r.CumulativeBytes >= r.Bytes && r.CumulativePackets >= r.Packets, "cumulative counter below its own increase"),
		checkName("collector_id", r.CollectorID),
	)
}

func (r *Coverage) validate() error {
	return first(
		notZero("coverage_id", r.CoverageID),
		checkName("collector_id", r.CollectorID),
		oneOf("state", r.State, coverageState),
		unless(r.State != Gap || r.Cause != "", "gap without a cause"),
		checkText("cause", r.Cause),
		checkSlice(r.StartedAt, r.EndedAt),
		checkText("boot_id", r.BootID),
	)
}

func (r *AccessLogEntry) validate() error {
	return first(
		notZero("entry_id", r.EntryID),
		checkTime("happened_at", r.HappenedAt),
		checkName("actor", r.Actor),
		checkName("role", r.Role),
		checkName("action", r.Action),
		checkName("outcome", r.Outcome),
		checkText("request_id", r.RequestID),
	)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func unless(ok bool, why string) error {
	if ok {
		return nil
	}
	return errors.New(why)
}

func notZero[T ~[16]byte](what string, id T) error {
	if id != (T{}) {
		return nil
	}
	return errors.New(what + " is zero")
}

func oneOf[T comparable](what string, value T, allowed []T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return errors.New(what + " is not one of the known values")
}

func checkText(what, s string) error {
	if len(s) <= maxTextBytes {
		return nil
	}
	return fmt.Errorf("%s is longer than %d bytes", what, maxTextBytes)
}

func checkName(what, s string) error {
	if s == "" {
		return errors.New(what + " is empty")
	}
	return checkText(what, s)
}

// checkSlice holds a slice to one UTC day, because look-ups read one day back
// and a day's partition is dropped whole.
func checkSlice(startedAt, endedAt time.Time) error {
	return first(
		checkTime("started_at", startedAt),
		checkTime("ended_at", endedAt),
		unless(!endedAt.Before(startedAt), "ended_at before started_at"),
		unless(!endedAt.After(endOfDay(startedAt)), "slice crosses UTC midnight"),
	)
}

func checkWhole(what string, whole, slice time.Time) error {
	return first(checkTime(what, whole), unless(!whole.After(slice), what+" after started_at"))
}

func checkPrefix(p netip.Prefix) error {
	return first(
		unless(p.IsValid(), "prefix is not valid"),
		unless(!p.Addr().Is4In6(), "prefix is a v4-mapped address; give it as IPv4"),
		unless(p.Bits() > 0, "prefix is a default route"),
		unless(p == p.Masked(), "prefix has host bits set"),
	)
}

func checkInside(a netip.Addr) error {
	return first(
		unless(!a.Is4In6() && a.Zone() == "", "inside_address is v4-mapped or has a zone"),
		unless(!a.IsValid() || !a.IsUnspecified(), "inside_address is unspecified"),
	)
}

// endOfDay returns the end of t's UTC day.
func endOfDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour) }
