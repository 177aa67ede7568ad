package keep

import (
	"context"
	"errors"
	"time"

	"griffier/api/hold"
	"griffier/api/retention/expiry"
	"griffier/schema"
)

// destroyWithin is how long a hold that has ended may be on disk (disclosure.md
// D-56).
const destroyWithin = 24 * time.Hour

// Place is where a proof of retention looks at holds ([expiry.Place]).
type Place struct{ Keeper *Keeper }

// Name implements [expiry.Place].
func (Place) Name() string { return "holds" }

// Check implements [expiry.Place]. What holds have is an exception, per class, if
// it would have had to leave every disk by now; a hold on disk a day past its end,
// or one that lives and cannot be opened, is a failure.
func (p Place) Check(_ context.Context, l expiry.Limits) ([]expiry.Finding, error) {
	k := p.Keeper
	files, err := k.shelf.List()
	if err != nil {
		return nil, err
	}
	all := expiry.Finding{Place: p.Name(), Verdict: expiry.Pass, Unit: "holds"}
	fail := func(detail, cure string) {
		if all.Verdict == expiry.Pass {
			all.Verdict, all.Detail, all.Cure = expiry.Fail, detail, cure
		}
	}
	rows, oldest := map[schema.Class]uint64{}, map[schema.Class]time.Time{}
	now := k.Now()
	for _, h := range k.cfg.State.Holds() {
		switch h.Status(now) {
		case hold.Live:
			all.Checked++
			head, err := k.head(h.ID)
			if errors.Is(err, ErrNotHeld) {
				continue // it ended just now
			}
			if err != nil {
				fail("a hold that lives cannot be opened", "restore its file and key from the last backup; `griffier hold list` has those that live")
				continue
			}
			for class, n := range head.Rows {
				rows[class] += n
				if at, ok := oldest[class]; !ok || head.Oldest[class].Before(at) {
					oldest[class] = head.Oldest[class]
				}
			}
		case hold.Ended:
			all.Checked++
			if !h.End().Add(destroyWithin).After(now) {
				fail("a hold that ended is not certified as destroyed a day later", destroyCure)
			}
		}
	}
	for _, f := range files {
		if h, ok := k.cfg.State.Hold(f.ID); (!ok && f.Whole && f.Changed.Add(destroyWithin).Before(now)) || ok && h.Status(now) == hold.Destroyed {
			fail("there is a sealed file that is no hold's", destroyCure)
		}
	}
	findings := []expiry.Finding{all}
	for _, class := range schema.Classes {
		if rows[class] == 0 {
			continue
		}
		f := expiry.Finding{Class: class, Place: p.Name(), Verdict: expiry.Pass, Checked: rows[class], Unit: "rows", Oldest: oldest[class], Limit: l.Class[class].ReadableFrom}
		overdue, err := l.Overdue(class, oldest[class])
		if err != nil {
			return nil, err
		}
		if overdue {
			f.Verdict, f.Detail = expiry.Exception, "kept sealed under a hold"
			f.Cure = "none: it goes when the hold ends (griffier hold list)"
		}
		findings = append(findings, f)
	}
	return findings, nil
}

const destroyCure = "see why griffierd does not destroy it: its log says `holds that have ended are not destroyed`"

// Held counts the rows that holds have, by class, for a report of retention.
func (k *Keeper) Held(context.Context) (map[schema.Class]uint64, error) {
	out := map[schema.Class]uint64{}
	for _, h := range k.cfg.State.Holds() {
		if !h.Readable(k.Now()) {
			continue
		}
		head, err := k.head(h.ID)
		if errors.Is(err, ErrNotHeld) {
			continue // it ended just now
		}
		if err != nil {
			return nil, err
		}
		for class, n := range head.Rows {
			out[class] += n
		}
	}
	return out, nil
}
