package spool

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/schema"
)

// draw makes any record that Append accepts.
func draw(t *rapid.T) schema.Record {
	id := func() (v [16]byte) {
		copy(v[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return v
	}
	instant := func() time.Time {
		return rapid.Custom(func(t *rapid.T) time.Time {
			if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
				return time.Time{}
			}
			return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).UTC()
		}).Draw(t, "time")
	}
	text := func() string { return rapid.StringN(0, 40, 253).Draw(t, "text") }
	prefix := func() netip.Prefix {
		switch rapid.IntRange(0, 2).Draw(t, "family") {
		case 0:
			return netip.Prefix{}
		case 1:
			b := id()
			return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), rapid.IntRange(0, 32).Draw(t, "bits"))
		}
		return netip.PrefixFrom(netip.AddrFrom16(id()), rapid.IntRange(0, 128).Draw(t, "bits"))
	}
	flag := func() bool { return rapid.Bool().Draw(t, "flag") }
	count := func() uint64 { return rapid.Uint64().Draw(t, "count") }
	switch rapid.IntRange(kindSession, kindSourced).Draw(t, "kind") {
	case kindSession:
		return &schema.Session{SessionID: id(), AccessRef: id(), SessionStartedAt: instant(), StartedAt: instant(), EndedAt: instant(),
			Open: flag(), Version: count(), EndCause: schema.EndCause(text()), Source: schema.SourceRADIUS,
			Certainty: schema.CertaintyObserved, NAS: text(), NASPort: text(), CollectorID: text()}
	case kindAssignment:
		return &schema.Assignment{AssignmentID: id(), SessionID: id(), AccessRef: id(), Prefix: prefix(),
			PortStart: rapid.Uint16().Draw(t, "port"), PortEnd: rapid.Uint16().Draw(t, "port"),
			AssignmentStartedAt: instant(), StartedAt: instant(), EndedAt: instant(), Open: flag(), Version: count(),
			EndCause: schema.EndRelease, Source: schema.Source(text()), Certainty: schema.Certainty(text()), CollectorID: text()}
	case kindTranslated:
		raw := id()
		inside, _ := netip.AddrFromSlice(raw[:rapid.SampledFrom([]int{0, 4, 16}).Draw(t, "inside")])
		return &schema.Assignment{AssignmentID: id(), Prefix: prefix(), PortStart: rapid.Uint16().Draw(t, "port"), PortEnd: 65535,
			Protocol: rapid.Byte().Draw(t, "protocol"), Inside: inside, AssignmentStartedAt: instant(), StartedAt: instant(),
			EndedAt: instant(), Open: flag(), Version: count(), Source: schema.SourceConntrack, CollectorID: text()}
	case kindSourced:
		return &schema.Usage{AccessRef: id(), BucketStartedAt: instant(), EndedAt: instant(), SampledAt: instant(), Direction: schema.Down,
			Bytes: count(), CounterID: id(), CollectorID: text(), Source: schema.UsageRADIUS}
	case kindUsage:
		return &schema.Usage{AccessRef: id(), BucketStartedAt: instant(), EndedAt: instant(), SampledAt: instant(),
			Direction: schema.Up, IPVersion: rapid.Byte().Draw(t, "version"), Bytes: count(), Packets: count(),
			CumulativeBytes: count(), CumulativePackets: count(), CounterID: id(), CollectorID: text()}
	}
	return &schema.Coverage{CoverageID: id(), CollectorID: text(), State: schema.Gap, Cause: text(), StartedAt: instant(),
		EndedAt: instant(), Open: flag(), Version: count(), BootID: text(),
		ClockOffsetNanos: rapid.Int64().Draw(t, "offset"), ClockSynced: flag()}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := draw(t)
		b, err := appendRecord(nil, want)
		if err != nil {
			t.Fatalf("appendRecord: %v", err)
		}
		got, rest, err := decodeRecord(append(b, 0xee))
		if err != nil || len(rest) != 1 {
			t.Fatalf("decodeRecord: %v, %d bytes left, want 1", err, len(rest))
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("round trip: got %+v, want %+v", got, want)
		}
		// No proper head of an encoding is a record.
		if cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut"); true {
			if _, _, err := decodeRecord(b[:cut]); err == nil {
				t.Fatalf("decodeRecord took %d of %d bytes", cut, len(b))
			}
		}
	})
}

// TestRecordFieldsAreAllStored sets every field of every record to a value that
// is not zero and so fails when a field is added to schema and not here.
func TestRecordFieldsAreAllStored(t *testing.T) {
	for _, r := range []schema.Record{&schema.Session{}, &schema.Assignment{}, &schema.Usage{}, &schema.Coverage{}} {
		v := reflect.ValueOf(r).Elem()
		for i := range v.NumField() {
			f := v.Field(i)
			switch f.Interface().(type) {
			case time.Time:
				f.Set(reflect.ValueOf(time.UnixMilli(1_760_000_000_000 + int64(i)).UTC()))
				continue
			case netip.Prefix:
				f.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.7/32")))
				continue
			case netip.Addr:
				f.Set(reflect.ValueOf(netip.MustParseAddr("100.64.0.7")))
				continue
			}
			switch f.Kind() {
			case reflect.String:
				f.SetString("field " + v.Type().Field(i).Name)
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Uint8, reflect.Uint16, reflect.Uint64:
				f.SetUint(uint64(i) + 1)
			case reflect.Int64:
				f.SetInt(-int64(i) - 1)
			case reflect.Array:
				f.Index(i % 16).SetUint(7)
			default:
				t.Fatalf("%s.%s: the encoding has no type for it", v.Type(), v.Type().Field(i).Name)
			}
		}
		b, err := appendRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := decodeRecord(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, r)
		}
	}
}

func TestRecordRefused(t *testing.T) {
	long := string(make([]byte, maxString+1))
	for name, r := range map[string]schema.Record{
		"long text":      &schema.Session{NAS: long},
		"invalid prefix": &schema.Assignment{Prefix: netip.PrefixFrom(netip.MustParseAddr("192.0.2.1"), 99)},
	} {
		if _, err := appendRecord(nil, r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []schema.Record{nil, &schema.Session{NAS: "bras1"}, &schema.Assignment{Prefix: netip.MustParsePrefix("2001:db8::/56")},
		&schema.Usage{Bytes: 1 << 60}, &schema.Coverage{ClockOffsetNanos: -5}} {
		b, err := appendRecord(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, rest, err := decodeRecord(in)
		if err != nil {
			return
		}
		b, err := appendRecord(nil, r)
		if err != nil {
			t.Fatalf("decoded record does not encode: %v", err)
		}
		again, none, err := decodeRecord(b)
		if err != nil || len(none) != 0 || !reflect.DeepEqual(r, again) {
			t.Fatalf("decode(encode(r)): %v", err)
		}
		if len(in)-len(rest) < 1 {
			t.Fatal("record of no bytes")
		}
	})
}

// FuzzReadFrame gives the frame and group decoders any bytes, and checks that
// a sound frame is found behind them.
func FuzzReadFrame(f *testing.F) {
	group, err := appendBatch(nil, Batch{State: []byte("state"), Records: []schema.Record{&schema.Usage{Bytes: 9}}})
	if err != nil {
		f.Fatal(err)
	}
	whole := appendFrame(nil, 5, frameHead{typ: frameGroup, frame: 3, records: 1, appendedAt: time.Unix(0, 0).UTC()}, group)
	f.Add(whole, group, uint32(1))
	f.Add(whole[:len(whole)-1], group[:3], uint32(0))
	f.Add([]byte{}, []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint32(1<<31))
	f.Fuzz(func(t *testing.T, file, body []byte, want uint32) {
		if items, _, err := decodeGroup(body, want); err == nil && len(items) != int(want) {
			t.Fatalf("decodeGroup: %d rows, want %d", len(items), want)
		}
		r := bytes.NewReader(file)
		_, _, next, err := readFrame(r, 0, int64(len(file)), 5, nil)
		if err == nil && (next <= 0 || next > int64(len(file))) {
			t.Fatalf("readFrame: next %d of %d", next, len(file))
		}
		later := append(append([]byte{}, file...), whole...)
		at, err := findFrame(bytes.NewReader(later), 0, int64(len(later)), 5, 2)
		if err != nil || at < 0 || at > int64(len(file)) {
			t.Fatalf("findFrame: %d, %v, want at most %d", at, err, len(file))
		}
	})
}

func FuzzSegmentHead(f *testing.F) {
	f.Add(segmentHead(spoolID{1}, &segment{number: 7, firstFrame: 8, firstRecord: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, g, err := parseSegmentHead(b, "f")
		if err == nil && !bytes.Equal(segmentHead(id, g)[16:56], b[16:56]) {
			t.Fatal("header does not round trip")
		}
		if id, generation, p, ok := decodeSlot(b); ok && !bytes.Equal(encodeSlot(id, generation, p)[16:56], b[16:56]) {
			t.Fatal("slot does not round trip")
		}
	})
}
