package disclosure_test

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/schema"
	"griffier/schema/cgnat"
)

const (
	public = "192.0.2.17"
	tcp    = 6
	udp    = 17
)

var (
	insideA = netip.MustParseAddr("100.64.0.10")
	insideB = netip.MustParseAddr("100.64.0.11")
)

// mapped is a row of a translator: inside had ports of the public address.
func mapped(source schema.Source, inside netip.Addr, protocol uint8, from, to uint16, start, end float64) schema.Assignment {
	a := assignment(public+"/32", 0, start, end)
	a.AccessRef, a.Inside, a.Protocol, a.PortStart, a.PortEnd, a.Source = schema.AccessRef{}, inside, protocol, from, to, source
	return a
}

// flow is one port that conntrack reported.
func flow(inside netip.Addr, protocol uint8, port uint16, start, end float64) schema.Assignment {
	return mapped(schema.SourceConntrack, inside, protocol, port, port, start, end)
}

// sharedWorld is a world in which lines A and B hold the two inside addresses.
func sharedWorld() disclosure.Evidence {
	w := world()
	w.Inside = map[netip.Addr]disclosure.Evidence{insideA: insideWorld(insideA, 1), insideB: insideWorld(insideB, 3)}
	return w
}

func insideWorld(a netip.Addr, b byte) disclosure.Evidence {
	w := world()
	w.Ranges = []disclosure.Range{{Prefix: netip.MustParsePrefix("100.64.0.0/10"), CollectorIDs: []string{"c1"}, ValidFrom: always[0], ValidTo: always[1]}}
	w.Assignments = []schema.Assignment{assignment(a.String()+"/32", b, -600, 600)}
	return w
}

func TestJudgePorts(t *testing.T) {
	type e = disclosure.Evidence
	hold := func(rows ...schema.Assignment) func(*e) { return func(w *e) { w.Assignments = rows } }
	both := func(changes ...func(*e)) func(*e) {
		return func(w *e) {
			for _, c := range changes {
				c(w)
			}
		}
	}
	inside := func(a netip.Addr, change func(*e)) func(*e) {
		return func(w *e) {
			x := w.Inside[a]
			change(&x)
			w.Inside[a] = x
		}
	}
	blocks := hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, -600, 600), mapped(schema.SourceStatic, insideB, 0, 2048, 3071, -600, 600))
	translation := func(w *e) {
		w.Ranges[0].Translation = cgnat.Parameters{Algorithm: cgnat.Sequential, Outside: w.Ranges[0].Prefix, Inside: netip.MustParsePrefix("100.64.0.0/26"),
			FirstPort: 1024, PortsPerSubscriber: 2016}
	}
	for name, test := range map[string]struct {
		port     uint16
		protocol uint8
		change   func(*e)
		want     reason.Reason
		line     string // or band
	}{
		"blocks, no port":           {0, 0, blocks, reason.PortRequired, "2-10"},
		"blocks, first port":        {1024, tcp, blocks, reason.Match, "A"},
		"blocks, last port":         {2047, udp, blocks, reason.Match, "A"},
		"blocks, the next":          {2048, 0, blocks, reason.Match, "B"},
		"blocks, nobody's":          {1023, tcp, blocks, reason.NoMatch, ""},
		"block of a reference":      {1500, tcp, hold(block(3, 1024, 2047)), reason.Match, "B"},
		"block of an unknown one":   {1500, tcp, hold(block(9, 1024, 2047)), reason.DataConflict, ""},
		"block begins within":       {1500, tcp, hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, 1, 600)), reason.AmbiguousBoundary, ""},
		"block moves within":        {1500, tcp, hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, -600, 0), mapped(schema.SourceStatic, insideB, 0, 1024, 2047, 0, 600)), reason.AmbiguousBoundary, ""},
		"one block of two lines":    {1500, tcp, hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, -600, 600), mapped(schema.SourceStatic, insideB, 0, 1500, 1500, -600, 600)), reason.DataConflict, ""},
		"block overlaid by another": {1600, tcp, hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, -600, 600), mapped(schema.SourceStatic, insideB, 0, 1500, 1500, -600, 600)), reason.Match, "A"},
		"blocks by protocol, TCP":   {1500, tcp, hold(mapped(schema.SourceRADIUS, insideA, tcp, 1024, 2047, -600, 600), mapped(schema.SourceRADIUS, insideB, udp, 1024, 2047, -600, 600)), reason.Match, "A"},
		"blocks by protocol, UDP":   {1500, udp, hold(mapped(schema.SourceRADIUS, insideA, tcp, 1024, 2047, -600, 600), mapped(schema.SourceRADIUS, insideB, udp, 1024, 2047, -600, 600)), reason.Match, "B"},
		"blocks by protocol, none":  {1500, 0, hold(mapped(schema.SourceRADIUS, insideA, tcp, 1024, 2047, -600, 600), mapped(schema.SourceRADIUS, insideB, udp, 1024, 2047, -600, 600)), reason.PortRequired, "2-10"},
		"a port of one's own":       {1500, tcp, hold(assignment(public+"/32", 1, -60, 60)), reason.Match, "A"},

		"flow":                       {1500, tcp, hold(flow(insideA, tcp, 1500, -60, 60)), reason.Match, "A"},
		"flow, no port":              {0, 0, hold(flow(insideA, tcp, 1500, -60, 60)), reason.PortRequired, "1"},
		"flow of another protocol":   {1500, udp, hold(flow(insideA, tcp, 1500, -60, 60)), reason.NoMatch, ""},
		"flow that begins then":      {1500, tcp, hold(flow(insideA, tcp, 1500, 0.2, 60)), reason.Match, "A"},
		"flow that was over":         {1500, tcp, hold(flow(insideA, tcp, 1500, -60, -2.5)), reason.NoMatch, ""},
		"port reused at once":        {1500, tcp, hold(flow(insideA, tcp, 1500, -60, 60), flow(insideB, tcp, 1500, -1, 60)), reason.AmbiguousPortReuse, "2-10"},
		"port reused at once, later": {1500, tcp, hold(flow(insideA, tcp, 1500, -60, 60), flow(insideB, tcp, 1500, 10, 60)), reason.Match, "A"},
		"port reused by one line": {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60), flow(insideB, tcp, 1500, -1, 60)),
			inside(insideB, func(x *e) { x.Assignments[0].AccessRef = ref(2) })), reason.Match, "A"},
		"one flow after the other":    {1500, tcp, hold(flow(insideA, tcp, 1500, -60, -1), flow(insideB, tcp, 1500, 1, 60)), reason.AmbiguousBoundary, ""},
		"same subscriber twice":       {1500, tcp, hold(flow(insideA, tcp, 1500, -60, -1), flow(insideA, tcp, 1500, 1, 60)), reason.Match, "A"},
		"flow, protocol not stated":   {1500, 0, hold(flow(insideA, tcp, 1500, -60, 60)), reason.Match, "A"},
		"flows of two protocols":      {1500, 0, hold(flow(insideA, tcp, 1500, -60, 60), flow(insideB, udp, 1500, -60, 60)), reason.PortRequired, "2-10"},
		"flow in a block of another":  {1500, tcp, hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, -600, 600), flow(insideB, tcp, 1500, -60, 60)), reason.AmbiguousPortReuse, "2-10"},
		"inside held by nobody, flow": {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), inside(insideA, func(x *e) { x.Assignments = nil })), reason.DataConflict, ""},
		"inside held by nobody, block": {1500, tcp, both(hold(mapped(schema.SourceStatic, insideA, 0, 1024, 2047, -600, 600)),
			inside(insideA, func(x *e) { x.Assignments = nil })), reason.NoMatch, ""},
		"inside handed over": {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), inside(insideA, func(x *e) {
			x.Assignments = []schema.Assignment{assignment("100.64.0.10/32", 1, -600, 0), assignment("100.64.0.10/32", 3, 0, 600)}
		})), reason.AmbiguousBoundary, ""},
		"inside not covered":         {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), inside(insideA, func(x *e) { x.Coverage = nil })), reason.CoverageGap, ""},
		"inside of a reseller":       {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), inside(insideA, func(x *e) { x.Ranges[0].Provider = "Example Telecom" })), reason.OtherProvider, ""},
		"inside not in the ranges":   {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), inside(insideA, func(x *e) { x.Ranges = nil })), reason.DataConflict, ""},
		"inside not read":            {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), func(x *e) { x.Inside = nil }), reason.DataConflict, ""},
		"outside gap":                {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60)), func(x *e) { x.Coverage = nil }), reason.CoverageGap, ""},
		"reused, one not resolvable": {1500, tcp, both(hold(flow(insideA, tcp, 1500, -60, 60), flow(insideB, tcp, 1500, -60, 60)), inside(insideB, func(x *e) { x.Coverage = nil })), reason.CoverageGap, ""},

		"deterministic, address without subscribers": {1500, tcp, translation, reason.NoMatch, ""},
		"deterministic, no port": {0, 0, func(w *e) {
			w.Ranges[0].Translation = alone(insideA)
			w.Ranges[0].Translation.Inside = netip.MustParsePrefix("100.64.0.0/26")
		}, reason.PortRequired, "11-100"},
		"deterministic, in the block":    {1535, udp, func(w *e) { w.Ranges[0].Translation = alone(insideA) }, reason.Match, "A"},
		"deterministic, above the block": {1536, udp, func(w *e) { w.Ranges[0].Translation = alone(insideA) }, reason.NoMatch, ""},
		"deterministic, reserved":        {1023, udp, func(w *e) { w.Ranges[0].Translation = alone(insideA) }, reason.NoMatch, ""},
		"a longer range without one": {1500, udp, func(w *e) {
			w.Ranges[0].Translation = alone(insideA)
			longer := w.Ranges[0]
			longer.Prefix, longer.Translation = netip.MustParsePrefix(public+"/32"), cgnat.Parameters{}
			w.Ranges = append(w.Ranges, longer)
		}, reason.NoMatch, ""},
		"a longer range without one, since": {1500, udp, func(w *e) {
			w.Ranges[0].Translation = alone(insideA)
			longer := w.Ranges[0]
			longer.Prefix, longer.Translation, longer.ValidFrom = netip.MustParsePrefix(public+"/32"), cgnat.Parameters{}, at(1)
			w.Ranges = append(w.Ranges, longer)
		}, reason.AmbiguousBoundary, ""},
		"a longer range without one, later": {1500, udp, func(w *e) {
			w.Ranges[0].Translation = alone(insideA)
			longer := w.Ranges[0]
			longer.Prefix, longer.Translation, longer.ValidFrom = netip.MustParsePrefix(public+"/32"), cgnat.Parameters{}, at(10)
			w.Ranges = append(w.Ranges, longer)
		}, reason.Match, "A"},
		"parameters changed within": {1500, udp, func(w *e) {
			w.Ranges[0].Translation = alone(insideA)
			later := w.Ranges[0]
			w.Ranges[0].ValidTo, later.ValidFrom, later.Translation = at(0), at(0), alone(insideB)
			w.Ranges = append(w.Ranges, later)
		}, reason.AmbiguousBoundary, ""},
		"parameters changed before": {1500, udp, func(w *e) {
			w.Ranges[0].Translation = alone(insideA)
			later := w.Ranges[0]
			w.Ranges[0].ValidTo, later.ValidFrom, later.Translation = at(-10), at(-10), alone(insideB)
			w.Ranges = append(w.Ranges, later)
		}, reason.Match, "B"},
	} {
		t.Run(name, func(t *testing.T) {
			w := sharedWorld()
			test.change(&w)
			p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr(public), Instant: noon, Port: test.port, Protocol: test.protocol}, disclosure.DefaultClockMargin)
			got := disclosure.Judge(p, w)
			if got.Reason != test.want || got.LineID+got.Candidates != test.line {
				t.Errorf("Judge = %s %q %q, want %s %q", got.Reason, got.LineID, got.Candidates, test.want, test.line)
			}
			if got.Reason != reason.Match && (got.LineID != "" || got.Prefix.IsValid() || got.Sources != nil) {
				t.Errorf("%s tells of a holder: %+v", got.Reason, got)
			}
			for _, a := range disclosure.InsideAddresses(p, w) {
				if test.port == 0 || a != insideA && a != insideB {
					t.Errorf("InsideAddresses has %v", a)
				}
			}
		})
	}
}

// alone gives the public address to one inside address.
func alone(inside netip.Addr) cgnat.Parameters {
	return cgnat.Parameters{Algorithm: cgnat.Striped, Outside: netip.MustParsePrefix(public + "/32"), Inside: netip.PrefixFrom(inside, 32),
		FirstPort: 1024, PortsPerSubscriber: 512}
}

// Whatever the rows, an answer that names a line names the one that every
// matching row at every moment leads to; and no other answer names anybody.
func TestNeverOneOfSeveral(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := sharedWorld()
		port := rapid.Uint16Range(1, 3)
		type truth struct{ start, end float64 }
		lines := map[string][]truth{}
		asked, protocol := port.Draw(rt, "asked"), rapid.SampledFrom([]uint8{0, tcp, udp}).Draw(rt, "protocol asked")
		for range rapid.IntRange(0, 5).Draw(rt, "rows") {
			start := float64(rapid.IntRange(-6, 6).Draw(rt, "start"))
			end := start + float64(rapid.IntRange(1, 8).Draw(rt, "length"))
			inside := rapid.SampledFrom([]netip.Addr{insideA, insideB}).Draw(rt, "inside")
			from := port.Draw(rt, "from")
			a := mapped(rapid.SampledFrom([]schema.Source{schema.SourceConntrack, schema.SourceStatic}).Draw(rt, "source"), inside,
				rapid.SampledFrom([]uint8{0, tcp, udp}).Draw(rt, "protocol"), from, from+uint16(rapid.IntRange(0, 1).Draw(rt, "more")), start, end)
			w.Assignments = append(w.Assignments, a)
			if a.PortStart <= asked && asked <= a.PortEnd && (a.Protocol == 0 || protocol == 0 || a.Protocol == protocol) {
				line := map[netip.Addr]string{insideA: "A", insideB: "B"}[inside]
				lines[line] = append(lines[line], truth{start, end})
			}
		}
		p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr(public), Instant: noon, Port: asked, Protocol: protocol}, 2*time.Second)
		touching := map[string]bool{}
		for line, spans := range lines {
			for _, s := range spans {
				if s.start <= 2 && s.end > -2 {
					touching[line] = true
				}
			}
		}
		got := disclosure.Judge(p, w)
		switch {
		case got.Reason == reason.Match && (len(touching) != 1 || !touching[got.LineID]):
			rt.Fatalf("MATCH %s, but %v had the port", got.LineID, touching)
		case got.Reason == reason.NoMatch && len(touching) != 0:
			rt.Fatalf("NO_MATCH, but %v had the port", touching)
		case got.Reason != reason.Match && got.LineID != "":
			rt.Fatalf("%s names %s", got.Reason, got.LineID)
		}
	})
}
