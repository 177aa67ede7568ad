package oversightrpc

import (
	"context"
	"log/slog"
	"time"

	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
)

// keepInterval is how often what could not be preserved at once is tried again.
const keepInterval = time.Minute

// Keeper preserves what orders ask that are not executed, where their legal basis wants
// it: at once when that is recorded, and again until it is done. It is safe for
// concurrent use.
type Keeper struct {
	Book     warrantrpc.Book
	State    *oversight.State // these two are folds of Book
	Warrants *warrant.State
	// Copy makes the holds ([execute.Executor.KeepUnexecuted]).
	Copy func(ctx context.Context, warrantID, taskID string, days int) ([]hold.Kept, error)
	Log  *slog.Logger
}

// Keep preserves what a non-execution is about, if the law wants it and it was not done,
// and returns the non-execution as it is then. An error says that it is recorded and what
// it asks is not preserved: that is tried again, by this request or by [Keeper.Run].
func (k *Keeper) Keep(ctx context.Context, d oversight.NonExecution) (oversight.NonExecution, error) {
	if d.Preserve != oversight.PreserveByLaw || !d.KeptAt.IsZero() {
		return d, nil
	}
	if k == nil {
		return d, unkept(reason.New(reason.NotConfigured, ""))
	}
	kept, err := k.Copy(ctx, d.WarrantID, d.TaskID, d.Days)
	if reason.Of(err) == reason.WarrantTerminal { // withdrawn since: nothing may be kept
		kept, err = []hold.Kept{{TaskID: d.TaskID, Answer: reason.WarrantTerminal}}, nil
	}
	if err != nil {
		return d, unkept(err)
	}
	w, _ := k.Warrants.Warrant(d.WarrantID)
	_, err = warrantrpc.Decide(context.WithoutCancel(ctx), k.Book, ledger.RequestID("oversight", "kept", d.ID), func(time.Time) (ledger.Draft, *reason.Error) {
		return oversight.KeptDraft(d, w.Generation, kept), nil
	})
	if err != nil {
		return d, unkept(err)
	}
	for _, now := range k.State.NonExecutions(d.WarrantID) {
		if now.ID == d.ID {
			return now, nil
		}
	}
	return d, reason.New(reason.UnknownOutcome, "")
}

// unkept says what is recorded and what is not done.
func unkept(err error) error {
	why := reason.Of(err)
	if why == "" {
		why = reason.StoreUnavailable
	}
	return &reason.Error{Reason: why, Detail: "The non-execution is recorded; what the order asks is not preserved yet, and is tried again every minute.", Cause: err}
}

// Run tries again what could not be preserved, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		k.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look tries each once.
func (k *Keeper) Look(ctx context.Context) {
	for _, d := range k.State.Unkept() {
		if _, err := k.Keep(ctx, d); err != nil && ctx.Err() == nil {
			k.Log.LogAttrs(ctx, slog.LevelError, "what is not executed is not preserved", slog.String("warrant", d.WarrantID), slog.String("reason", string(reason.Of(err))))
		}
	}
}
