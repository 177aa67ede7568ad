package cgnat

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/schema"
)

var noon = time.Date(2026, 11, 19, 12, 0, 0, 0, time.UTC)

func newTestTable(t testing.TB, cfg TableConfig) *Table {
	p, err := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	cfg.CollectorID, cfg.Pseudonymiser = "edge1", p
	return NewTable(cfg)
}

// event is of subscriber n's flow id through a port, s seconds past noon.
func event(kind EventKind, subscriber byte, number uint16, id uint32, s float64) (*Event, time.Time) {
	at := noon.Add(time.Duration(s * float64(time.Second)))
	e := &Event{Kind: kind, Protocol: 17, Port: number, ID: id, Inside: netip.AddrFrom4([4]byte{100, 64, 0, subscriber}),
		Outside: netip.AddrFrom4([4]byte{203, 0, 113, 1}), At: at.UnixNano()}
	return e, at
}

// story prints what rows say, the latest version of each slice only.
func story(records []schema.Record) string {
	latest := map[string]*schema.Assignment{}
	for _, r := range records {
		if err := schema.Validate(r); err != nil {
			return err.Error()
		}
		a := r.(*schema.Assignment)
		key := a.AssignmentID.String() + a.StartedAt.String()
		if l := latest[key]; l == nil || l.Version < a.Version {
			latest[key] = a
		}
	}
	var lines []string
	for _, a := range latest {
		end := fmt.Sprintf("%.3f %s", a.EndedAt.Sub(noon).Seconds(), a.EndCause)
		if a.Open {
			end = "open"
		}
		lines = append(lines, fmt.Sprintf("%d had %d from %.3f to %s", a.Inside.As4()[3], a.PortStart, a.StartedAt.Sub(noon).Seconds(), end))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func TestTable(t *testing.T) {
	type step struct {
		kind       EventKind
		subscriber byte
		port       uint16
		id         uint32
		s          float64
	}
	for name, test := range map[string]struct {
		steps []step
		want  string
		reuse uint64
	}{
		"one flow":              {[]step{{New, 1, 2000, 1, 0}, {Destroy, 1, 2000, 1, 5}}, "1 had 2000 from 0.000 to 5.000 release", 0},
		"lives":                 {[]step{{New, 1, 2000, 1, 0}}, "1 had 2000 from 0.000 to open", 0},
		"two flows, one port":   {[]step{{New, 1, 2000, 1, 0}, {New, 1, 2000, 2, 1}, {Destroy, 1, 2000, 1, 5}, {Destroy, 1, 2000, 2, 9}}, "1 had 2000 from 0.000 to 9.000 release", 0},
		"again soon":            {[]step{{New, 1, 2000, 1, 0}, {Destroy, 1, 2000, 1, 5}, {New, 1, 2000, 2, 30}, {Destroy, 1, 2000, 2, 31}}, "1 had 2000 from 0.000 to 31.000 release", 0},
		"again late":            {[]step{{New, 1, 2000, 1, 0}, {Destroy, 1, 2000, 1, 5}, {New, 1, 2000, 2, 36}, {Destroy, 1, 2000, 2, 37}}, "1 had 2000 from 0.000 to 5.000 release; 1 had 2000 from 36.000 to 37.000 release", 0},
		"another in the pause":  {[]step{{New, 1, 2000, 1, 0}, {Destroy, 1, 2000, 1, 5}, {New, 2, 2000, 2, 6}, {Destroy, 2, 2000, 2, 7}, {New, 1, 2000, 3, 8}, {Destroy, 1, 2000, 3, 9}}, "1 had 2000 from 0.000 to 5.000 release; 1 had 2000 from 8.000 to 9.000 release; 2 had 2000 from 6.000 to 7.000 release", 0},
		"reuse at once":         {[]step{{New, 1, 2000, 1, 0}, {New, 2, 2000, 2, 1}, {Destroy, 1, 2000, 1, 2}, {Destroy, 2, 2000, 2, 3}}, "1 had 2000 from 0.000 to 2.000 release; 2 had 2000 from 1.000 to 3.000 release", 1},
		"told twice":            {[]step{{New, 1, 2000, 1, 0}, {New, 1, 2000, 1, 0}, {Destroy, 1, 2000, 1, 5}}, "1 had 2000 from 0.000 to 5.000 release", 0},
		"end only, start told":  {[]step{{Destroy, 1, 2000, 1, 5}}, "", 0},
		"shorter than a moment": {[]step{{New, 1, 2000, 1, 0.0001}, {Destroy, 1, 2000, 1, 0.0002}}, "1 had 2000 from 0.000 to 0.001 release", 0},
	} {
		table := newTestTable(t, TableConfig{})
		for _, s := range test.steps {
			table.Apply(event(s.kind, s.subscriber, s.port, s.id, s.s))
		}
		if got := story(table.Records(noon.Add(2*time.Minute), true)); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
		if got := table.Stats().Reused; got != test.reuse {
			t.Errorf("%s: %d reused, want %d", name, got, test.reuse)
		}
	}
}

// A short flow is one row; a long one two, however often Records is called.
func TestRowsPerMapping(t *testing.T) {
	table := newTestTable(t, TableConfig{})
	table.Apply(event(New, 1, 2000, 1, 0))
	table.Apply(event(New, 1, 2001, 2, 0))
	table.Apply(event(Destroy, 1, 2000, 1, 5))
	rows := 0
	for s := range 600 {
		rows += len(table.Records(noon.Add(time.Duration(s)*time.Second), s%300 == 299))
	}
	table.Apply(event(Destroy, 1, 2001, 2, 601))
	rows += len(table.Records(noon.Add(700*time.Second), false))
	if rows != 3 {
		t.Errorf("%d rows of a short and a long flow, want 3", rows)
	}
	if n := table.Stats().Live; n != 0 {
		t.Errorf("%d mappings left", n)
	}
}

func TestCutAtMidnight(t *testing.T) {
	table := newTestTable(t, TableConfig{})
	table.Apply(event(New, 1, 2000, 1, 0))
	var all []schema.Record
	all = append(all, table.Records(noon.Add(time.Hour), true)...)
	all = append(all, table.Records(noon.Add(13*time.Hour), true)...)
	if got, want := story(all), "1 had 2000 from 0.000 to 43200.000 cut; 1 had 2000 from 43200.000 to open"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	table.Apply(event(Destroy, 1, 2000, 1, 37*3600))
	all = append(all, table.Records(noon.Add(38*time.Hour), false)...)
	if got, want := story(all), "1 had 2000 from 0.000 to 43200.000 cut; 1 had 2000 from 129600.000 to 133200.000 release; 1 had 2000 from 43200.000 to 129600.000 cut"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// After an overrun the dump decides: what is not in it ended when it was last
// surely alive, what is in it goes on and is given out again, what is new begins.
func TestSync(t *testing.T) {
	table := newTestTable(t, TableConfig{})
	for id := range uint32(3) {
		table.Apply(event(New, 1, 2000+uint16(id), id, 0))
	}
	all := table.Records(noon.Add(time.Second), true)
	table.BeginSync()
	table.Apply(event(Seen, 1, 2001, 1, 100))
	table.Apply(event(Seen, 1, 2001, 1, 100)) // a dump may repeat itself
	fresh, at := event(Seen, 2, 2005, 9, 100)
	fresh.StartedAt = noon.Add(50 * time.Second).UnixNano()
	table.Apply(fresh, at)
	table.EndSync(noon.Add(40 * time.Second))
	// The end of a flow that was gone before the dump comes after it, and is sure.
	table.Apply(event(Destroy, 1, 2002, 2, 99))
	// A flow of the dump is told of again by an event that waited.
	again, at := event(New, 2, 2005, 9, 101)
	table.Apply(again, at)
	table.Apply(event(Destroy, 1, 2001, 1, 120))
	table.Apply(event(Destroy, 2, 2005, 9, 121))
	all = append(all, table.Records(noon.Add(200*time.Second), true)...)
	want := "1 had 2000 from 0.000 to 40.000 inferred; 1 had 2001 from 0.000 to 120.000 release; 1 had 2002 from 0.000 to 99.000 inferred; 2 had 2005 from 50.000 to 121.000 release"
	if got := story(all); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLateEnd(t *testing.T) {
	table := newTestTable(t, TableConfig{})
	e, at := event(Destroy, 1, 2000, 1, 50)
	e.StartedAt, e.StoppedAt = noon.UnixNano(), noon.Add(49*time.Second).UnixNano()
	table.Apply(e, at)
	if got, want := story(table.Records(noon.Add(100*time.Second), false)), "1 had 2000 from 0.000 to 49.000 release"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTableFull(t *testing.T) {
	table := newTestTable(t, TableConfig{MaxMappings: 2})
	for id := range uint32(3) {
		table.Apply(event(New, 1, uint16(id), id, 0))
	}
	if s := table.Stats(); s.Live != 2 || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}

// Any interleaving of flows of several subscribers over few ports: the rows say
// at every moment at which a flow lived exactly who had the port, and never
// claim a port for somebody in a pause in which another had it.
func TestRowsAgreeWithFlows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := schema.NewPseudonymiser(make([]byte, schema.KeyLength))
		if err != nil {
			t.Fatal(err)
		}
		table := NewTable(TableConfig{CollectorID: "c", Pseudonymiser: p, Linger: 10 * time.Second})
		type live struct {
			subscriber byte
			port       uint16
			id         uint32
		}
		type span struct{ from, to float64 }
		truth := map[live][]span{}
		started := map[live]float64{}
		var flows []live
		var rows []schema.Record
		now, id := 0.0, uint32(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += float64(rapid.IntRange(1, 8).Draw(t, "pause"))
			switch k := rapid.IntRange(0, 9).Draw(t, "what"); {
			case k < 5:
				f := live{byte(rapid.IntRange(1, 3).Draw(t, "who")), uint16(rapid.IntRange(1, 2).Draw(t, "port")), id}
				id++
				flows, started[f] = append(flows, f), now
				table.Apply(event(New, f.subscriber, f.port, f.id, now))
			case k < 9 && len(flows) > 0:
				i := rapid.IntRange(0, len(flows)-1).Draw(t, "which")
				f := flows[i]
				flows = slices.Delete(flows, i, i+1)
				truth[f] = append(truth[f], span{started[f], now})
				table.Apply(event(Destroy, f.subscriber, f.port, f.id, now))
			default:
				rows = append(rows, table.Records(noon.Add(time.Duration(now*float64(time.Second))), rapid.Bool().Draw(t, "all"))...)
			}
		}
		now += 100
		for _, f := range flows {
			truth[f] = append(truth[f], span{started[f], now})
			table.Apply(event(Destroy, f.subscriber, f.port, f.id, now))
		}
		rows = append(rows, table.Records(noon.Add(time.Duration((now+20)*float64(time.Second))), true)...)
		latest := map[string]*schema.Assignment{}
		for _, r := range rows {
			a := r.(*schema.Assignment)
			if err := schema.Validate(a); err != nil {
				t.Fatal(err)
			}
			key := a.AssignmentID.String() + a.StartedAt.String()
			if latest[key] == nil || latest[key].Version < a.Version {
				latest[key] = a
			}
		}
		holders := func(number uint16, s float64) map[byte]bool {
			at, out := noon.Add(time.Duration(s*float64(time.Second))), map[byte]bool{}
			for _, a := range latest {
				if a.Open {
					t.Fatalf("open at the end: %+v", a)
				}
				if a.PortStart == number && !at.Before(a.StartedAt) && at.Before(a.EndedAt) {
					out[a.Inside.As4()[3]] = true
				}
			}
			return out
		}
		for number := uint16(1); number <= 2; number++ {
			for s := 0.5; s < now; s++ {
				want := map[byte]bool{}
				for f, spans := range truth {
					for _, x := range spans {
						if f.port == number && s >= x.from && s < x.to {
							want[f.subscriber] = true
						}
					}
				}
				got := holders(number, s)
				for who := range want {
					if !got[who] {
						t.Fatalf("port %d at %v: %v had it, rows say %v", number, s, want, got)
					}
				}
				if len(want) > 0 && len(got) > len(want) {
					t.Fatalf("port %d at %v: only %v had it, rows say %v", number, s, want, got)
				}
				if len(got) > 1 && len(want) < 2 {
					t.Fatalf("port %d at %v: rows claim it for %v at once", number, s, got)
				}
			}
		}
	})
}
