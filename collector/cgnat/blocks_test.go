package cgnat

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

func newTestBlocks(t interface{ Fatal(...any) }) *Blocks {
	p, err := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	return NewBlocks(BlocksConfig{CollectorID: "edge1", Pseudonymiser: p})
}

func ports(from, to uint16, protocol uint8) binding.PortBlock {
	return binding.PortBlock{Outside: netip.MustParseAddr("203.0.113.7"), Protocol: protocol, PortStart: from, PortEnd: to}
}

// told is an observation of a user's session, s seconds past noon.
func told(kind binding.ObservationKind, user string, s float64, blocks ...binding.PortBlock) binding.Observation {
	o := binding.Observation{Kind: kind, At: noon.Add(time.Duration(s * float64(time.Second))), Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
		SessionKey: "session of " + user, Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user}, NAS: "bng", Blocks: blocks}
	if kind == binding.End {
		o.EndCause = schema.EndLostCarrier
	}
	if kind == binding.NASReboot {
		o.SessionKey, o.Identifier = "", schema.Identifier{}
	}
	return o
}

// blockStory prints what rows say, the latest version of each slice only.
func blockStory(t *testing.T, b *Blocks, records []schema.Record) string {
	t.Helper()
	latest := map[string]*schema.Assignment{}
	for _, r := range records {
		if err := schema.Validate(r); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		a := r.(*schema.Assignment)
		key := a.AssignmentID.String() + a.StartedAt.String()
		if l := latest[key]; l == nil || l.Version < a.Version {
			latest[key] = a
		}
	}
	var lines []string
	for _, a := range latest {
		who := a.Inside.String()
		for _, user := range []string{"alice", "bob"} {
			if a.AccessRef == b.cfg.Pseudonymiser.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user}) {
				who = user
			}
		}
		end := fmt.Sprintf("%v %s %s", a.EndedAt.Sub(noon).Seconds(), a.EndCause, a.Certainty)
		if a.Open {
			end = "open"
		}
		lines = append(lines, fmt.Sprintf("%s %d-%d/%d from %v to %s", who, a.PortStart, a.PortEnd, a.Protocol, a.StartedAt.Sub(noon).Seconds(), end))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func TestBlocks(t *testing.T) {
	one, two := ports(1024, 2047, 0), ports(2048, 3071, 0)
	back := one
	back.Released = true
	synthesised := told(binding.End, "alice", 100, one)
	synthesised.SessionStartedAt = noon
	for name, test := range map[string]struct {
		steps []binding.Observation
		want  string
	}{
		"held":                {[]binding.Observation{told(binding.Start, "alice", 0, one)}, "alice 1024-2047/0 from 0 to open"},
		"taken back":          {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.Refresh, "alice", 9, back)}, "alice 1024-2047/0 from 0 to 9 release observed"},
		"session ends":        {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.End, "alice", 9)}, "alice 1024-2047/0 from 0 to 9 lost_carrier observed"},
		"repeated":            {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.Refresh, "alice", 5, one)}, "alice 1024-2047/0 from 0 to open"},
		"one more":            {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.Refresh, "alice", 5, two)}, "alice 1024-2047/0 from 0 to open; alice 2048-3071/0 from 5 to open"},
		"sticky":              {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.Refresh, "alice", 5)}, "alice 1024-2047/0 from 0 to open"},
		"only at the end":     {[]binding.Observation{synthesised}, "alice 1024-2047/0 from 0 to 100 lost_carrier inferred"},
		"lost end":            {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.Start, "bob", 9, one)}, "alice 1024-2047/0 from 0 to 9 superseded inferred; bob 1024-2047/0 from 9 to open"},
		"both still told":     {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.Refresh, "alice", 10), told(binding.Start, "bob", 9, one)}, "alice 1024-2047/0 from 0 to open; bob 1024-2047/0 from 9 to open"},
		"different protocols": {[]binding.Observation{told(binding.Start, "alice", 0, ports(1024, 2047, 6)), told(binding.Start, "bob", 9, ports(1024, 2047, 17))}, "alice 1024-2047/6 from 0 to open; bob 1024-2047/17 from 9 to open"},
		"NAS reboots":         {[]binding.Observation{told(binding.Start, "alice", 0, one), told(binding.NASReboot, "", 7)}, "alice 1024-2047/0 from 0 to 7 nas_reboot inferred"},
	} {
		b := newTestBlocks(t)
		for _, o := range test.steps {
			b.Apply(o)
		}
		if got := blockStory(t, b, b.Records(noon.Add(time.Hour), true)); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

func TestBlocksFromConfiguration(t *testing.T) {
	b := newTestBlocks(t)
	inside := StaticBlock{Block: ports(1024, 2047, 0), Inside: netip.MustParseAddr("100.64.0.10")}
	line := StaticBlock{Block: ports(2048, 3071, 0), Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "bob"}}
	if n := b.Configure([]StaticBlock{inside, line}, noon); n != 2 {
		t.Errorf("%d changes", n)
	}
	if n := b.Configure([]StaticBlock{line, inside}, noon.Add(time.Second)); n != 0 {
		t.Errorf("%d changes of the same configuration", n)
	}
	if n := b.Configure([]StaticBlock{line}, noon.Add(2*time.Second)); n != 1 {
		t.Errorf("%d changes", n)
	}
	if got, want := blockStory(t, b, b.Records(noon.Add(time.Hour), true)), "100.64.0.10 1024-2047/0 from 0 to 2 release observed; bob 2048-3071/0 from 0 to open"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A restart goes on where the snapshot and the observations since leave off, and
// the rows carry on with their names and higher versions.
func TestBlocksRestore(t *testing.T) {
	b := newTestBlocks(t)
	b.Apply(told(binding.Start, "alice", 0, ports(1024, 2047, 0)))
	all := b.Records(noon.Add(time.Hour), true)
	if again := b.Records(noon.Add(2*time.Hour), true); len(again) != 0 {
		t.Errorf("%d rows again, of what is stored", len(again))
	}
	state, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	after := newTestBlocks(t)
	if err := after.Restore(state); err != nil {
		t.Fatal(err)
	}
	all = append(all, after.Records(noon.Add(13*time.Hour), true)...)
	after.Apply(told(binding.End, "alice", 14*3600))
	all = append(all, after.Records(noon.Add(14*time.Hour), false)...)
	if got, want := blockStory(t, b, all), "alice 1024-2047/0 from 0 to 43200 cut observed; alice 1024-2047/0 from 43200 to 50400 lost_carrier observed"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if after.Stats().Held != 0 || len(after.pages) != 0 {
		t.Errorf("%d held, %d pages", after.Stats().Held, len(after.pages))
	}
	if err := newTestBlocks(t).Restore([]byte(`{"version":9}`)); err == nil {
		t.Error("a snapshot of another version was taken")
	}
}
