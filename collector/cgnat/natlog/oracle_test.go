package natlog

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"pgregory.net/rapid"
)

// theirs decodes a message with goflow2 and says what we should have read of it.
func theirs(t interface{ Fatalf(string, ...any) }, raw []byte, templates netflow.NetFlowTemplateSystem) (events []Event) {
	var v9 netflow.NFv9Packet
	var v10 netflow.IPFIXPacket
	if err := netflow.DecodeMessageVersion(bytes.NewBuffer(raw), templates, &v9, &v10); err != nil {
		t.Fatalf("oracle: %v", err)
	}
	for _, s := range append(v9.FlowSets, v10.FlowSets...) {
		data, ok := s.(netflow.DataFlowSet)
		if !ok {
			continue
		}
		for _, r := range data.Records {
			values := map[uint16][]byte{}
			for _, v := range r.Values {
				if b, ok := v.Value.([]byte); ok && !v.PenProvided {
					values[v.Type] = b
				}
			}
			if e, ok := asEvent(values); ok {
				events = append(events, e)
			}
		}
	}
	return events
}

// asEvent reads RFC 8158 anew, off whole values.
func asEvent(v map[uint16][]byte) (e Event, ok bool) {
	number := func(i uint16) (n int) {
		for _, x := range v[i] {
			n = n<<8 | int(x)
		}
		return n
	}
	switch number(230) {
	case 16:
	case 17:
		e.Released = true
	case 4, 8:
		e.Flow = true
	case 5, 9:
		e.Flow, e.Released = true, true
	default:
		return e, false
	}
	e.Inside, _ = netip.AddrFromSlice(v[8])
	e.Outside, _ = netip.AddrFromSlice(v[225])
	e.Protocol = uint8(number(4))
	e.At = time.UnixMilli(int64(number(323))).UTC()
	if e.Flow {
		e.PortStart, e.PortEnd = uint16(number(227)), uint16(number(227))
	} else {
		e.PortStart, e.PortEnd = uint16(number(361)), uint16(number(362))
	}
	return e, testFilter.Inside[0].Contains(e.Inside) && testFilter.Outside[0].Contains(e.Outside) && e.PortStart <= e.PortEnd
}

// TestDecodeAgreesWithOracle has templates of any order, with elements of no
// interest anywhere between.
func TestDecodeAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.SampledFrom([]uint16{ipfix, netflow9}).Draw(t, "version")
		base := []info{ie(230, 0), ieAddress(8, "100.64.0.1"), ieAddress(225, "203.0.113.7"), ie16(227, 0), ie16(361, 0), ie16(362, 0), ie(4, 0), ie64(323, 0),
			ieAddress(12, "198.51.100.1"), ie16(11, 443), ieAddress(226, "198.51.100.1"), ie16(228, 443), ie16(7, 9), ie32(1, 9)}
		if version == ipfix {
			base = append(base, variable(ie(82, 1)), info{number: 8, enterprise: 9, length: 4, value: []byte{1, 2, 3, 4}}, variable(ie(28, 1)))
		}
		order := rapid.Permutation(base).Draw(t, "order")
		records := make([][]info, rapid.IntRange(1, 8).Draw(t, "records"))
		for i := range records {
			r := append([]info{}, order...)
			for j, x := range r {
				value := make([]byte, len(x.value))
				switch {
				case x.length == variableLength:
					value = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
				case x.enterprise == 0 && x.number == 230:
					value[0] = rapid.SampledFrom([]byte{4, 5, 8, 9, 13, 16, 17, 0}).Draw(t, "event")
				case x.enterprise == 0 && x.number == 8:
					copy(value, rapid.SampledFrom([][]byte{{100, 64, 0, 1}, {100, 64, 3, 2}, {198, 51, 100, 7}}).Draw(t, "inside"))
				case x.enterprise == 0 && x.number == 225:
					copy(value, rapid.SampledFrom([][]byte{{203, 0, 113, 7}, {192, 0, 2, 1}}).Draw(t, "outside"))
				case x.enterprise == 0 && x.number == 323:
					binary.BigEndian.PutUint64(value, uint64(rapid.Int64Range(1, 1<<42).Draw(t, "at")))
				default:
					copy(value, rapid.SliceOfN(rapid.Byte(), len(value), len(value)).Draw(t, "value"))
				}
				r[j].value = value
			}
			records[i] = r
		}
		raw := message(version, 0, 1, templateSet(version, 256, order), dataSet(256, records...))
		d := NewDecoder(testFilter)
		ours := d.all(raw)
		want := theirs(t, raw, netflow.CreateTemplateSystem())
		if len(ours.events) != len(want) || ours.message.Verdict != "" {
			t.Fatalf("%d events, oracle %d (%+v %v)", len(ours.events), len(want), ours.message, ours.verdicts)
		}
		for i := range want {
			if ours.events[i] != want[i] {
				t.Fatalf("event %d: %+v, oracle %+v", i, ours.events[i], want[i])
			}
		}
		if len(ours.verdicts) != len(records) {
			t.Fatalf("%d verdicts of %d records", len(ours.verdicts), len(records))
		}
	})
}

func FuzzDecode(f *testing.F) {
	r := block(16, "100.64.0.10", 1024, 2047)
	s := session(4, "100.64.0.10", 3000, "198.51.100.5", 443)
	f.Add(message(ipfix, 0, 1, templateSet(ipfix, 256, r), dataSet(256, r, r)))
	f.Add(message(ipfix, 0, 1, templateSet(ipfix, 256, s), dataSet(256, s, s), optionsTemplate(), set{400, make([]byte, 9)}))
	f.Add(message(netflow9, 0, 1, templateSet(netflow9, 256, r), dataSet(256, r, r)))
	f.Add(message(netflow9, 0, 1, set{1, []byte{1, 144, 0, 4, 0, 4, 0, 1, 0, 4, 0, 2, 0, 4}}, set{400, make([]byte, 8)}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := NewDecoder(testFilter)
		for range 2 {
			got := d.all(raw)
			used := 0
			for _, v := range got.verdicts {
				if v == Used {
					used++
				}
			}
			if used != len(got.events) {
				t.Errorf("%d used, %d events", used, len(got.events))
			}
			for _, e := range got.events {
				if !contains(testFilter.Inside, e.Inside) || !contains(testFilter.Outside, e.Outside) || e.PortStart > e.PortEnd {
					t.Errorf("used %+v", e)
				}
			}
			// What one message can make it keep is bounded.
			for _, in := range d.domains {
				if len(in.templates)+len(in.options) > MaxTemplates {
					t.Errorf("%d templates", len(in.templates)+len(in.options))
				}
			}
		}
	})
}

const perMessage = 20

func benchMessage(record []info) (tmpl, data []byte) {
	records := make([][]info, perMessage)
	for i := range records {
		records[i] = record
	}
	return message(ipfix, 0, 1, templateSet(ipfix, 256, record)), message(ipfix, 0, 1, dataSet(256, records...))
}

// The figures are of a message of 20 records.
func BenchmarkDecode(b *testing.B) {
	for name, record := range map[string][]info{"blocks": block(16, "100.64.0.10", 1024, 2047), "sessions": session(4, "100.64.0.10", 3000, "198.51.100.5", 443)} {
		b.Run(name, func(b *testing.B) {
			tmpl, data := benchMessage(record)
			d := NewDecoder(testFilter)
			d.all(tmpl)
			in := d.domains[domainKey{exporter, ipfix, 1}]
			events := 0
			use, count := func(*Event) { events++ }, func(Verdict) {}
			b.ReportAllocs()
			for b.Loop() {
				in.inOrder, in.seen = false, 0 // the same message again and again
				d.Decode(exporter, 0, data, use, count)
			}
			if events != perMessage*b.N {
				b.Fatalf("%d events of %d messages", events, b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/record")
		})
	}
}

func BenchmarkOracle(b *testing.B) {
	for name, record := range map[string][]info{"blocks": block(16, "100.64.0.10", 1024, 2047), "sessions": session(4, "100.64.0.10", 3000, "198.51.100.5", 443)} {
		b.Run(name, func(b *testing.B) {
			tmpl, data := benchMessage(record)
			templates := netflow.CreateTemplateSystem()
			theirs(b, tmpl, templates)
			records := 0
			b.ReportAllocs()
			for b.Loop() {
				var v9 netflow.NFv9Packet
				var v10 netflow.IPFIXPacket
				if err := netflow.DecodeMessageVersion(bytes.NewBuffer(data), templates, &v9, &v10); err != nil {
					b.Fatal(err)
				}
				records += len(v10.FlowSets[0].(netflow.DataFlowSet).Records)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
		})
	}
}
