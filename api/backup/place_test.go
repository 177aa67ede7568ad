package backup

import (
	"os"
	"slices"
	"testing"
	"time"

	"griffier/api/retention/expiry"
	"griffier/schema"
)

// TestPlaceFindsWhatIsHidden puts backups and copies of the keys where, or under names
// that, a proof would not expect them.
func TestPlaceFindsWhatIsHidden(t *testing.T) {
	h := newHouse(t, t.TempDir())
	h.fill(t)
	made, err := h.maker.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.policy(t, "P1D") // so that what is in the backup has expired
	here := Place{Dir: h.at("backups"), KeysDir: h.at("keycopies"), Keys: h.keys, Record: h.maker.Record}
	// check lists the verdicts by place and class.
	check := func(p Place, at time.Time) map[string]expiry.Verdict {
		t.Helper()
		limits, _, err := schema.Limits(t.Context(), h.conn)
		if err != nil {
			t.Fatal(err)
		}
		found, err := p.Check(t.Context(), expiry.Limits{Now: at, Class: limits})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]expiry.Verdict{}
		for _, f := range found {
			out[f.Place+" "+string(f.Class)] = f.Verdict
			if (f.Verdict == expiry.Fail || f.Verdict == expiry.NotChecked) && (f.Detail == "" || f.Cure == "") {
				t.Errorf("%+v tells nobody what to do", f)
			}
		}
		return out
	}
	want := func(what string, got map[string]expiry.Verdict, place string, verdict expiry.Verdict) {
		t.Helper()
		if got[place] != verdict {
			t.Errorf("%s: %q of %v, want %q", what, got[place], got, verdict)
		}
	}
	past := h.now.Add(Keep + 2*time.Hour)
	const ofAll, ofUsage = "backups ", "backups usage_5m"

	if err := os.Rename(h.at("backups/"+made.ID), h.at("backups/sunday")); err != nil {
		t.Fatal(err)
	}
	want("another name", check(here, h.now), ofUsage, expiry.Pass)
	want("another name, past its time", check(here, past), ofUsage, expiry.Fail)
	if err := os.Rename(h.at("backups/sunday"), h.at("elsewhere")); err != nil {
		t.Fatal(err)
	}
	want("carried off", check(here, h.now), ofAll, expiry.Pass)
	want("carried off, past its time", check(here, past), ofAll, expiry.Fail)

	for _, file := range []string{h.at("backups/dump.sql"), h.at("keycopies/keys.bak")} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(h.at("backups/lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := check(here, h.now)
	want("beside them", got, "beside backups ", expiry.NotChecked)
	want("a young file among the keys", got, ofAll, expiry.Pass)
	old := h.now.Add(-MaxLife - time.Hour)
	if err := os.Chtimes(h.at("backups/dump.sql"), old, old); err != nil {
		t.Fatal(err)
	}
	want("beside them for long", check(here, h.now), "beside backups ", expiry.Fail)
	if err := os.Chtimes(h.at("keycopies/keys.bak"), old, old); err != nil {
		t.Fatal(err)
	}
	want("a copy of the keys by another name", check(here, h.now), ofAll, expiry.Fail)

	server := here
	server.Dir = ""
	want("of a server", check(server, h.now), "a server's backups ", expiry.NotChecked)

	// When the key has gone, nothing of it can be read, wherever it is.
	h.now = past
	if err := h.maker.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.at("keycopies/keys.bak")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(h.at("elsewhere"), h.at("backups/again")); err != nil {
		t.Fatal(err)
	}
	got = check(here, past)
	if want("no key", got, ofAll, expiry.Pass); slices.Contains([]expiry.Verdict{expiry.Fail, expiry.Pass}, got[ofUsage]) {
		t.Errorf("days that nobody can read count: %v", got)
	}
}
