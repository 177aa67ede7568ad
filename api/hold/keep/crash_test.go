package keep

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/hold"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/warrant"
)

const crashDir = "GRIFFIER_TEST_KEEP_DIR"

// TestMain is also the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := sealForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// desk is a keeper over a real key store and ledger.
type desk struct {
	*Keeper
	keys  *keystore.Store
	log   *ledger.Log
	state *hold.State
	now   time.Time // the clock; zero: the real one
}

func open(dir string, d *desk) error {
	master := filepath.Join(dir, "master")
	if _, err := os.Stat(master); errors.Is(err, os.ErrNotExist) {
		if err := keystore.GenerateMasterKey(master); err != nil {
			return err
		}
		if _, err := ledger.GenerateKey(filepath.Join(dir, "ledger.key"), "test.example/holds"); err != nil {
			return err
		}
	}
	var err error
	if d.keys, err = keystore.Open(filepath.Join(dir, "keys"), master); err != nil {
		return err
	}
	key, err := ledger.LoadKey(filepath.Join(dir, "ledger.key"))
	if err != nil {
		return err
	}
	clock := func() time.Time {
		if d.now.IsZero() {
			return time.Now()
		}
		return d.now
	}
	d.state = hold.NewState()
	quiet := slog.New(slog.DiscardHandler)
	if d.log, err = ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(dir, "ledger"), WitnessFile: filepath.Join(dir, "witness"), Key: key,
		Keys: d.keys, Folds: []ledger.Fold{d.state}, Now: clock, Logger: quiet, Limit: 30 * time.Second}); err != nil {
		return err
	}
	profile, err := warrant.LoadProfile("nl")
	if err != nil {
		return err
	}
	d.Keeper, err = New(Config{Dir: filepath.Join(dir, "holds"), Keys: d.keys, Book: d.log, State: d.state,
		Rules: &hold.Rules{Law: warrant.Always(profile), ApprovalAge: 24 * time.Hour}, Now: clock, Log: quiet})
	return err
}

// enter makes a sealed copy a hold. The facts are those of hold.Make, whose task
// this test does not have.
func (d *desk) enter(id, sha256 string, endsAt time.Time) error {
	_, err := d.log.Append(context.Background(), ledger.Draft{Kind: hold.KindMake, WarrantID: "w1", TaskID: "task-" + id, Facts: map[string]any{
		"hold_id": id, "basis": "NL-126ni", "ends_at": endsAt.UTC(), "hold_key_id": hold.KeyID(id), "file_sha256": sha256, "row_band": "1-10"}})
	return err
}

// sealForever makes holds, says which, and destroys every third, until it is killed.
func sealForever(dir string) error {
	var d desk
	if err := open(dir, &d); err != nil {
		return err
	}
	if err := d.Recover(context.Background()); err != nil {
		return err
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("%08x%024x", rand.Uint32(), n)
		fmt.Println("sealing", id)
		sum, done, err := d.Put(contents(id, 3000))
		if err != nil {
			return err
		}
		ends := time.Now().Add(time.Hour)
		if n%3 == 2 {
			ends = time.Now().Add(time.Millisecond)
		}
		if err := errors.Join(d.enter(id, sum, ends), done(true)); err != nil {
			return err
		}
		fmt.Println("made", id)
		if n%3 == 2 {
			time.Sleep(2 * time.Millisecond)
			if err := d.Sweep(context.Background()); err != nil {
				return err
			}
			fmt.Println("destroyed", id)
		}
	}
}

// TestKill kills the process that makes and destroys holds, anywhere. Afterwards
// each that the ledger knows and that lives is there whole, each that has ended is
// certified, and of nothing else is there a file or a key.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	said := map[string]string{}
	for range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		child.Stderr = &stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		stopAfter := 1 + rand.IntN(12)
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			said[id] = what
			if n == stopAfter {
				time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
				child.Process.Kill()
			}
		}
		child.Wait()
		if stderr.Len() > 0 {
			t.Fatal(stderr.String())
		}
	}
	var d desk
	if err := open(dir, &d); err != nil {
		t.Fatal(err)
	}
	defer d.log.Close()
	if err := d.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, h := range d.state.Holds() {
		switch h.Status(d.Now()) {
		case hold.Live:
			files = append(files, h.ID+sealedSuffix)
			o, err := d.Open(h.ID, func(Head) bool { return true })
			if err != nil || len(o.Usage) != 3000 || o.Head.HoldID != h.ID {
				t.Errorf("a hold that lives: %v", err)
			}
		case hold.Ended:
			t.Error("a hold that ended is not certified")
		case hold.Destroyed:
			if err := d.keys.State(hold.KeyID(h.ID)); !errors.Is(err, keystore.ErrShredded) {
				t.Errorf("a certified hold's key: %v", err)
			}
		}
	}
	made := 0
	for id, what := range said {
		h, ok := d.state.Hold(id)
		if what != "sealing" && !ok {
			t.Error("a hold that was acknowledged is lost")
		}
		if what == "destroyed" && h.DestroyedAt.IsZero() {
			t.Error("a certificate that was acknowledged is lost")
		}
		if ok {
			made++
		} else if err := d.keys.State(hold.KeyID(id)); err == nil {
			t.Error("a copy that never was a hold has a key")
		}
	}
	if made < 8 {
		t.Fatalf("%d holds of %d: the test saw too little", made, len(said))
	}
	entries, err := os.ReadDir(filepath.Join(dir, "holds"))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	slices.Sort(files)
	if slices.Sort(have); !slices.Equal(files, have) {
		t.Errorf("files %v, want %v", have, files)
	}
	t.Logf("%d sealed, %d made, %d live", len(said), made, len(files))
}
