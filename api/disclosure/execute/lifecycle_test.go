package execute_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// What a person stops while a query runs is cut off there and then, and nothing of
// it can be fetched; what only changed or rested runs again once it may.
func TestStoppedDuringTheQuery(t *testing.T) {
	l := newLab(t)
	for name, test := range map[string]struct {
		stop func(l *lab, w *griffierv1.Warrant) error
		want reason.Reason
		goOn func(l *lab, w *griffierv1.Warrant) *griffierv1.Warrant // nil: it has ended
	}{
		"cancelled by the authority": {func(l *lab, w *griffierv1.Warrant) error {
			_, err := l.Warrants.CancelWarrant(l.Officer(), &griffierv1.CancelWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
			return err
		}, reason.WarrantTerminal, nil},
		"suspended": {func(l *lab, w *griffierv1.Warrant) error {
			_, err := l.Warrants.SuspendWarrant(l.Approver(), &griffierv1.SuspendWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
			return err
		}, reason.WarrantSuspended, func(l *lab, w *griffierv1.Warrant) *griffierv1.Warrant {
			w, err := l.Resume(w)
			l.Want(err, "")
			return w
		}},
		"edited": {func(l *lab, w *griffierv1.Warrant) error {
			w.Content.RequestedBy = "J. de Vriesch"
			_, err := l.Warrants.EditWarrant(l.Officer(), &griffierv1.EditWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, Content: w.Content})
			return err
		}, reason.GenerationMismatch, func(l *lab, w *griffierv1.Warrant) *griffierv1.Warrant {
			w, err := l.Warrants.GetWarrant(l.Officer(), &griffierv1.GetWarrantRequest{WarrantId: w.WarrantId})
			l.Want(err, "")
			for _, ctx := range []context.Context{l.Officer(), l.Approver()} {
				_, err = l.Warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 2, ContentSha256: w.ContentSha256})
				l.Want(err, "")
			}
			return w
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.Approved(time.Hour)
			task := l.Task(w, "192.0.2.17", l.Noon)
			before := len(l.Shelved())
			var stopped error
			l.Traffic.During = func(ctx context.Context) {
				stopped = test.stop(l, w)
				select {
				case <-ctx.Done():
				case <-time.After(30 * time.Second): // an execution itself has a minute
					t.Error("the query goes on after the stop")
				}
			}
			_, err := l.Execute(task)
			l.Traffic.During = nil
			l.Want(stopped, "")
			l.Want(err, test.want)
			if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "abort"}) {
				t.Errorf("entries %v", got)
			}
			if files := l.Shelved(); len(files) != before {
				t.Errorf("left behind: %v", files)
			}
			_, err = l.Execute(task)
			l.Want(err, test.want)
			if test.goOn == nil {
				return
			}
			task.Generation = test.goOn(l, w).Generation
			done, err := l.Execute(task)
			l.Want(err, "")
			if done.GetAnswer() != string(reason.Match) {
				t.Errorf("answered %s", done.GetAnswer())
			}
		})
	}
}

// A package that was released is out of reach while its warrant is suspended, and
// within it again when it goes on.
func TestSuspendedPackage(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err := l.Execute(task)
	l.Want(err, "")
	_, err = l.Warrants.SuspendWarrant(l.Approver(), &griffierv1.SuspendWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
	l.Want(err, "")
	_, _, err = l.Fetch(task)
	l.Want(err, reason.WarrantSuspended)
	if len(l.Shelved()) == 0 {
		t.Error("a suspension destroyed the package")
	}
	_, err = l.Resume(w)
	l.Want(err, "")
	_, _, err = l.Fetch(task)
	l.Want(err, "")
}

// What an enforcing authority may still refuse is sealed while the data is there,
// and leaves when it has cleared the order, without a second query.
func TestSealedUntilCleared(t *testing.T) {
	l := newLab(t)
	content := l.Content(30 * 24 * time.Hour)
	content.EnforcingAuthorityNotified = true
	w := l.Approve(content)
	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err := l.Execute(task)
	l.Want(err, reason.NoticePending)
	_, _, err = l.Fetch(task)
	l.Want(err, reason.NotFound)
	// Two days on the approvals are too old. That costs an approval, not the package.
	l.later(48 * time.Hour)
	_, err = l.Execute(task)
	l.Want(err, reason.WarrantIncomplete)
	for _, ctx := range []context.Context{l.Officer(), l.Approver()} {
		_, err = l.Warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
		l.Want(err, "")
	}
	_, err = l.Execute(task)
	l.Want(err, reason.NoticePending)
	for _, ctx := range []context.Context{l.Officer(), l.Approver()} {
		_, err = l.Execute(task)
		l.Want(err, reason.NoticePending) // also when one of two has cleared it
		_, err = l.Warrants.ClearNotice(ctx, &griffierv1.ClearNoticeRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
			ContentSha256: w.ContentSha256, DocumentSha256: w.Content.DocumentSha256})
		l.Want(err, "")
	}
	_, err = l.Execute(task)
	l.Want(err, "")
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "release"}) {
		t.Errorf("entries %v", got)
	}
}

// What was sealed under a content that was edited since is never released: the
// question is asked again, under the new one.
func TestSealedThenEdited(t *testing.T) {
	l := newLab(t)
	content := l.Content(30 * 24 * time.Hour)
	content.EnforcingAuthorityNotified = true
	w := l.Approve(content)
	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err := l.Execute(task)
	l.Want(err, reason.NoticePending)
	first, _, _ := l.State.Task(task.TaskId)
	content.RequestedBy, content.EnforcingAuthorityNotified = "J. de Vriesch", false
	w, err = l.Warrants.EditWarrant(l.Officer(), &griffierv1.EditWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, Content: content})
	l.Want(err, "")
	if files := l.Shelved(); len(files) != 0 {
		t.Errorf("what the edit made void is kept: %v", files)
	}
	for _, ctx := range []context.Context{l.Officer(), l.Approver()} {
		_, err = l.Warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 2, ContentSha256: w.ContentSha256})
		l.Want(err, "")
	}
	task.Generation = 2
	done, err := l.Execute(task)
	l.Want(err, "")
	if done.GetPackageSha256() == first.PackageSHA256 {
		t.Error("the package of the old content was released")
	}
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "abort", "intent", "result", "release"}) {
		t.Errorf("entries %v", got)
	}
}
