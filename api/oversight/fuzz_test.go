package oversight

import (
	"encoding/json"
	"testing"

	"griffier/api/ledger"
)

// FuzzApply folds entries of any facts: they are taken in or refused, never a panic,
// and what the state tells of them can be asked.
func FuzzApply(f *testing.F) {
	kinds := []string{KindTagKey, KindTagKeyShredded, KindLinkage, KindRecipient, KindIntake, KindLimited, KindWarrantNotExecuted, KindTaskNotExecuted,
		KindCost, KindFault, KindSecrecyKept, KindSecrecyEnded, KindPublished, "task.create", kindRefusal}
	for i, facts := range []string{`{"tag_key_id":"oversight:tags:690.0"}`, ``, `{"tag_key_id":"oversight:tags:690.0","tag":"00"}`, `{"lines":2}`,
		`{"authority":"NL-OM","tag_key_id":"x","target_tags":["00","01"]}`, `{"limit":"tasks_per_officer_day"}`, `{"id":"a","why":"INCOMPLETE"}`, `{"lines":-1}`,
		`{"id":"a","minutes":25,"tariff":"A1"}`, `{"kind":"WRONG_TIME"}`, `{}`, `null`, `{"year":2026,"tables":[{"by":"age","rows":[{"labels":["x"],"disclosed":5}]}]}`} {
		f.Add(uint8(i), []byte(facts), "0a", "0b")
	}
	f.Fuzz(func(_ *testing.T, kind uint8, facts []byte, warrantID, taskID string) {
		s := NewState()
		for range 2 {
			e := ledger.Entry{Header: ledger.Header{Kind: kinds[int(kind)%len(kinds)], At: start, Facts: json.RawMessage(facts), WarrantID: warrantID, TaskID: taskID}}
			if s.Apply(e) != nil {
				return
			}
		}
		own := Tag{Domain: OfLine, WarrantID: warrantID, TaskID: taskID, KeyID: TagKeyID(690, 0)}.Seal(secretOf(1), warrantID)
		in := Intake{WarrantID: warrantID, Authority: taskID, Targets: []string{warrantID, taskID, string(facts)}, KeyID: own.KeyID}
		keys := Secrets{own.KeyID: secretOf(1)}
		s.Linked(start, own, keys, taskID)
		s.Receive(start, officer, in, s.Walk(start, in, keys, Limits{}), keys, Limits{}, "class")
		s.MayAsk(start, officer, Limits{})
		s.lines(taskID)
		for _, k := range s.TagKeys() {
			MatchableUntil(k.ID)
		}
	})
}
