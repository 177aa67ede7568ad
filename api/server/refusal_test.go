package server

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

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

// What a caller may not do is entered for as long as it tells something: nobody fills the
// ledger by asking again, and whoever is refused for another reason does not count.
func TestDeniedCallsFillNoLedger(t *testing.T) {
	d := newDesk(t)
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	g := &gate{audit: &audit{book: d.book, keys: d.keys, now: clock}, denied: newLimiter(rate.Every(time.Minute), 2, clock),
		metrics: newMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler), now: clock}
	ask := func(actor string, why reason.Reason) reason.Reason {
		c := call{method: "WarrantService/CreateWarrant", rule: supportActs, caller: auth.Caller{Subject: actor, Actor: actor}, known: true, began: now}
		return reason.Of(g.finish(t.Context(), c, reason.New(why, "")))
	}
	for i, c := range []struct {
		actor     string
		why, want reason.Reason
		entries   int
	}{
		{"5a", reason.PermissionDenied, reason.PermissionDenied, 1},
		{"5a", reason.StepUpRequired, reason.StepUpRequired, 2},
		{"5a", reason.PermissionDenied, reason.RateLimited, 2},
		{"5a", reason.WarrantExpired, reason.WarrantExpired, 3},
		{"5b", reason.PermissionDenied, reason.PermissionDenied, 4},
	} {
		if got := ask(c.actor, c.why); got != c.want || len(d.entries(t, KindRefusal)) != c.entries {
			t.Errorf("call %d: %s, %d entries; want %s and %d", i, got, len(d.entries(t, KindRefusal)), c.want, c.entries)
		}
	}
	now = now.Add(time.Minute)
	if got := ask("5a", reason.PermissionDenied); got != reason.PermissionDenied {
		t.Errorf("a minute later: %s", got)
	}
}
