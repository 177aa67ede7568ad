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
			_, err := l.warrants.CancelWarrant(l.officer(), &griffierv1.CancelWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
			return err
		}, reason.WarrantTerminal, nil},
		"suspended": {func(l *lab, w *griffierv1.Warrant) error {
			_, err := l.warrants.SuspendWarrant(l.approver(), &griffierv1.SuspendWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
			return err
		}, reason.WarrantSuspended, func(l *lab, w *griffierv1.Warrant) *griffierv1.Warrant {
			w, err := l.warrants.ResumeWarrant(l.officer(), &griffierv1.ResumeWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
			l.want(err, "")
			return w
		}},
		"edited": {func(l *lab, w *griffierv1.Warrant) error {
			w.Content.RequestedBy = "J. de Vriesch"
			_, err := l.warrants.EditWarrant(l.officer(), &griffierv1.EditWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, Content: w.Content})
			return err
		}, reason.GenerationMismatch, func(l *lab, w *griffierv1.Warrant) *griffierv1.Warrant {
			w, err := l.warrants.GetWarrant(l.officer(), &griffierv1.GetWarrantRequest{WarrantId: w.WarrantId})
			l.want(err, "")
			for _, ctx := range []context.Context{l.officer(), l.approver()} {
				_, err = l.warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 2, ContentSha256: w.ContentSha256})
				l.want(err, "")
			}
			return w
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := l.approved(time.Hour)
			task := l.task(w, "192.0.2.17", l.noon)
			before := len(l.shelved())
			var stopped error
			began := time.Now()
			l.traffic.during = func(ctx context.Context) {
				stopped = test.stop(l, w)
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Second):
				}
			}
			_, err := l.execute(task)
			took := time.Since(began)
			l.traffic.during = nil
			l.want(stopped, "")
			l.want(err, test.want)
			if took > 15*time.Second {
				t.Errorf("the query was cut off after %v", took)
			}
			if got := l.kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "abort"}) {
				t.Errorf("entries %v", got)
			}
			if files := l.shelved(); len(files) != before {
				t.Errorf("left behind: %v", files)
			}
			_, err = l.execute(task)
			l.want(err, test.want)
			if test.goOn == nil {
				return
			}
			task.Generation = test.goOn(l, w).Generation
			done, err := l.execute(task)
			l.want(err, "")
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
	w := l.approved(time.Hour)
	task := l.task(w, "192.0.2.17", l.noon)
	_, err := l.execute(task)
	l.want(err, "")
	_, err = l.warrants.SuspendWarrant(l.approver(), &griffierv1.SuspendWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
	l.want(err, "")
	_, _, err = l.fetch(task)
	l.want(err, reason.WarrantSuspended)
	if len(l.shelved()) == 0 {
		t.Error("a suspension destroyed the package")
	}
	_, err = l.warrants.ResumeWarrant(l.officer(), &griffierv1.ResumeWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
	l.want(err, "")
	_, _, err = l.fetch(task)
	l.want(err, "")
}

// What an enforcing authority may still refuse is sealed while the data is there,
// and leaves when it has cleared the order, without a second query.
func TestSealedUntilCleared(t *testing.T) {
	l := newLab(t)
	content := l.content(30 * 24 * time.Hour)
	content.EnforcingAuthorityNotified = true
	w := l.approve(content)
	task := l.task(w, "192.0.2.17", l.noon)
	_, err := l.execute(task)
	l.want(err, reason.NoticePending)
	_, _, err = l.fetch(task)
	l.want(err, reason.NotFound)
	// Two days on the approvals are too old. That costs an approval, not the package.
	l.later(48 * time.Hour)
	_, err = l.execute(task)
	l.want(err, reason.WarrantIncomplete)
	for _, ctx := range []context.Context{l.officer(), l.approver()} {
		_, err = l.warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
		l.want(err, "")
	}
	_, err = l.execute(task)
	l.want(err, reason.NoticePending)
	_, err = l.warrants.ClearNotice(l.officer(), &griffierv1.ClearNoticeRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, DocumentSha256: w.Content.DocumentSha256})
	l.want(err, "")
	_, err = l.execute(task)
	l.want(err, "")
	if got := l.kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "release"}) {
		t.Errorf("entries %v", got)
	}
}

// What was sealed under a content that was edited since is never released: the
// question is asked again, under the new one.
func TestSealedThenEdited(t *testing.T) {
	l := newLab(t)
	content := l.content(30 * 24 * time.Hour)
	content.EnforcingAuthorityNotified = true
	w := l.approve(content)
	task := l.task(w, "192.0.2.17", l.noon)
	_, err := l.execute(task)
	l.want(err, reason.NoticePending)
	first, _, _ := l.state.Task(task.TaskId)
	content.RequestedBy, content.EnforcingAuthorityNotified = "J. de Vriesch", false
	w, err = l.warrants.EditWarrant(l.officer(), &griffierv1.EditWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1, Content: content})
	l.want(err, "")
	if files := l.shelved(); len(files) != 0 {
		t.Errorf("what the edit made void is kept: %v", files)
	}
	for _, ctx := range []context.Context{l.officer(), l.approver()} {
		_, err = l.warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 2, ContentSha256: w.ContentSha256})
		l.want(err, "")
	}
	task.Generation = 2
	done, err := l.execute(task)
	l.want(err, "")
	if done.GetPackageSha256() == first.PackageSHA256 {
		t.Error("the package of the old content was released")
	}
	if got := l.kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "abort", "intent", "result", "release"}) {
		t.Errorf("entries %v", got)
	}
}
