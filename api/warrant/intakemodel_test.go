package warrant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// blames reports whether a refusal is for one field.
func blames(err *reason.Error, field string) bool {
	return err != nil && slices.ContainsFunc(err.Violations, func(v reason.Violation) bool { return v.Field == field })
}

// Whatever is done in whatever order, by whomever: no approval without the order that
// the content names at that moment, and nothing runs but what two people keyed the
// same since the last edit. Refusals for these reasons are right, too.
func TestIntakeModel(t *testing.T) {
	rapid.Check(t, func(trial *rapid.T) {
		b, r := newBook(t), testRules(t)
		r.RequireDocument, r.DoubleEntry = true, true
		w := b.undocumented(r, "w")
		content := testContent()
		content.Reference = "PV-2026/w"
		hashes := []string{content.DocumentSHA256, strings.Repeat("ab", 32)}
		now, gen := start, w.Generation
		stored := map[string]bool{}
		creator, confirmer := map[string]string{}, map[string]string{} // by task; a confirmer since the last edit
		put := func(d ledger.Draft) {
			now = now.Add(time.Second)
			before := b.state.Ignored()
			b.append(now, d)
			if b.state.Ignored() != before {
				trial.Fatalf("a draft that was just decided is ignored: %s", d.Kind)
			}
		}
		who := rapid.SampledFrom([]warrant.Caller{officer, approver, colleague, second, outside, both, stranger})
		task := func(trial *rapid.T) string {
			if len(creator) == 0 {
				trial.Skip("no task yet")
			}
			return fmt.Sprint("t", rapid.IntRange(0, len(creator)-1).Draw(trial, "task"))
		}
		trial.Repeat(map[string]func(*rapid.T){
			"store": func(trial *rapid.T) {
				sha := rapid.SampledFrom(hashes).Draw(trial, "document")
				d, err := r.StoreDocument(b.state, now, who.Draw(trial, "by"), received(sha[:2], "w", sha))
				if err == nil {
					if stored[sha] {
						trial.Fatal("a document is stored twice")
					}
					put(d)
					stored[sha] = true
				}
			},
			"verify": func(*rapid.T) { b.verify(r, now, "w") },
			"approve": func(trial *rapid.T) {
				w, _ := b.state.Warrant("w")
				d, err := r.Approve(b.state, now, who.Draw(trial, "by"), warrant.ApproveRequest{WarrantID: "w", Generation: gen, ContentSHA256: w.ContentSHA256})
				if blames(err, "document") && stored[content.DocumentSHA256] {
					trial.Fatal("an approval is refused for a document that is there")
				}
				if err == nil {
					if !stored[content.DocumentSHA256] {
						trial.Fatal("an approval without the order that the content names")
					}
					put(d)
				}
			},
			"edit": func(trial *rapid.T) {
				if rapid.IntRange(0, 3).Draw(trial, "rarely") > 0 {
					trial.Skip("seldom")
				}
				after := content
				if after.DocumentSHA256 == hashes[0] {
					after.DocumentSHA256 = hashes[1]
				} else {
					after.DocumentSHA256 = hashes[0]
				}
				var open []warrant.OpenTask
				for id := range creator {
					if t, _, _ := b.state.Task(id); t.Generation == gen {
						open = append(open, b.openTask(id, "192.0.2.17"))
					}
				}
				d, err := r.Edit(b.state, now, officer, warrant.EditRequest{WarrantID: "w", Generation: gen, Salt: fmt.Sprint("salt", gen), Content: after, Before: content, Open: open})
				if err != nil {
					return
				}
				put(d)
				content, gen = after, gen+1
				clear(confirmer)
			},
			"ask": func(trial *rapid.T) {
				if len(creator) == 3 {
					trial.Skip("enough")
				}
				by, id := rapid.SampledFrom([]warrant.Caller{officer, colleague, both}).Draw(trial, "by"), fmt.Sprint("t", len(creator))
				d, err := r.CreateTask(b.state, now, by, warrant.TaskRequest{ID: id, WarrantID: "w", Generation: gen, Category: warrant.Attribution,
					Target: "192.0.2.17", Instant: question.Instant, UncertaintySeconds: 1}, content)
				if err != nil {
					trial.Fatal(err)
				}
				put(d)
				creator[id] = by.Actor
			},
			"confirm": func(trial *rapid.T) {
				id, by := task(trial), who.Draw(trial, "by")
				typed := confirmation
				typed.TaskID, typed.Generation = id, gen
				slip := rapid.SampledFrom([]string{"none", "target", "uncertainty", "category", "subjects"}).Draw(trial, "slip")
				switch slip {
				case "target":
					typed.Target = "192.0.2.71"
				case "uncertainty":
					typed.UncertaintySeconds++
				case "category":
					typed.Category = warrant.Identity
				case "subjects":
					typed.MaxSubjects = 2
				}
				d, err := r.ConfirmTask(b.state, now, by, typed, question, content)
				if err == nil {
					if slip != "none" || by.Actor == creator[id] || confirmer[id] != "" || by.Actor == stranger.Actor {
						trial.Fatalf("%s is confirmed by %s, whose slip is %s", id, by.Actor, slip)
					}
					put(d)
					confirmer[id] = by.Actor
				}
			},
			"begin": func(trial *rapid.T) {
				id := task(trial)
				d, err := r.Begin(b.state, now, officer, id, gen, question)
				if blames(err, "confirmation") && confirmer[id] != "" {
					trial.Fatal("what two people keyed is refused")
				}
				if err != nil {
					return
				}
				if confirmer[id] == "" || confirmer[id] == creator[id] || !stored[content.DocumentSHA256] {
					trial.Fatalf("%s runs: asked by %s, confirmed by %q", id, creator[id], confirmer[id])
				}
				put(d)
				running, _, _ := b.state.Task(id)
				if d, err = r.Abort(b.state, officer, id, running.Attempt, reason.StoreUnavailable, true); err != nil {
					trial.Fatal(err)
				}
				put(d)
			},
		})
	})
}
