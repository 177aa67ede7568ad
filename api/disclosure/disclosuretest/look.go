package disclosuretest

import (
	"archive/tar"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/api/disclosure/letter"
	"griffier/api/disclosure/seal"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Trust is what verifies the lab's packages.
func (l *Lab) Trust() disclosure.Trust {
	return disclosure.Trust{PackageKey: l.signer.Public(), LedgerOrigin: "isp.example/griffier", LedgerKey: l.Key.Public}
}

// Kinds lists the kinds of the ledger's entries about a task, in order.
func (l *Lab) Kinds(taskID string) []string {
	l.T.Helper()
	var out []string
	for _, e := range l.Entries() {
		if e.Header.TaskID == taskID {
			out = append(out, strings.TrimPrefix(e.Header.Kind, "task."))
		}
	}
	return out
}

// Entries reads the whole ledger.
func (l *Lab) Entries() []ledger.Entry {
	l.T.Helper()
	var all []ledger.Entry
	for uint64(len(all)) < l.Log.Size() {
		entries, err := l.Log.Read(l.T.Context(), uint64(len(all)), ledger.MaxRead)
		if err != nil {
			l.T.Fatal(err)
		}
		all = append(all, entries...)
	}
	return all
}

// Shelved lists the files in the packages folder.
func (l *Lab) Shelved() []string {
	l.T.Helper()
	files, err := os.ReadDir(filepath.Join(l.Dir, "packages"))
	if err != nil {
		l.T.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err == nil && info.Mode().Perm() != 0o600 {
			l.T.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
	return names
}

// Want wants an error of a reason, or none.
func (l *Lab) Want(err error, want reason.Reason) {
	l.T.Helper()
	if got := reason.Of(err); got != want || (want != "" && err == nil) {
		l.T.Errorf("error %v (%s), want %s", err, got, want)
	}
}

// JSON shows a value in a failure.
func JSON(v any) string { text, _ := json.Marshal(v); return string(text) }

// Plain is what is in a package that was sealed to the lab's identity, the letter as it is shown.
func (l *Lab) Plain(sealed []byte) string {
	l.T.Helper()
	r, err := age.Decrypt(bytes.NewReader(sealed), l.Identity)
	if err != nil {
		l.T.Fatal(err)
	}
	var all strings.Builder
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all.String()
		}
		var text []byte
		if err == nil {
			text, err = io.ReadAll(tr)
		}
		if err == nil && h.Name == "letter.pdf" { // as it is shown
			var shown string
			shown, err = letter.Text(text)
			text = []byte(shown)
		}
		if err != nil {
			l.T.Fatal(err)
		}
		all.Write(text)
	}
}

// OnShelf lists what is on the shelf for a task, and what is half written.
func (l *Lab) OnShelf(taskID string) []string {
	l.T.Helper()
	return slices.DeleteFunc(l.Shelved(), func(name string) bool { return !strings.HasPrefix(name, taskID) && !strings.HasPrefix(name, "tmp-") })
}

// MustAsk makes and executes a task, and returns the rows of its package without the
// task's id, with instants as they are from noon.
func (l *Lab) MustAsk(w *griffierv1.Warrant, want reason.Reason, category griffierv1.Category, target string, from, to time.Duration, change ...func(*griffierv1.CreateTaskRequest)) (*griffierv1.Task, []string, string) {
	l.T.Helper()
	task, err := l.Ask(w, category, target, from, to, change...)
	if err != nil {
		l.T.Fatal(err)
	}
	done, plain := l.MustExecute(task, want)
	var rows []string
	for line := range strings.SplitSeq(plain, "\r\n") {
		i := strings.LastIndex(line, task.TaskId+",") // the first file's last line has no end of its own
		if i < 0 {
			continue
		}
		cells, err := csv.NewReader(strings.NewReader(line[i:])).Read()
		if err != nil {
			l.T.Fatal(err)
		}
		for i, cell := range cells {
			if at, err := time.Parse(time.RFC3339Nano, cell); err == nil {
				cells[i] = at.Sub(l.Noon).String()
			}
		}
		rows = append(rows, strings.Join(cells[1:], " "))
	}
	return done, rows, plain
}

// WantRows wants the rows of MustAsk.
func (l *Lab) WantRows(name string, rows []string, want ...string) {
	l.T.Helper()
	if !slices.Equal(rows, want) {
		l.T.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

// MustExecute executes a task and wants an answer, whose package verifies.
func (l *Lab) MustExecute(task *griffierv1.Task, want reason.Reason) (*griffierv1.Task, string) {
	l.T.Helper()
	done, err := l.Execute(task)
	if err != nil {
		l.T.Fatal(err)
	}
	if done.Answer != string(want) {
		l.T.Fatalf("answer %s, want %s", done.Answer, want)
	}
	sealed, receipt, err := l.Fetch(done)
	if err != nil {
		l.T.Fatal(err)
	}
	if report := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity)); !report.Verified() {
		l.T.Fatalf("the package does not verify: %s", JSON(report))
	}
	return done, l.Plain(sealed)
}

// Queries is how many queries the engine begins while f runs, by the engine's own
// count, less what counting takes.
func (l *Lab) Queries(f func()) uint64 {
	l.T.Helper()
	count := func() (n uint64) {
		l.T.Helper()
		if err := l.Conn.QueryRow(l.T.Context(), "SELECT sum(value) FROM system.events WHERE event = 'Query'").Scan(&n); err != nil {
			l.T.Fatal(err)
		}
		return n
	}
	l.spare()
	idle, before := count(), count()
	f()
	return count() - before - (before - idle)
}

// spare has the pool hold connections that nobody needs. One comes back to it a little
// after its last row was read, on a busy machine later than the next question, for which
// a new one would be made; and that asks the store who it is.
func (l *Lab) spare() {
	l.T.Helper()
	var held []driver.Rows
	for range 4 {
		rows, err := l.Conn.Query(l.T.Context(), "SELECT 1")
		if err != nil {
			l.T.Fatal(err)
		}
		held = append(held, rows)
	}
	for _, rows := range held {
		if err := rows.Close(); err != nil {
			l.T.Fatal(err)
		}
	}
}

// random finds hashes, signatures and what is sealed: long enough, these have any
// name of three or four letters in them by chance.
var random = regexp.MustCompile(`[A-Za-z0-9+/]{40,}={0,2}`)

// Legible is a text without what is random in it.
func Legible(text string) string { return random.ReplaceAllString(text, "…") }

// Genuine wants the package that a task names, and that it verifies.
func (l *Lab) Genuine(done *griffierv1.Task, sealed, receipt []byte) {
	l.T.Helper()
	if r := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity)); !r.Verified() || disclosure.SHA256(sealed) != done.PackageSha256 {
		l.T.Errorf("report %s", JSON(r))
	}
}
