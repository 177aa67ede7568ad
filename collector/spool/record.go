package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"griffier/schema"
)

// Kind bytes of the record encoding. They are on disk: never renumber.
const (
	kindExpunged   = 0 // a row that expired here; keeps its ordinal
	kindSession    = 1
	kindAssignment = 2
	kindUsage      = 3
	kindCoverage   = 4
	kindTranslated = 5 // an assignment with a protocol or an inside address
	kindSourced    = 6 // usage that says who counted
)

// maxString is the longest text field of a record, in bytes. The longest that
// the protocols yield is a RADIUS attribute of 253.
const maxString = 4096

var errTruncated = errors.New("record is cut short")

// appendRecord appends the encoding of r: a kind byte and its fields in the
// order of the struct. Integers are varints, times are seconds and nanoseconds
// (UTC), texts and prefixes have a length. A nil r is an expunged row.
func appendRecord(b []byte, r schema.Record) ([]byte, error) {
	e := encoder{b: b}
	switch r := r.(type) {
	case nil:
		e.byte(kindExpunged)
	case *schema.Session:
		e.byte(kindSession)
		e.b = append(append(e.b, r.SessionID[:]...), r.AccessRef[:]...)
		e.times(r.SessionStartedAt, r.StartedAt, r.EndedAt)
		e.bool(r.Open)
		e.uint(r.Version)
		e.texts(string(r.EndCause), string(r.Source), string(r.Certainty), r.NAS, r.NASPort, r.CollectorID)
	case *schema.Assignment:
		translated := r.Protocol != 0 || r.Inside != netip.Addr{}
		if translated {
			e.byte(kindTranslated)
		} else {
			e.byte(kindAssignment)
		}
		e.b = append(append(append(e.b, r.AssignmentID[:]...), r.SessionID[:]...), r.AccessRef[:]...)
		e.prefix(r.Prefix)
		e.uint(uint64(r.PortStart))
		e.uint(uint64(r.PortEnd))
		e.times(r.AssignmentStartedAt, r.StartedAt, r.EndedAt)
		e.bool(r.Open)
		e.uint(r.Version)
		e.texts(string(r.EndCause), string(r.Source), string(r.Certainty), r.CollectorID)
		if translated {
			e.byte(r.Protocol)
			e.address(r.Inside)
		}
	case *schema.Usage:
		if r.Source == "" {
			e.byte(kindUsage)
		} else {
			e.byte(kindSourced)
		}
		e.b = append(e.b, r.AccessRef[:]...)
		e.times(r.BucketStartedAt, r.EndedAt, r.SampledAt)
		e.texts(string(r.Direction))
		e.byte(r.IPVersion)
		e.uint(r.Bytes)
		e.uint(r.Packets)
		e.uint(r.CumulativeBytes)
		e.uint(r.CumulativePackets)
		e.b = append(e.b, r.CounterID[:]...)
		e.texts(r.CollectorID)
		if r.Source != "" {
			e.texts(string(r.Source))
		}
	case *schema.Coverage:
		e.byte(kindCoverage)
		e.b = append(e.b, r.CoverageID[:]...)
		e.texts(r.CollectorID, string(r.State), r.Cause)
		e.times(r.StartedAt, r.EndedAt)
		e.bool(r.Open)
		e.uint(r.Version)
		e.texts(r.BootID)
		e.b = binary.AppendVarint(e.b, r.ClockOffsetNanos)
		e.bool(r.ClockSynced)
	default:
		return b, fmt.Errorf("record type %T", r)
	}
	if e.err != nil {
		return b, e.err
	}
	return e.b, nil
}

// decodeRecord reads one record from the head of b and returns what follows it.
// The record is nil if it was expunged.
func decodeRecord(b []byte) (schema.Record, []byte, error) {
	d := decoder{b: b}
	var rec schema.Record
	switch kind := d.byte(); kind {
	case kindExpunged:
	case kindSession:
		r := &schema.Session{}
		d.id((*[16]byte)(&r.SessionID))
		d.id((*[16]byte)(&r.AccessRef))
		d.times(&r.SessionStartedAt, &r.StartedAt, &r.EndedAt)
		r.Open, r.Version = d.bool(), d.uint()
		d.texts((*string)(&r.EndCause), (*string)(&r.Source), (*string)(&r.Certainty), &r.NAS, &r.NASPort, &r.CollectorID)
		rec = r
	case kindAssignment, kindTranslated:
		r := &schema.Assignment{}
		d.id((*[16]byte)(&r.AssignmentID))
		d.id((*[16]byte)(&r.SessionID))
		d.id((*[16]byte)(&r.AccessRef))
		r.Prefix = d.prefix()
		r.PortStart, r.PortEnd = d.port(), d.port()
		d.times(&r.AssignmentStartedAt, &r.StartedAt, &r.EndedAt)
		r.Open, r.Version = d.bool(), d.uint()
		d.texts((*string)(&r.EndCause), (*string)(&r.Source), (*string)(&r.Certainty), &r.CollectorID)
		if kind == kindTranslated {
			r.Protocol, r.Inside = d.byte(), d.address()
		}
		rec = r
	case kindUsage, kindSourced:
		r := &schema.Usage{}
		d.id((*[16]byte)(&r.AccessRef))
		d.times(&r.BucketStartedAt, &r.EndedAt, &r.SampledAt)
		d.texts((*string)(&r.Direction))
		r.IPVersion = d.byte()
		r.Bytes, r.Packets, r.CumulativeBytes, r.CumulativePackets = d.uint(), d.uint(), d.uint(), d.uint()
		d.id((*[16]byte)(&r.CounterID))
		d.texts(&r.CollectorID)
		if kind == kindSourced {
			d.texts((*string)(&r.Source))
		}
		rec = r
	case kindCoverage:
		r := &schema.Coverage{}
		d.id((*[16]byte)(&r.CoverageID))
		d.texts(&r.CollectorID, (*string)(&r.State), &r.Cause)
		d.times(&r.StartedAt, &r.EndedAt)
		r.Open, r.Version = d.bool(), d.uint()
		d.texts(&r.BootID)
		r.ClockOffsetNanos, r.ClockSynced = d.int(), d.bool()
		rec = r
	default:
		d.fail(fmt.Errorf("record kind %d is not known", kind))
	}
	return rec, d.b, d.err
}

// EncodeRecord returns the encoding that the spool itself uses, for keeping a
// row elsewhere. It fails with [ErrInvalid] for what Append refuses.
func EncodeRecord(r schema.Record) ([]byte, error) {
	b, err := appendRecord(nil, r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return b, nil
}

// DecodeRecord reads what EncodeRecord wrote, and nothing more or less.
func DecodeRecord(b []byte) (schema.Record, error) {
	r, rest, err := decodeRecord(b)
	switch {
	case err != nil:
		return nil, fmt.Errorf("decode record: %w", err)
	case r == nil || len(rest) > 0:
		return nil, errors.New("decode record: not one whole record")
	}
	return r, nil
}

// encoder appends fields; the first error sticks.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) byte(v byte)   { e.b = append(e.b, v) }
func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func (e *encoder) times(ts ...time.Time) {
	for _, t := range ts {
		e.b = binary.AppendVarint(e.b, t.Unix())
		e.uint(uint64(t.Nanosecond()))
	}
}

func (e *encoder) texts(ss ...string) {
	for _, s := range ss {
		if len(s) > maxString {
			e.err = fmt.Errorf("text of %d bytes, limit %d", len(s), maxString)
			return
		}
		e.uint(uint64(len(s)))
		e.b = append(e.b, s...)
	}
}

func (e *encoder) prefix(p netip.Prefix) {
	if p == (netip.Prefix{}) {
		e.byte(0)
		return
	}
	if !p.IsValid() {
		e.err = errors.New("prefix is not valid")
		return
	}
	b, err := p.MarshalBinary()
	if err != nil {
		e.err = err
		return
	}
	e.byte(byte(len(b)))
	e.b = append(e.b, b...)
}

func (e *encoder) address(a netip.Addr) {
	if a.Zone() != "" {
		e.err = errors.New("address has a zone")
		return
	}
	b := a.AsSlice()
	e.byte(byte(len(b)))
	e.b = append(e.b, b...)
}

// decoder consumes fields; after the first error every read yields zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail(errTruncated)
		return nil
	}
	head := d.b[:n]
	d.b = d.b[n:]
	return head
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) bool() bool {
	v := d.byte()
	if v > 1 {
		d.fail(errors.New("flag is neither 0 nor 1"))
	}
	return v == 1
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) id(dst *[16]byte) { copy(dst[:], d.take(16)) }

func (d *decoder) port() uint16 {
	v := d.uint()
	if v > 65535 {
		d.fail(errors.New("port out of range"))
	}
	return uint16(v)
}

func (d *decoder) times(dst ...*time.Time) {
	for _, t := range dst {
		sec, nsec := d.int(), d.uint()
		if nsec > 999_999_999 {
			d.fail(errors.New("nanoseconds out of range"))
		}
		if d.err != nil {
			return
		}
		*t = time.Unix(sec, int64(nsec)).UTC()
	}
}

func (d *decoder) texts(dst ...*string) {
	for _, s := range dst {
		n := d.uint()
		if n > maxString {
			d.fail(errors.New("text too long"))
			return
		}
		*s = string(d.take(int(n)))
	}
}

func (d *decoder) prefix() (p netip.Prefix) {
	n := int(d.byte())
	if n == 0 {
		return p
	}
	b := d.take(n)
	if b == nil {
		return p
	}
	if err := p.UnmarshalBinary(b); err != nil || !p.IsValid() {
		d.fail(errors.New("prefix is not valid"))
		return netip.Prefix{}
	}
	return p
}

func (d *decoder) address() netip.Addr {
	n := int(d.byte())
	if n == 0 {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(d.take(n))
	if !ok {
		d.fail(errors.New("address has a wrong length"))
	}
	return a
}
