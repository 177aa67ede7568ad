package cgnat

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/collector/binding"
	"griffier/schema"
)

// logged is what a translator logs s seconds past noon: alice's (100.64.0.10) or
// bob's (100.64.0.11) block, or the port of a flow.
func logged(source schema.Source, user string, s float64, back bool, p binding.PortBlock) binding.Observation {
	p.Inside, p.Released = netip.MustParseAddr(map[string]string{"alice": "100.64.0.10", "bob": "100.64.0.11"}[user]), back
	return binding.Observation{Kind: binding.Translation, At: noon.Add(time.Duration(s * float64(time.Second))), Source: source, Certainty: schema.CertaintyObserved,
		NAS: "cgn1", SessionKey: fmt.Sprintf("cgn1|%v|%v|%d-%d/%d", p.Inside, p.Outside, p.PortStart, p.PortEnd, p.Protocol), Blocks: []binding.PortBlock{p}}
}

func TestTranslated(t *testing.T) {
	const a, b = "100.64.0.10", "100.64.0.11"
	one, two, wide := ports(1024, 2047, 0), ports(2048, 3071, 0), ports(1536, 2559, 0)
	port := ports(5000, 5000, 6)
	block := func(user string, s float64, back bool, p binding.PortBlock) binding.Observation {
		return logged(schema.SourceIPFIX, user, s, back, p)
	}
	flow := func(user string, s float64, back bool) binding.Observation {
		return logged(schema.SourceConntrack, user, s, back, port)
	}
	// A translator that keeps RADIUS accounts of inside addresses.
	account := func(user string, s float64, back bool, p binding.PortBlock) binding.Observation {
		return logged(schema.SourceRADIUS, user, s, back, p)
	}
	reboot := binding.Observation{Kind: binding.NASReboot, At: noon.Add(20 * time.Second), Source: schema.SourceRADIUS, NAS: "cgn1"}
	type steps = []any // observations, and times from when on there is doubt
	for name, test := range map[string]struct {
		steps steps
		want  string
	}{
		"block held":                 {steps{block("alice", 0, false, one)}, a + " 1024-2047/0 from 0 to open"},
		"block taken back":           {steps{block("alice", 0, false, one), block("alice", 9, true, one)}, a + " 1024-2047/0 from 0 to 9 release observed"},
		"told again":                 {steps{block("alice", 0, false, one), block("alice", 5, false, one), block("alice", 9, true, one)}, a + " 1024-2047/0 from 0 to 9 release observed"},
		"two blocks":                 {steps{block("alice", 0, false, one), block("alice", 5, false, two), block("alice", 9, true, one)}, a + " 1024-2047/0 from 0 to 9 release observed; " + a + " 2048-3071/0 from 5 to open"},
		"its end is lost":            {steps{block("alice", 0, false, one), block("bob", 9, false, one)}, a + " 1024-2047/0 from 0 to 9 superseded inferred; " + b + " 1024-2047/0 from 9 to open"},
		"overlaps in part":           {steps{block("alice", 0, false, one), block("bob", 9, false, wide)}, a + " 1024-2047/0 from 0 to 9 superseded inferred; " + b + " 1536-2559/0 from 9 to open"},
		"end before start, late":     {steps{block("alice", 5, false, one), block("alice", 4, true, one)}, a + " 1024-2047/0 from 5 to open"},
		"end of an unknown one":      {steps{block("alice", 5, true, one)}, ""},
		"flow":                       {steps{flow("alice", 0, false), flow("alice", 3, true)}, a + " 5000-5000/6 from 0 to 3.001 release observed"},
		"two flows of a socket":      {steps{flow("alice", 0, false), flow("alice", 1, false), flow("alice", 3, true), flow("alice", 7, true)}, a + " 5000-5000/6 from 0 to 7.001 release observed"},
		"one port, two at once":      {steps{flow("alice", 0, false), flow("bob", 1, false), flow("alice", 3, true)}, a + " 5000-5000/6 from 0 to 3.001 release observed; " + b + " 5000-5000/6 from 1 to open"},
		"block in doubt":             {steps{block("alice", 0, false, one), 10.0}, a + " 1024-2047/0 from 0 to 10 cut observed; " + a + " 1024-2047/0 from 10 to open"},
		"block in doubt, taken back": {steps{block("alice", 0, false, one), 10.0, block("alice", 20, true, one)}, a + " 1024-2047/0 from 0 to 10 cut observed; " + a + " 1024-2047/0 from 10 to 20 release inferred"},
		"doubted twice":              {steps{block("alice", 0, false, one), 10.0, 15.0, block("alice", 20, true, one)}, a + " 1024-2047/0 from 0 to 10 cut observed; " + a + " 1024-2047/0 from 10 to 20 release inferred"},
		"flow in doubt":              {steps{flow("alice", 0, false), 10.0, flow("alice", 20, true)}, a + " 5000-5000/6 from 0 to 10 inferred inferred"},
		"RADIUS account":             {steps{account("alice", 0, false, one), account("alice", 5, false, two), account("alice", 9, true, one)}, a + " 1024-2047/0 from 0 to 9 release observed; " + a + " 2048-3071/0 from 5 to open"},
		"its Stop is lost":           {steps{account("alice", 0, false, one), account("bob", 9, false, one)}, a + " 1024-2047/0 from 0 to 9 superseded inferred; " + b + " 1024-2047/0 from 9 to open"},
		"its translator reboots":     {steps{account("alice", 0, false, one), block("bob", 0, false, two), reboot}, a + " 1024-2047/0 from 0 to 20 nas_reboot inferred; " + b + " 2048-3071/0 from 0 to open"},
		"given in the time in doubt": {steps{block("alice", 12, false, one), 10.0}, a + " 1024-2047/0 from 12 to open"},
	} {
		x := newTestBlocks(t)
		var all []schema.Record
		for _, s := range test.steps {
			switch s := s.(type) {
			case binding.Observation:
				x.Apply(s)
			case float64:
				x.Doubt("cgn2", noon)
				x.Doubt("cgn1", noon.Add(time.Duration(s*float64(time.Second))))
			}
			all = append(all, x.Records(noon.Add(time.Minute), true)...)
		}
		all = append(all, x.Records(noon.Add(time.Hour), true)...)
		if got := blockStory(t, x, all); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

// A flow whose end is lost names its subscriber for a day and no longer.
func TestFlowsAge(t *testing.T) {
	b := newTestBlocks(t)
	b.Apply(logged(schema.SourceConntrack, "alice", 0, false, ports(5000, 5000, 6)))
	b.Records(noon.Add(23*time.Hour), true)
	if b.Stats().Held != 1 {
		t.Fatal("forgotten within a day")
	}
	rows := b.Records(noon.Add(25*time.Hour), true)
	last := rows[len(rows)-1].(*schema.Assignment)
	if b.Stats().Held != 0 || b.Stats().Aged != 1 || last.EndCause != schema.EndInferred || last.Certainty != schema.CertaintyInferred || !last.EndedAt.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("%+v, last row %+v", b.Stats(), last)
	}
}

// TestLogAgreesWithTranslator has a translator give and take blocks, each to one
// inside address at a time, and log it. With nothing lost the rows are its own
// table; with restarts from snapshot and repeated observations they still are; and
// with ends lost nobody but the last holder is ever named as living.
func TestLogAgreesWithTranslator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newTestBlocks(t)
		holder := map[int]string{}
		want := map[string]int{} // intervals that ended, by how
		lossy := rapid.Bool().Draw(t, "lossy")
		var all []schema.Record
		now := 0.0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += float64(rapid.IntRange(1, 50).Draw(t, "gap")) / 10
			n := rapid.IntRange(0, 3).Draw(t, "block")
			p := ports(uint16(1024+256*n), uint16(1024+256*n+255), 0)
			tell := func(o binding.Observation) {
				text, err := json.Marshal(o) // as the spool has it
				if err != nil {
					t.Fatal(err)
				}
				var back binding.Observation
				if err := json.Unmarshal(text, &back); err != nil {
					t.Fatal(err)
				}
				b.Apply(back)
			}
			if h := holder[n]; h != "" {
				delete(holder, n)
				if lossy && rapid.Bool().Draw(t, "lost") {
					continue
				}
				tell(logged(schema.SourceIPFIX, h, now, true, p))
				want[h]++
			} else {
				holder[n] = rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "to")
				tell(logged(schema.SourceIPFIX, holder[n], now, false, p))
			}
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				all = append(all, b.Records(noon.Add(time.Duration(now*float64(time.Second))), true)...)
			case 1:
				all = append(all, b.Records(noon.Add(time.Duration(now*float64(time.Second))), false)...)
				state, err := b.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				b = newTestBlocks(t)
				if err := b.Restore(state); err != nil {
					t.Fatal(err)
				}
			}
		}
		all = append(all, b.Records(noon.Add(time.Hour), true)...)
		latest := map[string]*schema.Assignment{}
		for _, r := range all {
			a := r.(*schema.Assignment)
			if l := latest[a.AssignmentID.String()]; l == nil || l.Version < a.Version {
				latest[a.AssignmentID.String()] = a
			}
		}
		open := map[uint16]netip.Addr{}
		released := map[string]int{}
		for _, a := range latest {
			who := map[string]string{"100.64.0.10": "alice", "100.64.0.11": "bob"}[a.Inside.String()]
			if a.EndCause == schema.EndRelease {
				released[who]++
			}
			if !a.Open {
				continue
			}
			if other, twice := open[a.PortStart]; twice {
				t.Fatalf("ports from %d are open for %v and %v", a.PortStart, other, a.Inside)
			}
			open[a.PortStart] = a.Inside
		}
		for n, h := range holder {
			if inside := open[uint16(1024+256*n)]; inside.String() != map[string]string{"alice": "100.64.0.10", "bob": "100.64.0.11"}[h] {
				t.Fatalf("block %d is %s's, and open for %v", n, h, inside)
			}
		}
		if !lossy && (len(open) != len(holder) || released["alice"] != want["alice"] || released["bob"] != want["bob"]) {
			t.Fatalf("open %v, held %v; released %v, want %v", open, holder, released, want)
		}
		if len(b.pages) > 2*4 {
			t.Fatalf("%d pages", len(b.pages))
		}
	})
}
