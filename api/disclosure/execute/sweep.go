package execute

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
)

// SweepInterval is how often [Executor.Run] looks for packages of warrants that
// ended, and for those whose retention period did. Nothing depends on it: neither
// can be fetched.
const SweepInterval = 5 * time.Second

// Recover puts right what a stop of the server left behind: an execution
// between intent and result goes back to waiting, with an abort entry, and its
// files are destroyed; a sealed package stays, to be released by the next
// execution; files that no task knows are removed. Call it before serving.
func (x *Executor) Recover(ctx context.Context) error {
	var errs []error
	for _, t := range x.cfg.State.Tasks(func(t warrant.Task) bool {
		return t.Stored() == warrant.TaskExecuting || t.Stored() == warrant.TaskSealed
	}) {
		if t.Stored() == warrant.TaskSealed {
			_, err := x.shelf.sealed(t.ID, t.PackageSHA256)
			if err == nil {
				continue
			}
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
				continue
			}
		}
		x.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "execution was interrupted", slog.String("task", t.ID))
		errs = append(errs, x.abort(ctx, service, t, reason.Internal, true))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	err := x.shelf.strays(func(taskID string) bool {
		t, _, ok := x.cfg.State.Task(taskID)
		return ok && !t.Destroyed && (t.Stored() == warrant.TaskSealed || !t.ReleasedAt.IsZero())
	})
	return errors.Join(err, x.sweep(ctx))
}

// Run destroys the packages of warrants that ended, and those that were fetched
// and kept long enough, until ctx ends.
func (x *Executor) Run(ctx context.Context) {
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := x.sweep(ctx); err != nil && ctx.Err() == nil {
				x.cfg.Log.LogAttrs(ctx, slog.LevelError, "packages of ended warrants remain", slog.String("reason", string(reason.Of(err))))
			}
		}
	}
}

// Ended stops what runs under a warrant that was ended, suspended, edited or
// extended. What an end or another content made void is destroyed, and so are the
// holds of what ended.
func (x *Executor) Ended(warrantID string) {
	x.mu.Lock()
	for _, r := range x.running {
		if r.warrantID == warrantID {
			r.cancel(errEnded)
		}
	}
	x.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := x.sweep(ctx); err != nil {
		x.cfg.Log.LogAttrs(ctx, slog.LevelError, "packages of ended warrants remain", slog.String("reason", string(reason.Of(err))))
	}
	if x.cfg.Holds == nil {
		return
	}
	if err := x.cfg.Holds.Sweep(ctx); err != nil {
		x.cfg.Log.LogAttrs(ctx, slog.LevelError, "holds that have ended are not destroyed", slog.String("reason", string(reason.Of(err))))
	}
}

// sweep destroys every package whose warrant or retention period ended, and enters
// that.
func (x *Executor) sweep(ctx context.Context) error {
	now := x.cfg.Now()
	var errs []error
	for _, t := range x.cfg.State.Tasks(func(t warrant.Task) bool {
		return !t.Destroyed && (t.Stored() == warrant.TaskSealed || t.Stored() == warrant.TaskExecuting || !t.ReleasedAt.IsZero())
	}) {
		if _, w, _ := x.cfg.State.Task(t.ID); !t.Void(&w, now) && !x.cfg.Rules.Doomed(t, now) {
			continue
		}
		errs = append(errs, x.clear(ctx, t))
	}
	return errors.Join(errs...)
}

// clear destroys the package of one task of an ended warrant, or one that expired,
// once nobody else holds the task. That the warrant ends stops it not: it is what it is there for.
func (x *Executor) clear(ctx context.Context, t warrant.Task) error {
	_, release, err := x.hold(ctx, t.ID, t.WarrantID)
	if err != nil {
		return err
	}
	defer release()
	t, w, ok := x.cfg.State.Task(t.ID)
	if !ok || t.Destroyed {
		return nil
	}
	if t.Stored() == warrant.TaskSealed || t.Stored() == warrant.TaskExecuting {
		why := reason.WarrantTerminal
		switch state := w.State(x.cfg.Now()); {
		case state == warrant.Expired:
			why = reason.WarrantExpired
		case !state.Terminal(): // it has another content since
			why = reason.GenerationMismatch
		}
		return x.abort(ctx, service, t, why, false)
	}
	if t.ReleasedAt.IsZero() {
		return nil
	}
	if err := x.shelf.destroy(t.ID); err != nil {
		return err
	}
	_, err = warrantrpc.Decide(ctx, x.cfg.Book, stepID(t.ID, "destroy", t.Attempt), func(now time.Time) (ledger.Draft, *reason.Error) {
		return x.cfg.Rules.Destroy(x.cfg.State, now, service, t.ID)
	})
	return err
}
