package disclosure_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/ledger"
	"griffier/api/warrant"
)

// Scenario 7, tampered log: "rewrite entry k and re-sign with stolen log key ->
// witness consistency check fails within one hourly cycle; CI negative control
// proves the verifier can fail." Here someone who has the host and the log's key
// makes a revocation unhappen, or another person the one who asked.
func TestScenario07TamperedLog(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	task := l.Task(w, "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); err != nil {
		t.Fatal(err)
	}
	entries := l.Entries()
	if err := l.Log.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(l.Dir, "ledger")
	original := filepath.Join(l.Dir, "original")
	if err := os.Rename(dir, original); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(e []ledger.Entry) []ledger.Entry
		sound  bool
	}{
		{"as it was", func(e []ledger.Entry) []ledger.Entry { return e }, true}, // negative control
		{"another person asked", func(e []ledger.Entry) []ledger.Entry {
			for i := range e {
				if e[i].Header.Kind == warrant.KindTaskIntent {
					e[i].Header.Actor = "somebodyelse"
				}
			}
			return e
		}, false},
		{"the end never happened", func(e []ledger.Entry) []ledger.Entry { return e[:len(e)-1] }, false},
		{"two entries changed places", func(e []ledger.Entry) []ledger.Entry { e[2], e[3] = e[3], e[2]; return e }, false},
		{"one entry is left out, another added", func(e []ledger.Entry) []ledger.Entry { return append(e[:3], append(e[4:], e[len(e)-1])...) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var leaves [][]byte
			for _, e := range test.change(append([]ledger.Entry(nil), entries...)) {
				leaf, err := e.Encode()
				if err != nil {
					t.Fatal(err)
				}
				leaves = append(leaves, leaf)
			}
			l.forge(dir, leaves)
			report, err := ledger.Verify(t.Context(), ledger.VerifyConfig{Dir: dir, PublicKey: l.Key.Public, WitnessFile: filepath.Join(l.Dir, "witness"), Keys: l.Keys})
			if report.Verified() != test.sound || (err == nil) != test.sound {
				t.Errorf("verify: %v, %v", report.Problems, err)
			}
			opened, err := ledger.Open(t.Context(), ledger.Config{Dir: dir, WitnessFile: filepath.Join(l.Dir, "witness"), Key: l.Key, Keys: l.Keys,
				Folds: []ledger.Fold{warrant.NewState()}, Logger: slog.New(slog.DiscardHandler), Limit: disclosuretest.Patience})
			if (err == nil) != test.sound {
				t.Errorf("open: %v", err)
			}
			if err == nil {
				opened.Close()
			} else if !errors.Is(err, ledger.ErrWitness) && !errors.Is(err, ledger.ErrTampered) {
				t.Errorf("refused, but for another reason: %v", err)
			}
		})
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(original, dir)); err != nil {
		t.Fatal(err)
	}
	l.Start() // as it was, for the lab's own end
}

// forge makes a new and consistent log of leaves, signed with the log's own key.
func (l *lab) forge(dir string, leaves [][]byte) {
	l.T.Helper()
	if err := os.RemoveAll(dir); err != nil {
		l.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		l.T.Fatal(err)
	}
	a, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(l.Key.Signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(1, time.Millisecond))
	if err != nil {
		l.T.Fatal(err)
	}
	for _, leaf := range leaves {
		if _, err := a.Add(ctx, tessera.NewEntry(leaf))(); err != nil {
			l.T.Fatal(err)
		}
	}
	if err := shutdown(ctx); err != nil {
		l.T.Fatal(err)
	}
}
