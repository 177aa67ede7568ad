package execute_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/hold/keep"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// A hold answers as the store did: the same question, asked of both, has the same
// answer, records and coverage, whatever was preserved and whatever is asked.
func TestHoldAnswersAsTheStore(t *testing.T) {
	l := newLab(t)
	l.Translators()
	const tcp, udp = griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_TCP, griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_UDP
	type ask struct {
		target   string
		port     uint32
		protocol griffierv1.TransportProtocol
	}
	preserved := l.Content(time.Hour)
	preserved.LegalBasis, preserved.Categories = "NL-126ni", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}
	preserved.Targets = []string{"192.0.2.17", "192.0.2.20", "192.0.2.21", "192.0.2.22", "192.0.2.23", "2001:db8:1:2::17", "203.0.113.1", "203.0.113.2", "203.0.113.3"}
	order := l.Approve(preserved)
	task := func(w *griffierv1.Warrant, category griffierv1.Category, a ask, at time.Time, change func(*griffierv1.CreateTaskRequest)) *griffierv1.Task {
		req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, Category: category,
			Target: a.target, Port: a.port, Protocol: a.protocol, Instant: at.Format(time.RFC3339)}
		change(req)
		made, err := l.Tasks.CreateTask(l.Officer(), req)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	// said is what a package says but for its ids and times.
	said := func(plain string) (disclosure.Manifest, string) {
		_, text, _ := strings.Cut(plain, "{\n")
		var m disclosure.Manifest
		if err := json.NewDecoder(strings.NewReader("{\n" + text)).Decode(&m); err != nil {
			t.Fatal(err)
		}
		_, records, _ := strings.Cut(plain, "task_id,")
		records, _, _ = strings.Cut(strings.ReplaceAll(records, m.TaskID, "-"), "<?xml") // the rest says the same, with its time
		return m, records
	}
	answers := map[string]int{}
	for _, test := range []struct {
		ask
		asks []ask // of the hold; nil: the same
	}{
		{ask: ask{"192.0.2.17", 0, 0}, asks: []ask{{"192.0.2.17", 0, 0}, {"192.0.2.17", 4000, udp}}},
		{ask: ask{"192.0.2.20", 0, 0}},
		{ask: ask{"192.0.2.21", 1500, tcp}},
		{ask: ask{"192.0.2.21", 2500, 0}, asks: []ask{{"192.0.2.21", 2500, 0}, {"192.0.2.21", 2500, udp}}},
		{ask: ask{"192.0.2.22", 0, 0}},
		{ask: ask{"192.0.2.23", 0, 0}},
		{ask: ask{"2001:db8:1:2::17", 0, 0}},
		{ask: ask{"203.0.113.2", 2047, 0}},
		{ask: ask{"203.0.113.3", 5000, 0}, asks: []ask{{"203.0.113.3", 5000, tcp}, {"203.0.113.3", 5000, udp}, {"203.0.113.3", 5000, 0}}},
		{ask: ask{"203.0.113.3", 5001, tcp}},
		{ask: ask{"203.0.113.3", 5002, tcp}},
		{ask: ask{"203.0.113.3", 5003, tcp}},
		{ask: ask{"203.0.113.1", 1024 + 2*8000, tcp}},
	} {
		done, _ := l.MustExecute(task(order, griffierv1.Category_CATEGORY_PRESERVATION, test.ask, l.Noon.Add(-2*time.Hour), func(r *griffierv1.CreateTaskRequest) {
			r.WindowEnd = l.Noon.Add(3 * time.Hour).Format(time.RFC3339)
		}), reason.Preserved)
		asked := l.Content(time.Hour)
		asked.Targets = preserved.Targets
		w := l.Approve(asked) // each has at most 100 tasks
		asks := test.asks
		if asks == nil {
			asks = []ask{test.ask}
		}
		for _, a := range asks {
			for _, at := range []time.Duration{-2 * time.Hour, -30 * time.Second, 0, 2 * time.Hour} {
				base := l.answerOf(task(w, griffierv1.Category_CATEGORY_ATTRIBUTION, a, l.Noon.Add(at), func(*griffierv1.CreateTaskRequest) {}))
				held := l.answerOf(task(w, griffierv1.Category_CATEGORY_ATTRIBUTION, a, l.Noon.Add(at), func(r *griffierv1.CreateTaskRequest) { r.FromHold = done.HoldId }))
				baseManifest, baseRecords := said(base)
				heldManifest, heldRecords := said(held)
				if !reflect.DeepEqual(baseManifest.Answer, heldManifest.Answer) || !reflect.DeepEqual(baseManifest.Coverage, heldManifest.Coverage) || baseRecords != heldRecords {
					t.Errorf("%v at %v: the store says %+v\n%s\nthe hold %+v\n%s", a, at, baseManifest.Answer, baseRecords, heldManifest.Answer, heldRecords)
				}
				answers[string(heldManifest.Answer.Reason)]++
			}
		}
	}
	for _, r := range []reason.Reason{reason.Match, reason.NoMatch, reason.AmbiguousBoundary, reason.AmbiguousPortReuse, reason.DataConflict, reason.CoverageGap, reason.PortRequired} {
		if answers[string(r)] == 0 {
			t.Errorf("no answer was %s: %v", r, answers)
		}
	}
}

// answerOf executes a task and returns what its package says.
func (l *lab) answerOf(task *griffierv1.Task) string {
	l.T.Helper()
	if _, err := l.Execute(task); err != nil {
		l.T.Fatal(err)
	}
	sealed, _, err := l.Fetch(task)
	if err != nil {
		l.T.Fatal(err)
	}
	return l.Plain(sealed)
}

// A hold has what the target's lines had in the window, to the last field, and
// nothing of anybody else, of another time, or of a billing address.
func TestHoldCopies(t *testing.T) {
	l := newLab(t)
	ref := func(name string) schema.AccessRef {
		return l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"})
	}
	const hour = time.Hour
	session := func(name string, n byte, from, to time.Duration) *schema.Session {
		return &schema.Session{SessionID: schema.ID{1, n}, AccessRef: ref(name), SessionStartedAt: l.Noon.Add(from), StartedAt: l.Noon.Add(from), EndedAt: l.Noon.Add(to),
			Version: 3, EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "bng1", NASPort: "1/2", CollectorID: "edge1"}
	}
	usage := func(name string, n byte, from time.Duration) *schema.Usage {
		begin := l.Noon.Add(from)
		return &schema.Usage{AccessRef: ref(name), BucketStartedAt: begin, EndedAt: begin.Add(schema.BucketLength), SampledAt: begin.Add(time.Minute), Direction: schema.Down,
			IPVersion: 4, Bytes: 1<<63 + uint64(n), Packets: 9, CumulativeBytes: 1<<63 + 99, CumulativePackets: 10, CounterID: schema.ID{4, n}, CollectorID: "edge1", Source: schema.UsageKernel}
	}
	day := func(name string, day int) *schema.UsageDay {
		begin := l.Noon.Truncate(24*hour).AddDate(0, 0, day)
		return &schema.UsageDay{AccessRef: ref(name), Day: begin, Zone: "UTC", StartedAt: begin, EndedAt: begin.AddDate(0, 0, 1), Direction: schema.Up, IPVersion: 6,
			Source: schema.UsageKernel, CollectorID: "edge1", Bytes: 7, Packets: 1, GapSeconds: 5, Version: 1}
	}
	other := &schema.Assignment{AssignmentID: schema.ID{3, 77}, SessionID: schema.ID{1, 2}, AccessRef: ref("alice"), Prefix: netip.MustParsePrefix("2001:db8:77::/56"), PortEnd: 65535,
		AssignmentStartedAt: l.Noon.Add(-hour), StartedAt: l.Noon.Add(-hour), EndedAt: l.Noon.Add(hour), Version: 1, EndCause: schema.EndExpiry, Source: schema.SourceDHCPv6,
		Certainty: schema.CertaintySynthesised, CollectorID: "edge1"}
	records := []schema.Record{
		session("alice", 2, -hour, hour), session("alice", 3, 2*hour, 3*hour), session("bob", 4, -hour, hour),
		usage("alice", 1, -5*time.Minute), usage("alice", 2, 0), usage("alice", 3, 5*hour), usage("bob", 4, 0),
		day("alice", 0), day("alice", -1), day("bob", 0), other,
	}
	if err := schema.Insert(t.Context(), l.Conn, "history", records); err != nil {
		t.Fatal(err)
	}
	done, _ := l.MustExecute(l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon.Add(-10*time.Minute), l.Noon.Add(30*time.Minute)), reason.Preserved)
	o, err := l.Keeper.Open(done.HoldId, func(h keep.Head) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if want := []schema.Session{*session("alice", 2, -hour, hour)}; !same(o.Sessions, want) {
		t.Errorf("sessions %s", disclosuretest.JSON(o.Sessions))
	}
	if want := []schema.Usage{*usage("alice", 1, -5*time.Minute), *usage("alice", 2, 0)}; !same(o.Usage, want) {
		t.Errorf("usage %s", disclosuretest.JSON(o.Usage))
	}
	if want := []schema.UsageDay{*day("alice", 0)}; !same(o.UsageDays, want) {
		t.Errorf("days %s", disclosuretest.JSON(o.UsageDays))
	}
	found := false
	for _, a := range o.Contents.Assignments {
		if a.AccessRef != ref("alice") {
			t.Error("somebody else's assignment")
		}
		if a.Prefix == other.Prefix {
			// The store does not keep an id of its own for an assignment; what it is made of is here.
			a.AssignmentID = other.AssignmentID
			found = same(a, *other)
		}
	}
	if !found {
		t.Errorf("the line's other addresses: %s", disclosuretest.JSON(o.Contents.Assignments))
	}
	if text := disclosuretest.JSON(o); strings.Contains(text, "Betaalweg") || strings.Contains(text, "line-bob") || !strings.Contains(text, "Alice Jansen") {
		t.Errorf("the register's answer: %s", disclosuretest.JSON(o.Persons))
	}
	if len(o.Head.Refs) != 1 || len(o.Head.Lines) != 1 || len(o.Persons) != 1 || len(o.Contents.Coverage) == 0 || len(o.Ranges) == 0 {
		t.Errorf("head %s", disclosuretest.JSON(o.Head))
	}
}

// same compares as JSON: two times that are the same instant are the same.
func same(a, b any) bool { return disclosuretest.JSON(a) == disclosuretest.JSON(b) }

// A warrant that is revoked, or ends, between the copy and its entry makes no hold:
// the copy is destroyed, and so is its key.
func TestWarrantEndsWhilePreserving(t *testing.T) {
	l := newLab(t)
	var beside sync.WaitGroup
	for name, end := range map[string]func(w *griffierv1.Warrant) reason.Reason{
		"revoked": func(w *griffierv1.Warrant) reason.Reason {
			beside.Go(func() { // it waits for the execution to let go of its task
				l.Warrants.RevokeWarrant(l.Approver(), &griffierv1.RevokeWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
			})
			for {
				if now, _ := l.State.Warrant(w.WarrantId); now.Ended != "" {
					return reason.WarrantTerminal
				}
				time.Sleep(time.Millisecond)
			}
		},
		"expired": func(*griffierv1.Warrant) reason.Reason {
			l.later(time.Hour)
			return reason.WarrantExpired
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.Order("NL-126ni", time.Hour)
			task := l.Preservation(w, "192.0.2.17", l.Noon, time.Time{})
			var want reason.Reason
			calls := 0
			l.Book.Before = func(context.Context) {
				if calls++; calls == 2 { // the entry that makes the hold
					if files, err := os.ReadDir(filepath.Join(l.Dir, "holds")); err != nil || len(files) != 1 {
						t.Errorf("the copy is not on disk before its entry: %v, %v", files, err)
					}
					l.Book.Before = nil
					want = end(w)
				}
			}
			_, err := l.Execute(task)
			beside.Wait()
			l.Want(err, want)
			if want == "" {
				t.Fatal("no entry was tried")
			}
			if holds := l.Holds.Holds(); len(holds) != 0 {
				t.Errorf("holds %v", holds)
			}
			l.whole()
			ids, err := l.Keys.List()
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if strings.HasPrefix(id, "hold:") {
					t.Error("the copy's key is there")
				}
			}
		})
	}
}

// Called by several at once, a preservation makes one hold and one package.
func TestPreserveAtOnce(t *testing.T) {
	l := newLab(t)
	task := l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon, l.Noon.Add(time.Hour))
	packages := make(chan string, 8)
	for range cap(packages) {
		go func() {
			done, err := l.Execute(task)
			if err != nil {
				t.Error(err)
			}
			packages <- done.GetPackageSha256()
		}()
	}
	first := <-packages
	for range cap(packages) - 1 {
		if other := <-packages; other != first {
			t.Errorf("packages %s and %s", first, other)
		}
	}
	if holds := l.Holds.Holds(); len(holds) != 1 {
		t.Errorf("%d holds", len(holds))
	}
	l.whole()
}

// Of a window that retention has partly passed what is left is preserved, and the
// hold says of the rest that it was gone, not that there was nobody.
func TestPreservePastRetention(t *testing.T) {
	l := newLab(t)
	done, _ := l.MustExecute(l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon.Add(-20*24*time.Hour), l.Noon.Add(time.Hour)), reason.Preserved)
	w := l.Approved(time.Hour)
	for at, want := range map[time.Duration]reason.Reason{
		-20 * 24 * time.Hour: reason.RetentionElapsed,
		-12 * 24 * time.Hour: reason.RetentionElapsed,
		-2 * 24 * time.Hour:  reason.CoverageGap,
		-time.Minute:         reason.Match,
	} {
		l.MustExecute(l.FromHold(w, done.HoldId, "192.0.2.17", l.Noon.Add(at)), want)
	}
	o, err := l.Keeper.Open(done.HoldId, func(keep.Head) bool { return true })
	if err != nil || o.Head.Limits[schema.ClassAssignment].ReadableFrom.Before(l.Noon.Add(-10*24*time.Hour)) {
		t.Errorf("readable from %v, %v", o.Head.Limits[schema.ClassAssignment].ReadableFrom, err)
	}
}

// Erasure alone, with the base within its term: the store knows nobody any more, the
// hold as much as before; and what is preserved after it has nothing.
func TestErasureDoesNotReachAHold(t *testing.T) {
	l := newLab(t)
	order, w := l.Order("NL-126ni", time.Hour), l.Approved(time.Hour)
	done, _ := l.MustExecute(l.Preservation(order, "192.0.2.17", l.Noon, l.Noon.Add(time.Hour)), reason.Preserved)
	l.MustExecute(l.Task(w, "192.0.2.17", l.Noon), reason.Match)
	l.eraseLine("line-alice")
	l.MustExecute(l.Task(w, "192.0.2.17", l.Noon), reason.NoMatch)
	_, plain := l.MustExecute(l.FromHold(w, done.HoldId, "192.0.2.17", l.Noon), reason.Match)
	if !strings.Contains(plain, "Alice Jansen") {
		t.Error("the hold forgot whose the line was")
	}
	l.MustExecute(l.Preservation(order, "192.0.2.17", l.Noon, l.Noon.Add(time.Hour)), reason.NoMatch)
}
