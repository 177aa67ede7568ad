package execute_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// What is so recent that rows may be on their way is not asked yet: nothing is read or
// entered, the refusal says when to ask, and then it is answered. A preservation, the
// register and a hold do not wait.
func TestLateArrivalGrace(t *testing.T) {
	l := newLab(t)
	l.household()
	now := l.Now().Truncate(time.Second)
	c := l.Content(hour)
	c.WindowEnd = now.Add(hour).Format(time.RFC3339)
	w := l.Approve(c)
	instant := now.Add(-10 * time.Minute)
	task := l.Task(w, "192.0.2.17", instant)
	due := instant.Add(15*time.Minute + 2*time.Second) // grace and clock margin
	if !task.GetExecutableFrom().AsTime().Equal(due) {
		t.Errorf("executable from %v, want %v", task.GetExecutableFrom().AsTime(), due)
	}
	reads := l.Traffic.Reads.Load()
	for range 2 {
		_, err := l.Execute(task)
		l.Want(err, reason.TooRecent)
		if e := reason.From(err); e == nil || !strings.Contains(e.Detail, due.UTC().Format(time.RFC3339)) || strings.Contains(e.Detail, "192.0.2") {
			t.Errorf("the refusal: %v", e)
		}
	}
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create"}) || l.Traffic.Reads.Load() != reads {
		t.Errorf("entries %v, %d reads", got, l.Traffic.Reads.Load()-reads)
	}
	if task, err := l.Ask(l.Everything("line:line-carol"), identityOf, "line:line-carol", 0, 0); err != nil || task.ExecutableFrom != nil {
		t.Errorf("identity waits: %v, %v", task, err)
	}
	l.Skew.Store(int64(time.Until(due) - time.Minute))
	_, err := l.Execute(task)
	l.Want(err, reason.TooRecent)
	l.Skew.Store(int64(time.Until(due) + time.Millisecond))
	done, _ := l.MustExecute(task, reason.CoverageGap) // the lab's collector stopped before
	if done.ExecutableFrom != nil {
		t.Error("what was executed waits")
	}
}

// Another holder shortly before or after the uncertainty interval does not change the
// answer, and is warned of: how many in a band, and nothing of who or when.
func TestNeighbouringAssignments(t *testing.T) {
	l := newLab(t)
	ref := func(name string) schema.AccessRef {
		return l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"})
	}
	held := func(n byte, name, prefix string, from, to time.Duration, ports ...uint16) schema.Record {
		a := &schema.Assignment{AssignmentID: schema.ID{8, n}, SessionID: schema.ID{8, n}, AccessRef: ref(name), Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535,
			AssignmentStartedAt: l.Noon.Add(from), StartedAt: l.Noon.Add(from), EndedAt: l.Noon.Add(to), Version: 1, EndCause: schema.EndRelease,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		if len(ports) == 2 {
			a.PortStart, a.PortEnd = ports[0], ports[1]
		}
		return a
	}
	err := schema.Insert(t.Context(), l.Conn, "neighbours", []schema.Record{
		held(1, "bob", "192.0.2.50/32", -hour, -10*time.Minute), held(2, "alice", "192.0.2.50/32", -10*time.Minute, 10*time.Minute),
		held(3, "bob", "192.0.2.50/32", 10*time.Minute, 11*time.Minute), held(4, "stranger", "192.0.2.50/32", 11*time.Minute, hour),
		held(5, "alice", "192.0.2.51/32", -hour, 0), held(6, "alice", "192.0.2.51/32", time.Minute, hour),
		held(7, "alice", "192.0.2.52/32", -hour, hour, 1024, 2047), held(8, "bob", "192.0.2.52/32", -hour, hour, 2048, 3071),
		held(9, "bob", "192.0.2.52/32", -3*hour, -hour, 1024, 2047),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Content(hour)
	c.Targets = []string{"192.0.2.50", "192.0.2.51", "192.0.2.52", "192.0.2.17"}
	w := l.Approve(c)
	for name, test := range map[string]struct {
		target string
		at     time.Duration
		port   uint32
		want   reason.Reason
		band   string
	}{
		"far from any":            {"192.0.2.50", 0, 0, reason.Match, ""},
		"five minutes after bob":  {"192.0.2.50", -10*time.Minute + 5*time.Minute, 0, reason.Match, "1"},
		"more after bob":          {"192.0.2.50", -10*time.Minute + 5*time.Minute + 3*time.Second, 0, reason.Match, ""},
		"before bob and another":  {"192.0.2.50", 10*time.Minute - 3*time.Second, 0, reason.Match, "2-10"},
		"the line's own pause":    {"192.0.2.51", -5 * time.Minute, 0, reason.Match, ""},
		"neighbours by port only": {"192.0.2.52", 0, 1500, reason.Match, ""},
		"the port before":         {"192.0.2.52", -hour + 3*time.Second, 1500, reason.Match, "1"},
		"shared, and no port":     {"192.0.2.52", 0, 0, reason.PortRequired, ""},
		"at the hand-over":        {"192.0.2.50", 10 * time.Minute, 0, reason.AmbiguousBoundary, ""},
	} {
		task, err := l.Ask(w, griffierv1.Category_CATEGORY_ATTRIBUTION, test.target, test.at, test.at, func(r *griffierv1.CreateTaskRequest) { r.Port = test.port })
		if err != nil {
			t.Fatal(err)
		}
		done, plain := l.MustExecute(task, test.want)
		if done.Neighbours != test.band || strings.Contains(plain, "neighbouring_assignments_band") != (test.band != "") {
			t.Errorf("%s: neighbours %q, want %q", name, done.Neighbours, test.band)
		}
		if strings.Contains(plain, "line-bob") || strings.Contains(disclosuretest.Legible(plain), "Bob") || strings.Contains(plain, "stranger") {
			t.Errorf("%s: the package says who", name)
		}
	}
}

// A delegated prefix that is asked whole: whose it was, or why not.
func TestDelegatedPrefix(t *testing.T) {
	l := newLab(t)
	ref := func(name string) schema.AccessRef {
		return l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"})
	}
	var records []schema.Record
	for i, h := range []struct {
		name, prefix string
		from, to     time.Duration
	}{
		{"alice", "2001:db8:5:100::/56", -hour, hour},                                              // and the whole of it
		{"alice", "2001:db8:5:200::/56", -hour, hour}, {"bob", "2001:db8:5:280::/57", -hour, hour}, // a part is another's
		{"alice", "2001:db8:5:300::/56", -hour, hour}, {"alice", "2001:db8:5:310::/60", -hour, hour}, // a part is its own
		{"alice", "2001:db8:5:400::/57", -hour, hour}, {"bob", "2001:db8:5:480::/57", -hour, hour}, // two halves
		{"alice", "2001:db8:5:500::/56", -hour, 0}, {"bob", "2001:db8:5:500::/56", 0, hour}, // moved
	} {
		records = append(records, &schema.Assignment{AssignmentID: schema.ID{9, byte(i)}, SessionID: schema.ID{9, byte(i)}, AccessRef: ref(h.name), Prefix: netip.MustParsePrefix(h.prefix),
			PortEnd: 65535, AssignmentStartedAt: l.Noon.Add(h.from), StartedAt: l.Noon.Add(h.from), EndedAt: l.Noon.Add(h.to), Version: 1, EndCause: schema.EndRelease,
			Source: schema.SourceDHCPv6, Certainty: schema.CertaintyObserved, CollectorID: "edge1"})
	}
	if err := schema.Insert(t.Context(), l.Conn, "prefixes", records); err != nil {
		t.Fatal(err)
	}
	c := l.Content(hour)
	c.Targets = []string{"2001:db8:5:100::/56", "2001:DB8:5:200::/56", "2001:db8:5:300::/56", "2001:db8:5:400::/56", "2001:db8:5:500::/56", "2001:db8:5:600::/56", "2001:db8:5:120::/64",
		"2001:db9::/56"}
	w := l.Approve(c)
	for _, test := range []struct {
		target string
		at     time.Duration
		want   reason.Reason
		says   string
	}{
		{"2001:db8:5:100::/56", 0, reason.Match, "line-alice"}, {"2001:db8:5:120::/64", 0, reason.Match, "2001:db8:5:100::/56"},
		{"2001:db8:5:200::/56", 0, reason.DataConflict, ""}, {"2001:db8:5:300::/56", 0, reason.Match, "line-alice"},
		{"2001:db8:5:500::/56", -time.Minute, reason.Match, "line-alice"}, {"2001:db8:5:500::/56", time.Second, reason.AmbiguousBoundary, ""},
		{"2001:db8:5:500::/56", time.Minute, reason.Match, "line-bob"}, {"2001:db8:5:600::/56", 0, reason.NoMatch, ""}, {"2001:db9::/56", 0, reason.NotOurRange, ""},
	} {
		_, plain := l.MustExecute(l.Task(w, test.target, l.Noon.Add(test.at)), test.want)
		if !strings.Contains(plain, test.says) || test.want != reason.Match && (strings.Contains(plain, "line-alice") || strings.Contains(plain, "line-bob")) {
			t.Errorf("%s at %v: the package does not say %q", test.target, test.at, test.says)
		}
	}
	_, err := l.Execute(l.Task(w, "2001:db8:5:400::/56", l.Noon))
	l.Want(err, reason.TargetNotSpecific)
}
