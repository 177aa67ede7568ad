package document

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"griffier/api/keystore"
	"griffier/api/retention/expiry"
)

// Recover removes what a stop of the server, or a restore, left behind. Call it
// before serving.
func (k *Keeper) Recover() error { return k.sweep(0) }

// Run removes files whose dossier was destroyed, and those without one, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := k.sweep(strayAge); err != nil {
				k.cfg.Log.LogAttrs(ctx, slog.LevelError, "documents without a dossier are not removed", slog.String("error", err.Error()))
			}
		}
	}
}

// sweep removes every file of no dossier, and every one whose key was destroyed.
// What is younger than age may be one that is just being made.
func (k *Keeper) sweep(age time.Duration) error {
	files, err := k.shelf.List()
	if err != nil {
		return fmt.Errorf("list documents: %w", err)
	}
	var errs []error
	for _, f := range files {
		k.mu.Lock()
		making := k.making[f.ID]
		k.mu.Unlock()
		d, ok := k.cfg.State.Document(f.ID)
		switch {
		case making:
		case ok && k.shredded(d.WarrantID):
			errs = append(errs, k.shelf.Remove(f.ID))
		case ok && !f.Whole:
			errs = append(errs, k.shelf.RemoveMaking(f.ID))
		case !ok && (age == 0 || !f.Changed.After(k.cfg.Now().Add(-age))):
			errs = append(errs, k.shelf.Remove(f.ID))
		}
	}
	return errors.Join(errs...)
}

func (k *Keeper) shredded(warrantID string) bool {
	w, ok := k.cfg.State.Warrant(warrantID)
	return ok && errors.Is(k.cfg.Keys.State(w.KeyID), keystore.ErrShredded)
}

// Place is where a proof of retention looks at documents ([expiry.Place]).
type Place struct{ Keeper *Keeper }

// Name implements [expiry.Place].
func (Place) Name() string { return "documents" }

// Check implements [expiry.Place]: a document outlives its dossier's key by minutes,
// and none is there that the ledger does not know.
func (p Place) Check(context.Context, expiry.Limits) ([]expiry.Finding, error) {
	k := p.Keeper
	files, err := k.shelf.List()
	if err != nil {
		return nil, err
	}
	found := expiry.Finding{Place: p.Name(), Verdict: expiry.Pass, Unit: "documents"}
	for _, f := range files {
		found.Checked++
		d, ok := k.cfg.State.Document(f.ID)
		late := f.Changed.Add(strayAge + 2*SweepInterval).Before(k.cfg.Now())
		if ok && k.shredded(d.WarrantID) && late || !ok && late {
			found.Verdict, found.Detail = expiry.Fail, "a document is there whose dossier is not"
			found.Cure = "see why griffierd does not remove it: its log says `documents without a dossier are not removed`"
		}
	}
	return []expiry.Finding{found}, nil
}
