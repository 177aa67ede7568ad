package execute_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// killed tells the child of TestKilledAtEachStep where it is, and where it dies.
const killed = "GRIFFIER_TEST_KILLED"

type killOrder struct {
	Dir, Socket, Identity string
	Noon                  time.Time
	Step                  string
	Task                  *griffierv1.Task
}

// deadly is a step at which the server dies.
type deadly struct {
	name        string
	arm         func(l *lab)
	died        []string // kinds of the task's entries after the death
	files       int      // on the shelf then, half written ones too
	after       []string // kinds once executed again
	destruction bool     // what dies is not the execution
}

// steps are the places at which the server dies, with what the ledger then has of
// the task, and what it has in the end, once the execution was sent again. The
// process is gone at once: by SIGKILL at an entry, and for what lies between two
// system calls by the kernel, which is told to end it at the next one.
var steps = []deadly{
	{name: "before the intent", arm: func(l *lab) { l.beforeDecision(1, die) },
		died: []string{"create"}, after: []string{"create", "intent", "result", "release"}},
	{name: "the intent is entered", arm: func(l *lab) { l.afterDecision(warrant.KindTaskIntent, die) },
		died: []string{"create", "intent"}, after: []string{"create", "intent", "abort", "intent", "result", "release"}},
	{name: "amid the query", arm: func(l *lab) { l.Traffic.During = func(context.Context) { die() } },
		died: []string{"create", "intent"}, after: []string{"create", "intent", "abort", "intent", "result", "release"}},
	{name: "sealed, not synced", arm: func(l *lab) { l.Traffic.During = func(context.Context) { dieAtNext(l.T, unix.SYS_FSYNC) } },
		died: []string{"create", "intent"}, files: 1, after: []string{"create", "intent", "abort", "intent", "result", "release"}},
	{name: "synced, not in its place", arm: func(l *lab) { l.Traffic.During = func(context.Context) { dieAtNext(l.T, unix.SYS_RENAMEAT) } },
		died: []string{"create", "intent"}, files: 1, after: []string{"create", "intent", "abort", "intent", "result", "release"}},
	{name: "before the result", arm: func(l *lab) { l.beforeDecision(2, die) },
		died: []string{"create", "intent"}, files: 1, after: []string{"create", "intent", "abort", "intent", "result", "release"}},
	{name: "the result is entered", arm: func(l *lab) { l.afterDecision(warrant.KindTaskResult, die) },
		died: []string{"create", "intent", "result"}, files: 1, after: []string{"create", "intent", "result", "release"}},
	{name: "the receipt is not synced", arm: func(l *lab) { l.afterDecision(warrant.KindTaskResult, func() { dieAtNext(l.T, unix.SYS_FSYNC) }) },
		died: []string{"create", "intent", "result"}, files: 2, after: []string{"create", "intent", "result", "release"}},
	{name: "before the release", arm: func(l *lab) { l.beforeDecision(3, die) },
		died: []string{"create", "intent", "result"}, files: 2, after: []string{"create", "intent", "result", "release"}},
	{name: "the release is entered", arm: func(l *lab) { l.afterDecision(warrant.KindRelease, die) },
		died: []string{"create", "intent", "result", "release"}, files: 2, after: []string{"create", "intent", "result", "release"}},
	{name: "before the fetch", arm: func(l *lab) { l.beforeDecision(4, die) },
		died: []string{"create", "intent", "result", "release"}, files: 2, after: []string{"create", "intent", "result", "release"}},
	{name: "the fetch is entered", arm: func(l *lab) { l.afterDecision(warrant.KindFetch, die) },
		died: []string{"create", "intent", "result", "release", "fetch"}, files: 2, after: []string{"create", "intent", "result", "release", "fetch"}},
	{name: "before the destruction", arm: func(l *lab) { l.afterDecision(warrant.KindRevoke, func() { dieAtNext(l.T, unix.SYS_UNLINKAT) }) }, destruction: true,
		died: []string{"create", "intent", "result", "release", "fetch"}, files: 2, after: []string{"create", "intent", "result", "release", "fetch", "destroy"}},
	{name: "destroyed, not entered", arm: func(l *lab) { l.afterDecision(warrant.KindRevoke, func() { l.beforeDecision(1, die) }) }, destruction: true,
		died: []string{"create", "intent", "result", "release", "fetch"}, files: 0, after: []string{"create", "intent", "result", "release", "fetch", "destroy"}},
	{name: "the destruction is entered", arm: func(l *lab) { l.afterDecision(warrant.KindDestroy, die) }, destruction: true,
		died: []string{"create", "intent", "result", "release", "fetch", "destroy"}, files: 0, after: []string{"create", "intent", "result", "release", "fetch", "destroy"}},
}

// TestKilledAtEachStep kills the server, which is a process of its own for this, at
// each step of a disclosure. A restart completes what was begun or ends it: never
// two packages, never one without its entries.
func TestKilledAtEachStep(t *testing.T) {
	if order := os.Getenv(killed); order != "" {
		beKilled(t, order)
		return
	}
	l := newLab(t)
	for n, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			w := l.Approved(time.Hour)
			task := l.Task(w, "192.0.2.17", l.Noon.Add(time.Duration(n)*time.Second))
			l.Stop()
			l.runKilled(step.name, task)
			// As it was left: read with nobody serving, from the files alone.
			if files := l.OnShelf(task.TaskId); len(files) != step.files {
				t.Errorf("on the shelf: %v, want %d", files, step.files)
			}
			died := l.kindsOf(task.TaskId)
			if !slices.Equal(died, step.died) {
				t.Errorf("entries when it died %v, want %v", died, step.died)
			}
			l.Start()
			if step.destruction {
				l.ended(task, step.after)
				return
			}
			done, err := l.Execute(task)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Kinds(task.TaskId); !slices.Equal(got, step.after) {
				t.Errorf("entries once executed again %v, want %v", got, step.after)
			}
			if slices.Contains(step.died, "fetch") { // the download was used, though nothing left
				sealed, _, err := l.FetchOnce(l.Approver(), task)
				l.Want(err, reason.DownloadUsed)
				if len(sealed) != 0 {
					t.Errorf("%d bytes", len(sealed))
				}
				l.Grant(task)
			}
			sealed, receipt, err := l.Fetch(task)
			if err != nil {
				t.Fatal(err)
			}
			l.Genuine(done, sealed, receipt)
			if files := l.OnShelf(task.TaskId); len(files) != 2 {
				t.Errorf("on the shelf in the end: %v", files)
			}
		})
	}
}

// ended wants that a restart finished a destruction, and entered it once.
func (l *lab) ended(task *griffierv1.Task, want []string) {
	l.T.Helper()
	if files := l.OnShelf(task.TaskId); len(files) != 0 {
		l.T.Errorf("left behind: %v", files)
	}
	if got := l.Kinds(task.TaskId); !slices.Equal(got, want) {
		l.T.Errorf("entries %v, want %v", got, want)
	}
	if sealed, _, err := l.Fetch(task); err == nil || len(sealed) != 0 {
		l.T.Errorf("fetched %d bytes, %v", len(sealed), err)
	}
}

// runKilled has a child execute, fetch and, where the step is of that, revoke, and
// wants it killed on the way.
func (l *lab) runKilled(step string, task *griffierv1.Task) {
	l.T.Helper()
	order, err := json.Marshal(killOrder{Dir: l.Dir, Socket: l.Sock, Identity: l.Identity.String(), Noon: l.Noon, Step: step, Task: task})
	if err != nil {
		l.T.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestKilledAtEachStep$", "-test.timeout=5m")
	child.Env = append(os.Environ(), killed+"="+string(order))
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	err = child.Run()
	status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || (status.Signal() != syscall.SIGKILL && status.Signal() != syscall.SIGSYS) {
		l.T.Fatalf("the child was not killed: %v\n%s", err, out.String())
	}
}

// beKilled is the child: the same lab, on the parent's store and files.
func beKilled(t *testing.T, text string) {
	var order killOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		t.Fatal(err)
	}
	identity, err := age.ParseX25519Identity(order.Identity)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{&disclosuretest.Lab{T: t, Dir: order.Dir, Sock: order.Socket, Noon: order.Noon, Identity: identity, Limit: disclosuretest.Patience, Logs: slog.DiscardHandler}}
	l.Open()
	l.Start()
	at := slices.IndexFunc(steps, func(s deadly) bool { return s.name == order.Step })
	if !steps[at].destruction {
		steps[at].arm(l)
	}
	if _, err := l.Execute(order.Task); err != nil {
		t.Fatalf("execute: %v", err)
	}
	if _, _, err := l.Fetch(order.Task); err != nil {
		t.Fatalf("fetch: %v", err)
	}
	if steps[at].destruction {
		steps[at].arm(l)
		_, err := l.Warrants.RevokeWarrant(l.Approver(), &griffierv1.RevokeWarrantRequest{RequestId: l.Request(), WarrantId: order.Task.WarrantId,
			ExpectedGeneration: order.Task.Generation})
		t.Fatalf("revoke: %v", err)
	}
	t.Fatal("it lives")
}

// beforeDecision calls f in place of the n-th decision from now.
func (l *lab) beforeDecision(n int, f func()) {
	l.Book.Before = func(context.Context) {
		if n--; n == 0 {
			f()
		}
	}
}

// afterDecision calls f once an entry of a kind is durable, before anybody knows.
func (l *lab) afterDecision(kind string, f func()) {
	l.Book.After = func(e ledger.Entry) {
		if e.Header.Kind == kind {
			f()
		}
	}
}

// die is kill -9.
func die() {
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // it does not come here
}

// dieAtNext has the kernel end the process when the goroutine that calls it next makes
// a call of a kind, as kill -9 would at that moment (seccomp(2),
// SECCOMP_RET_KILL_PROCESS). What the ledger writes by itself is of other threads.
func dieAtNext(t *testing.T, call uint32) {
	runtime.LockOSThread()
	const (
		killProcess = 0x80000000 // SECCOMP_RET_KILL_PROCESS
		allow       = 0x7fff0000 // SECCOMP_RET_ALLOW
	)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: killProcess},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Errorf("no new privileges: %v", err)
		return
	}
	const setModeFilter = 1 // SECCOMP_SET_MODE_FILTER
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Errorf("seccomp: %v", errno)
	}
}

// kindsOf reads the kinds of a task's entries with nobody serving.
func (l *lab) kindsOf(taskID string) []string {
	l.T.Helper()
	seen := &listener{}
	report, err := ledger.Verify(l.T.Context(), ledger.VerifyConfig{Dir: l.Dir + "/ledger", PublicKey: l.Key.Public, Keys: l.Keys, Folds: []ledger.Fold{seen}})
	if err != nil {
		l.T.Fatal(fmt.Errorf("the ledger that was left: %w: %v", err, report.Problems))
	}
	var kinds []string
	for _, e := range seen.entries {
		if e.Header.TaskID == taskID {
			kinds = append(kinds, strings.TrimPrefix(e.Header.Kind, "task."))
		}
	}
	return kinds
}

// listener is a fold that keeps every entry.
type listener struct{ entries []ledger.Entry }

func (l *listener) Apply(e ledger.Entry) error {
	l.entries = append(l.entries, e)
	return nil
}
