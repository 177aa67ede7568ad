package backup

import (
	"errors"
	"os"
	"testing"
	"time"

	"griffier/api/clock"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
)

// TestALeapEndsNoBackup: a clock that nothing keeps and that stands months ahead
// destroys no key of a backup and no copy of the keys, makes no backup, which would live
// for as much longer, and still tidies what a crash left; set right, or believed,
// everything goes on.
func TestALeapEndsNoBackup(t *testing.T) {
	h := newHouse(t, t.TempDir())
	h.fill(t)
	h.maker.Clock = clock.NewLeap(h.now, func() (clock.Reading, error) { return clock.Reading{}, nil })
	h.maker.Folders = map[string]string{"packages": h.at("none")}
	told, of := 0, 0
	made, err := h.maker.Create(t.Context(), func(_ string, _, total int) { told, of = told+1, total })
	if err != nil {
		t.Fatal(err)
	}
	if told != len(made.Pieces) || of != told {
		t.Errorf("progress of %d pieces, of %d; there are %d", told, of, len(made.Pieces))
	}
	const half = "20260101T000000Z00000000"
	if _, err := h.book.Append(t.Context(), ledger.Draft{Kind: KindBegun, Role: "system", Facts: begunFacts{half, h.now.Add(MaxLife)}}); err != nil {
		t.Fatal(err)
	}
	if err := h.keys.Create(keyID(half)); err != nil {
		t.Fatal(err)
	}
	is := h.now
	h.now = is.AddDate(0, 3, 0)
	if err := h.maker.Tidy(t.Context()); reason.Of(err) != reason.ClockUntrusted {
		t.Errorf("Tidy = %v, want CLOCK_UNTRUSTED", err)
	}
	begun := len(h.maker.Record.All())
	if _, err := h.maker.Create(t.Context(), nil); reason.Of(err) != reason.ClockUntrusted || len(h.maker.Record.All()) != begun {
		t.Errorf("Create = %v, %d begun; want CLOCK_UNTRUSTED and %d", err, len(h.maker.Record.All()), begun)
	}
	if err := h.keys.State(keyID(half)); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the key of a backup that a crash ended: %v", err)
	}
	there := func(what string, want bool) {
		t.Helper()
		_, folder := os.Stat(h.at("backups/" + made.ID))
		copies, err := keyCopies(h.at("keycopies"))
		if err != nil {
			t.Fatal(err)
		}
		if key := h.keys.State(keyID(made.ID)); (key == nil) != want || (folder == nil) != want || (len(copies) == 1) != want {
			t.Errorf("%s: key %v, folder %v, %d copies of the keys; want them there: %t", what, key, folder, len(copies), want)
		}
	}
	there("under a clock that leapt", true)
	h.now = is.Add(time.Minute)
	if err := h.maker.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	there("set right", true)
	h.now = is.AddDate(0, 3, 0)
	h.maker.Clock.(*clock.Leap).Accept(h.now)
	if err := h.maker.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	there("months later indeed", false)
}
