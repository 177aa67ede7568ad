package witness

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/ledger"
	"griffier/api/ledger/ledgertest"
)

// checkpointOver gives the log's checkpoint over its first n entries, and the proof
// to it from old.
func checkpointOver(t *testing.T, l *ledger.Log, old, n uint64) addCheckpoint {
	t.Helper()
	cp, err := l.CheckpointAt(n)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := l.Consistency(context.Background(), old, n)
	if err != nil {
		t.Fatal(err)
	}
	return addCheckpoint{old: old, proof: proof, checkpoint: cp}
}

// TestProtocol goes through the answers of C2SP tlog-witness.
func TestProtocol(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 9, "a")
	witness := w.open(t)
	defer func() { witness.Close() }()

	good := checkpointOver(t, l, 0, 3)
	other, err := ledger.GenerateKey(filepath.Join(w.root, "other.key"), origin)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := note.Sign(&note.Note{Text: strings.SplitAfterN(good.checkpoint, "\n\n", 2)[0][:strings.Index(good.checkpoint, "\n\n")+1]}, other.Signer)
	if err != nil {
		t.Fatal(err)
	}
	stranger := strings.Replace(good.checkpoint, origin, "other.example/log", 1)
	ask := func(name string, a addCheckpoint, want int) string {
		t.Helper()
		status, text := post(t, witness, a.encode())
		if status != want {
			t.Fatalf("%s: %d %q, want %d", name, status, text, want)
		}
		return text
	}
	ask("another key", addCheckpoint{checkpoint: string(forged)}, http.StatusForbidden)
	ask("another log", addCheckpoint{checkpoint: stranger}, http.StatusNotFound)
	ask("old beyond new", addCheckpoint{old: 4, checkpoint: good.checkpoint}, http.StatusBadRequest)
	if text := ask("old not what is remembered", addCheckpoint{old: 2, checkpoint: good.checkpoint}, http.StatusConflict); text != "0\n" {
		t.Fatalf("conflict says %q", text)
	}
	line := ask("the first", good, http.StatusOK)
	v, err := fnote.NewVerifierForCosignatureV1(w.public)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(good.checkpoint+line), note.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 {
		t.Fatalf("the library does not accept the cosignature: %v", err)
	}
	if at, err := fnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || at.Unix() != w.now.Unix() {
		t.Fatalf("time %v, %v", at, err)
	}
	next := checkpointOver(t, l, 3, 9)
	broken := next
	broken.proof = append([][]byte{make([]byte, 32)}, next.proof[1:]...)
	ask("a proof that is none", broken, http.StatusUnprocessableEntity)
	ask("a proof missing", addCheckpoint{old: 3, checkpoint: next.checkpoint}, http.StatusUnprocessableEntity)
	ask("the next", next, http.StatusOK)
	ask("the same again", addCheckpoint{old: 9, checkpoint: next.checkpoint}, http.StatusOK)
	if text := ask("an old checkpoint replayed", good, http.StatusConflict); text != "9\n" {
		t.Fatalf("conflict says %q", text)
	}
	if status, _ := post(t, witness, strings.Repeat("x", maxRequestBytes+1)); status != http.StatusBadRequest {
		t.Fatalf("too large: %d", status)
	}

	// What is remembered outlives the process, and there is one process.
	if _, err := Open(Config{Dir: filepath.Join(w.root, "witness"), Key: w.cosign, Logs: []string{w.key.Public}, Now: time.Now}); err == nil {
		t.Fatal("two witnesses in one folder")
	}
	if err := witness.Close(); err != nil {
		t.Fatal(err)
	}
	witness = w.open(t)
	ask("replayed after a restart", good, http.StatusConflict)
	if m := witness.Memory(); len(m) != 1 || m[0].Size != 9 || m[0].SignedAt.Unix() != w.now.Unix() {
		t.Fatalf("memory %+v", m)
	}
	if history, err := os.ReadFile(strings.TrimSuffix(memoryOf(filepath.Join(w.root, "witness"), origin), ".checkpoint") + ".history"); err != nil || strings.Count(string(history), "\n") != 1 {
		t.Fatalf("history of one hour: %q, %v", history, err)
	}
}

// TestDamagedMemory wants a witness that cannot read what it signed to sign nothing.
func TestDamagedMemory(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 3, "a")
	witness := w.open(t)
	if status, text := post(t, witness, checkpointOver(t, l, 0, 3).encode()); status != http.StatusOK {
		t.Fatal(text)
	}
	if err := witness.Close(); err != nil {
		t.Fatal(err)
	}
	path := memoryOf(filepath.Join(w.root, "witness"), origin)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range text {
		altered := append([]byte(nil), text...)
		if altered[i] ^= 1; i+1 < len(text) && text[i+1] == '=' && text[i] != '=' {
			// The last digit before the padding has spare bits, which a lax decoder drops.
			altered[i] = digits[strings.IndexByte(digits, text[i])|1]
		}
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := Open(Config{Dir: filepath.Join(w.root, "witness"), Key: w.cosign, Logs: []string{w.key.Public}, Now: time.Now})
		if err == nil {
			h := again.Memory()
			again.Close()
			t.Fatalf("byte %d altered, and remembers %+v", i, h)
		}
	}
	for how, altered := range ledgertest.Respellings(text) {
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := Open(Config{Dir: filepath.Join(w.root, "witness"), Key: w.cosign, Logs: []string{w.key.Public}, Now: time.Now})
		if err == nil {
			again.Close()
			t.Errorf("a memory with %s is read", how)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open(t).Close() // negative control
}

// TestTornHistory leaves a line of the history cut short, as a crash or a full disk
// does: the next is written in its place, and those before it stay.
func TestTornHistory(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 3, "a")
	if err := os.Mkdir(filepath.Join(w.root, "witness"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSuffix(memoryOf(filepath.Join(w.root, "witness"), origin), ".checkpoint") + ".history"
	var whole []byte
	for i, torn := range []string{`{"at":"2026-`, strings.Repeat("x", 100_000), `{"at":"`} {
		if err := os.WriteFile(path, append(whole, torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		witness := w.open(t) // which keeps the first that it signs
		if status, text := post(t, witness, checkpointOver(t, l, uint64(i), uint64(i+1)).encode()); status != http.StatusOK {
			t.Fatal(text)
		}
		if err := witness.Close(); err != nil {
			t.Fatal(err)
		}
		history, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(history, whole) {
			t.Fatalf("history %q, %v", history, err)
		}
		past, err := ParsePast(bytes.TrimSuffix(history[len(whole):], []byte("\n")))
		if err != nil || past.Size != uint64(i+1) {
			t.Fatalf("%+v, %v", past, err)
		}
		whole = history
	}
}

// TestForget wants a witness that runs to keep what it remembers.
func TestForget(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 3, "a")
	witness := w.open(t)
	if status, text := post(t, witness, checkpointOver(t, l, 0, 3).encode()); status != http.StatusOK {
		t.Fatal(text)
	}
	dir := filepath.Join(w.root, "witness")
	if aside, err := Forget(dir, origin, w.now); err == nil {
		t.Fatalf("set aside as %s while it runs", aside)
	}
	if err := witness.Close(); err != nil {
		t.Fatal(err)
	}
	aside, err := Forget(dir, origin, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Fatal(err)
	}
	witness = w.open(t)
	defer witness.Close()
	if m := witness.Memory(); len(m) > 0 {
		t.Fatalf("remembers %+v", m)
	}
}

func FuzzParseAddCheckpoint(f *testing.F) {
	f.Add("old 0\n\ntest.example/ledger\n1\nAAAA\n\n— x y\n")
	f.Add("old 3\n" + strings.Repeat("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 3) + "\ncp")
	f.Add("old 00\n\nx")
	f.Add("old 18446744073709551615\n\nx")
	f.Fuzz(func(t *testing.T, body string) {
		a, err := parseAddCheckpoint(body)
		if err != nil {
			return
		}
		if a.encode() != body {
			t.Fatalf("%q reads as %q", body, a.encode())
		}
	})
}

func FuzzParsePast(f *testing.F) {
	f.Add([]byte(`{"at":"2026-11-20T01:02:03Z","size":3,"checkpoint":"test.example/ledger\n3\nAAAA\n"}`))
	f.Add([]byte(`{"at":"2026-11-20T01:02:03+00:00","size":3,"checkpoint":""}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := ParsePast(line)
		if err != nil {
			return
		}
		if again, err := json.Marshal(p); err != nil || string(again) != string(line) {
			t.Fatalf("%q is read as %q", line, again)
		}
	})
}
