package document_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
)

// crashDir names, to a child of TestKill, the folder that it works in.
const crashDir = "GRIFFIER_DOCUMENT_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := storeForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// desk is what is left of an office when the process may be killed.
type desk struct {
	*document.Keeper
	log   *ledger.Log
	keys  *keystore.Store
	state *warrant.State
	rules *warrant.Rules
}

// openDesk opens a folder, new or left by a process that was killed.
func openDesk(dir string) (*desk, error) {
	d := &desk{state: warrant.NewState()}
	at := func(name string) string { return filepath.Join(dir, name) }
	if _, err := os.Stat(at("ledger.key")); errors.Is(err, fs.ErrNotExist) {
		if err := keystore.GenerateMasterKey(at("master")); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if _, err := ledger.GenerateKey(at("ledger.key"), "isp.example/griffier"); err != nil {
			return nil, err
		}
	}
	key, err := ledger.LoadKey(at("ledger.key"))
	if err != nil {
		return nil, err
	}
	if d.keys, err = keystore.Open(at("keys"), at("master")); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	d.log, err = ledger.Open(context.Background(), ledger.Config{Dir: at("log"), WitnessFile: at("witness"), Key: key, Keys: d.keys,
		Folds: []ledger.Fold{d.state}, Logger: quiet, Limit: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	profile, err := warrant.LoadProfile("nl")
	if err != nil {
		return nil, err
	}
	d.rules, err = warrant.NewRules(warrant.Rules{Law: warrant.Always(profile), Authorities: warranttest.Registry(recipient), DuplicateKey: bytes.Repeat([]byte{3}, 32)})
	if err != nil {
		return nil, err
	}
	d.Keeper, err = document.New(document.Config{Dir: at("documents"), Keys: d.keys, Book: d.log, State: d.state, Rules: d.rules, Now: time.Now, Log: quiet})
	if err != nil {
		return nil, err
	}
	return d, d.Recover()
}

// textOf is the order of a warrant, of several chunks.
func textOf(warrantID string) []byte { return bytes.Repeat([]byte(warrantID+"\n"), 20_000) }

// storeForever makes warrants, stores an order for each, says so, and shreds every
// third dossier, until it is killed.
func storeForever(dir string) error {
	d, err := openDesk(dir)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		id := warrantrpc.RandomID()
		if err := d.keys.Create(warrant.KeyID(id)); err != nil {
			return err
		}
		c := orderContent("PV-"+id, recipient)
		_, err := warrantrpc.Decide(context.Background(), d.log, "create-"+id, func(now time.Time) (ledger.Draft, *reason.Error) {
			return d.rules.Create(d.state, now, officer, warrant.CreateRequest{ID: id, Salt: "salt", Content: c})
		})
		if err != nil {
			return err
		}
		fmt.Println("storing", id)
		if _, err := d.Put(context.Background(), officer, "put-"+id, id, "text/plain", textOf(id)); err != nil {
			return err
		}
		fmt.Println("stored", id)
		if n%3 == 2 {
			if err := d.keys.Shred(warrant.KeyID(id)); err != nil {
				return err
			}
			fmt.Println("shredded", id)
		}
	}
}

// TestKill kills the process that stores documents, anywhere. Afterwards each that
// was acknowledged and whose dossier lives is there whole, the ledger knows every
// file, and of nothing else is there one.
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
		stopAfter := 1 + rand.IntN(10)
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			said[id] = what
			if n == stopAfter {
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
				child.Process.Kill()
			}
		}
		child.Wait()
		if stderr.Len() > 0 {
			t.Fatal(stderr.String())
		}
	}
	d, err := openDesk(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.log.Close()
	var want []string
	stored := 0
	for id, what := range said {
		documents := d.state.Documents(id)
		if what != "storing" && len(documents) != 1 {
			t.Errorf("of what was %s the ledger has %d documents", what, len(documents))
		}
		if len(documents) == 0 {
			continue
		}
		stored++
		var text bytes.Buffer
		_, err := d.Get(id, documents[0].ID, func(chunk []byte) error { text.Write(chunk); return nil })
		switch shredded := errors.Is(d.keys.State(warrant.KeyID(id)), keystore.ErrShredded); {
		case shredded && reason.Of(err) != reason.NotFound:
			t.Errorf("of a dossier that was destroyed: %v", err)
		case shredded:
		case err != nil || !bytes.Equal(text.Bytes(), textOf(id)):
			t.Errorf("a document that was %s: %d bytes, %v", what, text.Len(), err)
		default:
			want = append(want, documents[0].ID+".order")
		}
	}
	if stored < 8 {
		t.Fatalf("%d documents of %d: the test saw too little", stored, len(said))
	}
	entries, err := os.ReadDir(filepath.Join(dir, "documents"))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	slices.Sort(want)
	if slices.Sort(have); !slices.Equal(have, want) {
		t.Errorf("%d files, want %d", len(have), len(want))
	}
	t.Logf("%d storing, %d stored, %d live", len(said), stored, len(want))
}
