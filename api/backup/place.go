package backup

import (
	"context"
	"errors"

	"griffier/api/keystore"
	"griffier/api/retention/expiry"
	"griffier/schema"
)

// Place lets a retention proof look into backups: which days of which class each
// has, and whether it should have become unreadable.
type Place struct {
	Dir, KeysDir string
	Keys         *keystore.Store
}

// Name implements [expiry.Place].
func (Place) Name() string { return "backups" }

// Check implements [expiry.Place]. A backup may hold what has expired since, for as
// long as it is kept, and nobody reads it there: a restore drops it first.
func (p Place) Check(ctx context.Context, l expiry.Limits) ([]expiry.Finding, error) {
	folders, err := Folders(p.Dir)
	if err != nil {
		return nil, err
	}
	by := map[schema.Class]*expiry.Finding{}
	for _, class := range schema.Classes {
		if class.HasTable() {
			by[class] = &expiry.Finding{Class: class, Place: "backups", Verdict: expiry.Pass, Unit: "days in backups", Limit: l.Now.Add(-MaxLife)}
		}
	}
	whole := expiry.Finding{Place: "backups", Verdict: expiry.Pass, Unit: "backups and copies of the keys"}
	fail := func(f *expiry.Finding, detail, cure string) {
		if f.Verdict == expiry.Pass {
			f.Verdict, f.Detail, f.Cure = expiry.Fail, detail, cure
		}
	}
	for _, folder := range folders {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		whole.Checked++
		m, _, err := readManifest(folder)
		if err != nil {
			fail(&whole, "a backup has no manifest that can be read, so nobody knows what is in it", "remove its folder, and make another")
			continue
		}
		if whole.Oldest.IsZero() || m.MadeAt.Before(whole.Oldest) {
			whole.Oldest = m.MadeAt
		}
		keyed := p.Keys.State(keyID(m.ID))
		if errors.Is(keyed, keystore.ErrShredded) {
			continue // nobody can read it
		}
		late := !m.MadeAt.Add(Keep + expiry.Grace + lookInterval).After(l.Now)
		for _, piece := range m.Pieces {
			f := by[piece.Class]
			if f == nil {
				continue
			}
			f.Checked += uint64(len(piece.Days))
			for _, day := range piece.Days {
				if f.Oldest.IsZero() || day.Before(f.Oldest) {
					f.Oldest = day
				}
				if overdue, err := l.DayOverdue(piece.Class, day); err != nil {
					return nil, err
				} else if overdue && late {
					fail(f, "a backup that should be unreadable has a day that should have left every disk", agedCure)
				}
			}
		}
		if late {
			fail(&whole, "the key of a backup was not destroyed in time", agedCure)
		}
	}
	copies, err := keyCopies(p.KeysDir)
	if err != nil {
		return nil, err
	}
	for _, at := range copies {
		whole.Checked++
		if at.Add(KeysKeep + expiry.Grace + lookInterval).Before(l.Now) {
			fail(&whole, "a copy of the keys is older than seven days", agedCure)
		}
	}
	out := []expiry.Finding{whole}
	for _, class := range schema.Classes {
		if f := by[class]; f != nil && f.Checked > 0 {
			out = append(out, *f)
		}
	}
	return out, nil
}

const agedCure = "see why griffierd does not end backups: its log says `backup failed`, and the ledger must be writable"
