package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griffier/api/keystore"
	"griffier/api/retention/expiry"
	"griffier/schema"
)

// Place lets a retention proof look into backups: which days of which class each
// has, and whether it should have become unreadable. That a key was destroyed in
// time it asks of the ledger, which knows of backups that somebody carried off.
type Place struct {
	Dir, KeysDir string // Dir is empty where a server makes its own backups
	Keys         *keystore.Store
	Record       *Record
}

// Name implements [expiry.Place].
func (Place) Name() string { return "backups" }

// Check implements [expiry.Place]. A backup may hold what has expired since, for as
// long as it is kept, and nobody reads it there: a restore drops it first.
func (p Place) Check(ctx context.Context, l expiry.Limits) ([]expiry.Finding, error) {
	folders, strange, err := p.folders()
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
	for _, k := range p.Record.All() {
		if k.UnreadableBy.Add(expiry.Grace+lookInterval-KeysKeep).Before(l.Now) && p.Keys.State(keyID(k.ID)) == nil {
			fail(&whole, "the key of a backup was not destroyed in time", agedCure)
		}
	}
	copies, err := keyCopies(p.KeysDir)
	if err != nil {
		return nil, err
	}
	oddKeys, err := others(p.KeysDir, func(name string) bool { return keysForm.MatchString(name) })
	if err != nil {
		return nil, err
	}
	for _, o := range oddKeys {
		whole.Checked++
		if o.changed.Add(KeysKeep).Before(l.Now) {
			fail(&whole, "something older than seven days is among the copies of the keys that is none by its name", "look what it is, and remove it: a copy of the keys opens every backup of its time")
		}
	}
	for _, at := range copies {
		whole.Checked++
		if at.Add(KeysKeep + expiry.Grace + lookInterval).Before(l.Now) {
			fail(&whole, "a copy of the keys is older than seven days", agedCure)
		}
	}
	out := []expiry.Finding{whole}
	if p.Dir == "" {
		out = append(out, expiry.Finding{Place: "a server's backups", Verdict: expiry.NotChecked, Detail: "griffierd cannot look into the backups that a server makes",
			Cure: "see in system.backups and on their disk that the key of each is destroyed after thirty days (BACKUP.md)"})
	}
	if len(strange) > 0 {
		out = append(out, judgeStrange(strange, l.Now))
	}
	for _, class := range schema.Classes {
		if f := by[class]; f != nil && f.Checked > 0 {
			out = append(out, *f)
		}
	}
	return out, nil
}

const agedCure = "see why griffierd does not end backups: its log says `backup failed`, and the ledger must be writable"

// folders returns every folder that a backup is in, however it is called, and what
// else lies among them.
func (p Place) folders() (backups []string, strange []other, err error) {
	if p.Dir == "" {
		return nil, nil, nil
	}
	if backups, err = Folders(p.Dir); err != nil {
		return nil, nil, err
	}
	all, err := others(p.Dir, idForm.MatchString)
	for _, o := range all {
		if _, err := os.Stat(filepath.Join(o.path, manifestName)); err == nil {
			backups = append(backups, o.path)
		} else {
			strange = append(strange, o)
		}
	}
	return backups, strange, err
}

// An other is something in a folder of ours that is none of ours by its name.
type other struct {
	path    string
	changed time.Time
}

// others lists what is in a folder besides what is ours, what is being made, and what
// a disk has.
func others(dir string, ours func(name string) bool) (out []other, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if ours(e.Name()) || strings.HasPrefix(e.Name(), partialPrefix) || e.Name() == "lost+found" {
			continue
		}
		if info, err := e.Info(); err == nil { // else it has gone
			out = append(out, other{filepath.Join(dir, e.Name()), info.ModTime()})
		}
	}
	return out, nil
}

// judgeStrange is about what lies among backups and is none that can be read: it is
// tolerated for as long as a backup would be.
func judgeStrange(strange []other, now time.Time) expiry.Finding {
	f := expiry.Finding{Place: "beside backups", Verdict: expiry.NotChecked, Unit: "files and folders", Checked: uint64(len(strange)),
		Detail: "the folder of backups has what griffierd did not make", Cure: "look what it is, and remove it if it holds rows"}
	for _, o := range strange {
		if f.Oldest.IsZero() || o.changed.Before(f.Oldest) {
			f.Oldest = o.changed.UTC()
		}
	}
	if f.Oldest.Add(MaxLife).Before(now) {
		f.Verdict = expiry.Fail
	}
	return f
}
