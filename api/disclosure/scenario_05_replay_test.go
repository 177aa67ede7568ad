package disclosure_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	"griffier/api/warrant"
	orders "griffier/api/warrant/document"
	griffierv1 "griffier/proto/griffier/v1"
)

// Scenario 5, replay and duplicate order: "same reference twice, same PDF with new
// reference, re-sent execute after release -> ALREADY_EXISTS, alert, identical
// package hash respectively."
func TestScenario05Replay(t *testing.T) {
	l := newGatedLab(t)
	content := l.Content(time.Hour)
	w := l.Approve(content)

	_, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
	l.Want(err, reason.DuplicateWarrant)
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("code %v", status.Code(err))
	}
	// Letters that look the same do not make another reference.
	alike := l.Content(time.Hour)
	alike.Reference = strings.Replace(content.Reference, "PV", "РV", 1) // CYRILLIC CAPITAL LETTER ER
	_, err = l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: alike})
	l.Want(err, reason.WarrantIncomplete)
	for _, spaced := range []string{content.Reference + " ", " " + content.Reference, content.Reference + "\u200b", content.Reference + "\n"} {
		alike.Reference = spaced
		_, err = l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: alike})
		l.Want(err, reason.WarrantIncomplete)
	}

	// The same request, re-sent, is the same warrant: no second entry.
	request := &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: l.Content(time.Hour)}
	first, err := l.Warrants.CreateWarrant(l.Officer(), request)
	if err != nil {
		t.Fatal(err)
	}
	size := l.Log.Size()
	again, err := l.Warrants.CreateWarrant(l.Officer(), request)
	if err != nil || again.WarrantId != first.WarrantId || l.Log.Size() != size {
		t.Errorf("re-sent: %v, %v, %d new entries", again, err, l.Log.Size()-size)
	}

	// An execution, re-sent after the release, in its own name and in another, and
	// after a restart: the same package to the byte, and not another query.
	task := l.Task(w, "192.0.2.17", l.Noon)
	done, err := l.Execute(task)
	if err != nil {
		t.Fatal(err)
	}
	sealed, receipt, err := l.Fetch(task)
	if err != nil {
		t.Fatal(err)
	}
	reads := l.Traffic.Reads.Load()
	resent := &griffierv1.ExecuteTaskRequest{RequestId: l.Request(), TaskId: task.TaskId, ExpectedGeneration: task.Generation}
	queries := l.Queries(func() {
		for range 3 {
			again, err := l.Tasks.ExecuteTask(l.Officer(), resent)
			if err != nil || again.PackageSha256 != done.PackageSha256 || !again.ReleasedAt.AsTime().Equal(done.ReleasedAt.AsTime()) {
				t.Errorf("re-sent: %v, %v", again, err)
			}
		}
	})
	if queries != 0 || l.Traffic.Reads.Load() != reads {
		t.Errorf("%d queries for what was answered", queries)
	}
	l.Credentials = nil // the lab's own server, from here on
	l.Restart()
	if again, err := l.Execute(task); err != nil || again.PackageSha256 != done.PackageSha256 {
		t.Errorf("after a restart: %v, %v", again, err)
	}
	sealedAgain, _, err := l.FetchOnce(l.Approver(), task)
	l.Want(err, reason.DownloadUsed)
	if len(sealedAgain) != 0 {
		t.Errorf("%d bytes came of a download that was used", len(sealedAgain))
	}
	l.Grant(task)
	sealedAgain, receiptAgain, err := l.Fetch(task)
	if err != nil || !bytes.Equal(sealedAgain, sealed) || !bytes.Equal(receiptAgain, receipt) {
		t.Errorf("fetched again: another package or receipt, %v", err)
	}
	if l.Traffic.Reads.Load() != reads {
		t.Error("the store was read again")
	}
	if got := l.Kinds(task.TaskId); count(got, "intent") != 1 || count(got, "result") != 1 || count(got, "release") != 1 || count(got, "fetch") != 2 {
		t.Errorf("entries %v", got)
	}
}

// Scenario 5, the same PDF with a new reference: an alert, which the entry carries,
// and people decide. A file that only says that it is a PDF is not kept at all.
func TestScenario05SameDocument(t *testing.T) {
	l := newLab(t)
	keeper, err := orders.New(orders.Config{Dir: filepath.Join(l.Dir, "orders"), Keys: l.Keys, Book: l.Book, State: l.State, Rules: l.Rules, Now: l.Now,
		Log: slog.New(l.Logs)})
	if err != nil {
		t.Fatal(err)
	}
	by := warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}
	letter := []byte("%PDF-1.7\n1 0 obj\n<< >>\nendobj\ntrailer\n<< >>\n%%EOF\n")
	put := func(w *griffierv1.Warrant, declared string, data []byte) (warrant.Document, error) {
		return keeper.Put(t.Context(), by, l.Request(), w.WarrantId, declared, data)
	}
	first, second := l.Approved(time.Hour), l.Approved(time.Hour)
	kept, err := put(first, "application/pdf", letter)
	if err != nil || len(kept.ReplayOf) != 0 {
		t.Fatalf("the first time: %+v, %v", kept, err)
	}
	again, err := put(first, "application/pdf", letter)
	if err != nil || again.ID != kept.ID {
		t.Errorf("in its own dossier again: %+v, %v", again, err)
	}
	size := l.Log.Size()
	replayed, err := put(second, "application/pdf", letter)
	if err != nil || !slices.Equal(replayed.ReplayOf, []string{first.WarrantId}) {
		t.Errorf("under a new reference: %+v, %v", replayed, err)
	}
	entries := l.since(size)
	if len(entries) != 1 || entries[0].Header.Reason != string(reason.DocumentReplayed) || !strings.Contains(disclosuretest.JSON(entries[0].Header), first.WarrantId) ||
		strings.Contains(disclosuretest.JSON(entries[0].Header), disclosure.SHA256(letter)) {
		t.Errorf("entries %s", disclosuretest.JSON(entries))
	}
	for name, data := range map[string][]byte{
		"a zip archive":      []byte("PK\x03\x04not a letter"),
		"a program":          []byte("\x7fELF\x02\x01\x01"),
		"a page":             []byte("<html><script>"),
		"magic further down": append([]byte("\x00\x01\x02"), letter...),
		"nothing":            nil,
	} {
		if _, err := put(second, "application/pdf", data); reason.Of(err) != reason.DocumentRefused {
			t.Errorf("%s, said to be a PDF: %v", name, err)
		}
	}
}
