package execute_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/hold/keep"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// What a line had and did is produced from a hold as it would have been from the store,
// to the row; and still is when the store has nothing any more, and of nobody else.
func TestListsFromAHold(t *testing.T) {
	l := newLab(t)
	l.household()
	kept := l.Content(hour)
	kept.LegalBasis, kept.Categories, kept.Targets = "NL-126ni", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, []string{"192.0.2.41"}
	done, _ := l.MustExecute(l.Preservation(l.Approve(kept), "192.0.2.41", l.Noon.Add(-3*hour), l.Noon.Add(30*time.Minute)), reason.Preserved)
	from := func(r *griffierv1.CreateTaskRequest) { r.FromHold = done.HoldId }
	w := l.Everything("line:line-carol", "192.0.2.41", "line:line-alice", "192.0.2.40")
	produced := func(category griffierv1.Category, target string) []string {
		_, rows, plain := l.MustAsk(w, reason.Match, category, target, -2*hour, 0, from)
		if strings.Contains(plain, "Carol") || strings.Contains(plain, "Betaalweg") {
			t.Errorf("%v of a hold tells whose the line is", category)
		}
		return rows
	}
	want := map[griffierv1.Category][]string{}
	for _, category := range []griffierv1.Category{historyOf, timesOf, volumeOf} {
		_, want[category], _ = l.MustAsk(w, reason.Match, category, "line:line-carol", -2*hour, 0)
		for _, target := range []string{"line:line-carol", "192.0.2.41"} {
			l.WantRows(category.String()+" of "+target, produced(category, target), want[category]...)
		}
	}
	if len(want[historyOf]) != 2 || len(want[timesOf]) != 1 || len(want[volumeOf]) != 3 {
		t.Errorf("the store has %v", want)
	}
	// Not of another line or address, not of a moment outside, not of a hold that is not.
	for _, ask := range []struct {
		target   string
		from, to time.Duration
	}{{"line:line-alice", -2 * hour, 0}, {"192.0.2.40", -2 * hour, 0}, {"line:line-carol", -3*hour - 5*time.Minute, 0}, {"line:line-carol", -hour, hour}} {
		for _, category := range []griffierv1.Category{historyOf, timesOf, volumeOf} {
			l.MustAsk(w, reason.DataNotHeld, category, ask.target, ask.from, ask.to, from)
		}
	}
	_, err := l.Ask(w, historyOf, "192.0.2.41", -2*hour, 0)
	l.Want(err, reason.InvalidRequest)
	// The store forgets; the hold does not.
	l.eraseLine("line-carol")
	l.MustAsk(w, reason.NoMatch, historyOf, "line:line-carol", -2*hour, 0)
	for category, rows := range want {
		l.WantRows(category.String()+" after erasure", produced(category, "line:line-carol"), rows...)
	}
	o, err := l.Keeper.Open(done.HoldId, func(keep.Head) bool { return true })
	if err != nil || len(o.Head.Limits) != 4 {
		t.Errorf("limits %v, %v", o.Head.Limits, err)
	}
}

// Whose a line was is produced from a hold too, as it was known when that was made, to
// the row and to the column: of a line that the hold has, at a moment of it, and under
// an order that covers identity. Neither the hold nor its own order shows anything.
func TestIdentityFromAHold(t *testing.T) {
	l := newLab(t)
	l.household()
	preserve := l.Content(hour)
	preserve.LegalBasis, preserve.Categories, preserve.Targets = "NL-126ni", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, []string{"192.0.2.41", "line:line-carol"}
	order := l.Approve(preserve)
	ofAddress, _ := l.MustExecute(l.Preservation(order, "192.0.2.41", l.Noon.Add(-3*hour), l.Noon.Add(30*time.Minute)), reason.Preserved)
	ofLine, _ := l.MustExecute(l.Preservation(order, "line:line-carol", l.Noon.Add(-3*hour), l.Noon.Add(30*time.Minute)), reason.Preserved)
	from := func(holdID string) func(*griffierv1.CreateTaskRequest) {
		return func(r *griffierv1.CreateTaskRequest) { r.FromHold = holdID }
	}
	// The order that made it does not open it, nor does one that does not cover identity.
	_, err := l.Ask(order, identityOf, "line:line-carol", 0, 0, from(ofLine.HoldId))
	l.Want(err, reason.CategoryExceedsBasis)
	w := l.Everything("line:line-carol", "line:line-alice", "192.0.2.41")
	_, want, shown := l.MustAsk(w, reason.Match, identityOf, "line:line-carol", 0, 0)
	produced := func(holdID string) {
		t.Helper()
		before := l.Traffic.Reads.Load()
		_, rows, plain := l.MustAsk(w, reason.Match, identityOf, "line:line-carol", 0, 0, from(holdID))
		l.WantRows("IDENTITY of a hold", rows, want...)
		if strings.Contains(plain, "Betaalweg") || strings.Contains(plain, "192.0.2.41") || strings.Contains(plain, "connected_from") {
			t.Error("the package has more than whose the line is")
		}
		if l.Traffic.Reads.Load() != before {
			t.Error("the store was asked")
		}
	}
	if len(want) != 1 || !strings.Contains(want[0], "Carol") || !strings.Contains(shown, "Kade") {
		t.Fatalf("the register has %v", want)
	}
	for _, holdID := range []string{ofAddress.HoldId, ofLine.HoldId} {
		produced(holdID)
	}
	for _, ask := range []struct {
		target string
		at     time.Duration
		holdID string
	}{{"line:line-alice", 0, ofLine.HoldId}, {"line:line-carol", 31 * time.Minute, ofLine.HoldId}, {"line:line-carol", 0, strings.Repeat("0", 32)}} {
		l.MustAsk(w, reason.DataNotHeld, identityOf, ask.target, ask.at, ask.at, from(ask.holdID))
	}
	_, err = l.Ask(w, identityOf, "192.0.2.41", 0, 0, from(ofAddress.HoldId))
	l.Want(err, reason.InvalidRequest)
	// The register forgets; the hold does not, until it ends.
	l.eraseLine("line-carol")
	l.MustAsk(w, reason.NoMatch, identityOf, "line:line-carol", 0, 0)
	produced(ofLine.HoldId)
	l.later(91 * 24 * hour)
	w = l.Everything("line:line-carol")
	l.MustAsk(w, reason.DataNotHeld, identityOf, "line:line-carol", 0, 0, from(ofLine.HoldId))
}

// A task that was executed is answered with its package, again and from anywhere, and
// the engine is never asked a second time; another generation is refused.
func TestListedOnce(t *testing.T) {
	l := newLab(t)
	l.household()
	w := l.Everything("line:line-carol", "person:Carol de Wit;2345CD;8;B")
	for _, ask := range []struct {
		category griffierv1.Category
		from, to time.Duration
	}{{historyOf, -5 * hour, -3 * hour}, {timesOf, -5 * hour, 0}, {volumeOf, -hour, 0}, {identityOf, 0, 0}} {
		task, err := l.Ask(w, ask.category, "person:Carol de Wit;2345CD;8;B", ask.from, ask.to)
		if err != nil {
			t.Fatal(err)
		}
		done, _ := l.MustExecute(task, reason.Match)
		if n := l.Queries(func() {
			for range 3 {
				again, err := l.Execute(task)
				if err != nil || again.PackageSha256 != done.PackageSha256 {
					t.Errorf("again: %v, %v", again, err)
				}
			}
		}); n != 0 {
			t.Errorf("%v: %d queries for what was answered", ask.category, n)
		}
		if got := l.Kinds(task.TaskId)[:4]; !slices.Equal(got, []string{"create", "intent", "result", "release"}) {
			t.Errorf("entries %v", got)
		}
		_, err = l.Tasks.ExecuteTask(l.Officer(), &griffierv1.ExecuteTaskRequest{RequestId: l.Request(), TaskId: task.TaskId, ExpectedGeneration: 2})
		l.Want(err, reason.GenerationMismatch)
	}
}

// What is refused, or answered in the negative, reads the same whoever the candidates
// are: same text, same detail, same size; and neither that nor the log nor a header of
// the ledger names anybody.
func TestRefusalsTellNobody(t *testing.T) {
	names := []string{"line-", "Jansen", "Wit", "Dave", "alice", "bob", "carol", "Dorpsstraat", "Kade", "192.0.2", "1234AB", "2345CD"}
	tells := func(text string) string {
		for _, name := range names {
			if strings.Contains(disclosuretest.Legible(text), name) {
				return name
			}
		}
		return ""
	}
	var told [2][]string
	for i, who := range []string{"alice", "erased"} {
		l := newLab(t)
		l.household()
		var logged bytes.Buffer
		l.Logs = slog.NewJSONHandler(&logged, nil)
		l.Restart()
		line := "line:line-" + who
		attribution := l.Approved(hour)
		w := l.Everything("address:1234AB;1", "address:2345CD;8;B", line, "line:line-nobody")
		say := func(task *griffierv1.Task, err error) {
			if err == nil {
				_, err = l.Execute(task)
			}
			s, _ := status.FromError(err)
			told[i] = append(told[i], fmt.Sprint(s.Code(), " ", s.Message(), " ", s.Details()))
		}
		one := func(r *griffierv1.CreateTaskRequest) { r.MaxRecords = 1 }
		say(l.Ask(w, identityOf, "address:1234AB;1", 0, 0))
		say(l.Ask(w, historyOf, "address:2345CD;8;B", 0, hour))
		say(l.Ask(w, timesOf, "address:1234AB;1", 0, hour, one))
		say(l.Ask(w, volumeOf, line, time.Second, hour))
		say(l.Ask(w, historyOf, line, 0, 21*hour))
		say(l.Ask(w, historyOf, "line:line-bob", 0, hour))
		say(l.Ask(attribution, griffierv1.Category_CATEGORY_ATTRIBUTION, "192.0.2.1", 0, 0))
		for _, e := range l.Entries() {
			if name := tells(disclosuretest.JSON(e.Header)); name != "" {
				t.Errorf("entry %d says %s: %s", e.Index, name, disclosuretest.JSON(e.Header))
			}
		}
		if name := tells(logged.String()); name != "" {
			t.Errorf("the log says %s: %s", name, logged.String())
		}
	}
	if !slices.Equal(told[0], told[1]) {
		t.Errorf("what is told of one:\n%s\nof another:\n%s", strings.Join(told[0], "\n"), strings.Join(told[1], "\n"))
	}
	for _, text := range told[0] {
		if name := tells(text); name != "" || !strings.Contains(text, "griffier") {
			t.Errorf("a refusal says %q: %s", name, text)
		}
	}
}

// A question of a task that was asked to be validated only is answered with what it
// would do, and what stands in its way; no task is made, nothing is read, and that it
// was asked is entered.
func TestTaskPreviews(t *testing.T) {
	l := newLab(t)
	l.household()
	w := l.Everything("line:line-carol")
	only := func(r *griffierv1.CreateTaskRequest) { r.ValidateOnly = true }
	reads := l.Traffic.Reads.Load()
	p, err := l.Ask(w, historyOf, "line:line-carol", -hour, 0, only)
	if err != nil || p.TaskId != "" || p.MaxRecords != 10_000 || p.MaxSubjects != 1 {
		t.Fatalf("%v, %v", p, err)
	}
	if text := strings.Join(p.Effects, "\n"); !strings.Contains(text, l.Noon.Add(-hour).Format(time.RFC3339)) || !strings.Contains(text, "Europe/Amsterdam") ||
		!strings.Contains(text, "at most 1 lines and 10000 records") || strings.Contains(text, "carol") {
		t.Errorf("effects %s", text)
	}
	if now, _ := l.State.Warrant(w.WarrantId); len(now.Tasks) != 0 {
		t.Errorf("tasks %v", now.Tasks)
	}
	_, err = l.Ask(w, historyOf, "line:line-carol", -hour, 21*hour, only)
	l.Want(err, reason.WindowExceedsWarrant)
	task, err := l.Ask(w, historyOf, "line:line-carol", -hour, 0)
	if err != nil {
		t.Fatal(err)
	}
	would := func() (*griffierv1.Task, error) {
		return l.Tasks.ExecuteTask(l.Officer(), &griffierv1.ExecuteTaskRequest{RequestId: l.Request(), TaskId: task.TaskId, ExpectedGeneration: 1, ValidateOnly: true})
	}
	if p, err = would(); err != nil || len(p.Effects) == 0 || p.Answer != "" || l.Traffic.Reads.Load() != reads {
		t.Errorf("%v, %v, %d reads", p, err, l.Traffic.Reads.Load()-reads)
	}
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create"}) {
		t.Errorf("entries %v", got)
	}
	l.Rules.DoubleEntry = true
	_, err = would()
	l.Want(err, reason.WarrantIncomplete)
	_, err = l.Execute(task)
	l.Want(err, reason.WarrantIncomplete)
	l.Rules.DoubleEntry = false
	done, _ := l.MustExecute(task, reason.Match)
	if p, err = would(); err != nil || p.PackageSha256 != done.PackageSha256 || len(p.Effects) != 1 {
		t.Errorf("after it was executed: %v, %v", p, err)
	}
	if last := l.Entries(); last[len(last)-1].Header.Kind != warrant.KindPreview {
		t.Errorf("the last entry is %s", last[len(last)-1].Header.Kind)
	}
}
