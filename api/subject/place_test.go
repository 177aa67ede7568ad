package subject

import (
	"encoding/json"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/retention/expiry"
)

// A proof fails while an erasure is late, in sight or on disk, and not before.
func TestPlace(t *testing.T) {
	is := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	s := NewState()
	enter := func(kind string, at time.Time, facts any) {
		t.Helper()
		text, err := json.Marshal(facts)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(ledger.Entry{Header: ledger.Header{Kind: kind, At: at, Facts: text}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, at time.Time, verdict expiry.Verdict, checked uint64) {
		t.Helper()
		found, err := Place{s}.Check(t.Context(), expiry.Limits{Now: at})
		if err != nil || len(found) != 1 || found[0].Verdict != verdict || found[0].Checked != checked {
			t.Errorf("%s: %+v, %v; want %s of %d", what, found, err, verdict, checked)
		}
		if verdict == expiry.Fail && (found[0].Detail == "" || found[0].Cure == "") {
			t.Errorf("%s: %+v tells nobody what to do", what, found[0])
		}
	}
	enter(KindErasureRequested, is, lineFacts{ID: "1"})
	want("requested", is.AddDate(1, 0, 0), expiry.Pass, 0)
	enter(KindErasureApproved, is, idFacts{"1"})
	want("approved", is.Add(time.Hour), expiry.Pass, 1)
	want("approved two hours ago", is.Add(2*time.Hour), expiry.Fail, 1)
	enter(KindErased, is, erasedFacts{ID: "1"})
	want("erased", is.Add(RewriteWithin), expiry.Pass, 1)
	want("erased nine days ago", is.Add(RewriteWithin+time.Hour), expiry.Fail, 1)
	enter(KindRewritten, is.Add(RewriteWithin), rewrittenFacts{IDs: []string{"1"}})
	want("rewritten", is.AddDate(1, 0, 0), expiry.Pass, 1)
}
