package server

import (
	"strings"
	"testing"
	"time"

	"griffier/api/auth"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// A case has its refusals: the entry names the warrant that was asked about, and
// nothing else of the request.
func TestRefusalNamesItsCase(t *testing.T) {
	d := newDesk(t)
	a := &audit{book: d.book, keys: d.keys, now: time.Now}
	const id = "0123456789abcdef0123456789abcdef"
	for given, want := range map[string]string{id: id, "J. Zwanikken": "", strings.ToUpper(id): ""} {
		c := call{method: "griffier.v1.WarrantService/CancelWarrant", rule: supportActs, caller: auth.Caller{Subject: "sam", Actor: "5a"},
			request: &griffierv1.CancelWarrantRequest{WarrantId: given, Explanation: "Zwanikken withdrew it"}}
		before := len(d.entries(t, KindRefusal))
		if err := a.refusal(t.Context(), c, reason.WarrantTerminal); err != nil {
			t.Fatal(err)
		}
		e := d.entries(t, KindRefusal)[before]
		body, err := d.book.Body(e)
		if err != nil || e.Header.WarrantID != want || e.Header.Reason != string(reason.WarrantTerminal) || strings.Contains(string(body)+string(e.Header.Facts), "Zwanikken") {
			t.Errorf("warrant %q: entry %+v with body %s, %v", given, e.Header, body, err)
		}
	}
}
