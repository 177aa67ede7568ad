package backup

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
	"griffier/schema/engine"
)

const (
	childEnv = "GRIFFIER_BACKUP_CHILD"
	dieEnv   = "GRIFFIER_BACKUP_DIE" // at which piece; 0 for never
)

// openAt is newHouse over a data folder that outlives the process.
func openAt(t *testing.T, dir, dataDir string) *house {
	t.Helper()
	lib, err := engine.Fetch(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Start(t.Context(), engine.Config{DataDir: dataDir, SocketPath: filepath.Join(dir, "s"), LibPath: lib})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	conn, err := schema.Open(t.Context(), schema.Config{Socket: e.SocketPath()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	h := &house{dir: dir, conn: conn, dataDir: dataDir, now: time.Now()}
	if _, err := os.Stat(h.at("master")); err != nil {
		if err := keystore.GenerateMasterKey(h.at("master")); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.GenerateKey(h.at("ledgerkey"), "test.example/backup"); err != nil {
			t.Fatal(err)
		}
	}
	h.openKeys(t)
	key, err := ledger.LoadKey(h.at("ledgerkey"))
	if err != nil {
		t.Fatal(err)
	}
	record := &Record{}
	h.book, err = ledger.Open(context.Background(), ledger.Config{Dir: h.at("ledger"), WitnessFile: h.at("witness"), Key: key, Keys: h.keys,
		Folds: []ledger.Fold{record}, Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.book.Close() })
	h.maker = &Maker{Conn: conn, DataDir: dataDir, LedgerDir: h.at("ledger"), Dir: h.at("backups"), KeysDir: h.at("keycopies"), Keys: h.keys,
		Book: h.book, Record: record, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	return h
}

// TestChild is the process that TestKilled has killed, by itself at one of its pieces.
func TestChild(t *testing.T) {
	what, dir, ok := strings.Cut(os.Getenv(childEnv), "|")
	if !ok {
		return // not a child: there is nothing to test here
	}
	pieces, _ := strconv.Atoi(os.Getenv(dieEnv))
	say := func(piece string, _, _ int) {
		fmt.Println("PIECE", piece)
		if pieces--; pieces == 0 {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // it does not come here
		}
	}
	switch what {
	case "fill":
		h := openAt(t, dir, filepath.Join(dir, "data"))
		h.fill(t)
		fmt.Println("SUMS", strings.ReplaceAll(h.sums(t), "\n", ";"))
	case "create":
		h := openAt(t, dir, filepath.Join(dir, "data"))
		if err := h.maker.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		folders, _ := os.ReadDir(h.at("backups"))
		left, _ := os.ReadDir(filepath.Join(h.dataDir, "store", "shadow"))
		if len(folders) > 0 || len(left) > 1 { // increment.txt
			t.Fatalf("a killed backup left %d folders and %d frozen ones", len(folders), len(left))
		}
		for _, k := range h.maker.Record.All() {
			if h.keys.State(keyID(k.ID)) == nil {
				t.Fatal("the key of a killed backup is there")
			}
		}
		m, err := h.maker.Create(t.Context(), say)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("MADE", m.ID)
	case "restore":
		h := openAt(t, dir, filepath.Join(dir, "new"))
		folders, err := Folders(h.at("backups"))
		if err != nil || len(folders) == 0 {
			t.Fatal("no backup", err)
		}
		if err := Restore(t.Context(), folders[0], h.target(), say); err != nil {
			t.Fatal(err)
		}
		fmt.Println("SUMS", strings.ReplaceAll(h.sums(t), "\n", ";"))
	}
}

// child runs a child, which dies when it has said n pieces; with n = 0 it runs to
// its end. It returns what it said last.
func child(t *testing.T, what, dir string, n int) (last string) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.count=1")
	c.Env = append(os.Environ(), childEnv+"="+what+"|"+dir, dieEnv+"="+strconv.Itoa(n))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		said += lines.Text() + "\n"
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if word == "SUMS" || word == "MADE" {
			last = rest
		}
	}
	if err := c.Wait(); err != nil && last != "" || err == nil && last == "" {
		t.Fatalf("%s: %v\n%s", what, err, said)
	}
	return last
}

// TestKilled kills backups and restores at several pieces. What a killed backup
// left is tidied by the next; a killed restore goes on from the beginning, and in
// the end the store is the one that was backed up.
func TestKilled(t *testing.T) {
	dir, err := os.MkdirTemp("", "g") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	want := child(t, "fill", dir, 0)
	for _, n := range []int{1, 7} {
		if made := child(t, "create", dir, n); made != "" {
			t.Fatalf("made %s, though it was killed", made)
		}
	}
	if made := child(t, "create", dir, 0); made == "" {
		t.Fatal("no backup was made in the end")
	}
	for _, n := range []int{2, 14} { // the first piece is the check
		if sums := child(t, "restore", dir, n); sums != "" {
			t.Fatal("restored, though it was killed")
		}
		if stage, err := StageOf(filepath.Join(dir, "new")); stage != Copying || err != nil {
			t.Errorf("after %d pieces: StageOf = %q, %v", n, stage, err)
		}
	}
	if got := child(t, "restore", dir, 0); got != want {
		t.Errorf("restored\n%s\nwant\n%s", got, want)
	}
	if stage, err := StageOf(filepath.Join(dir, "new")); stage != Copied || err != nil {
		t.Errorf("StageOf = %q, %v", stage, err)
	}
}
