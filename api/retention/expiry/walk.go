package expiry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"griffier/schema"
)

// walk looks at every folder that is named like a part, wherever it lies in the
// engine's folder: tables, what a freeze linked (shadow), what was set aside, what a
// merge or a move left half done.
type walk struct {
	limits   Limits
	tables   map[string]schema.Class // by the identifier that their folder is named after
	dropping map[string]bool         // identifiers of tables that the engine is about to unlink
	tally    *tally
	unknown  Finding // parts of no table
	left     Finding // files of queries that are over
	scratch  string  // where these are
}

// files walks the engine's own folder, so that what no table knows of any more is
// seen too.
func (v *Verifier) files(ctx context.Context, l Limits) ([]Finding, error) {
	if v.DataDir == "" {
		return []Finding{{Place: "files", Verdict: NotChecked, Detail: "the store is a server, whose files cannot be seen from here",
			Cure: "on the server look for old days: find /var/lib/clickhouse -type d -name '*_*_*_*'"}}, nil
	}
	tables, err := schema.TableFolders(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	w := walk{limits: l, tables: tables, dropping: map[string]bool{}, scratch: filepath.Join("store", "tmp"),
		tally:   newTally("files", "part folders", "a folder", "remove it, after griffierd was stopped, if it is still there after a restart", l),
		unknown: Finding{Place: "files", Verdict: Pass, Unit: "part folders of no table"},
		left:    Finding{Place: "temporary files", Verdict: Pass, Unit: "files"}}
	dropped, err := os.ReadDir(filepath.Join(v.DataDir, "store", "metadata_dropped"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range dropped {
		if id := identifier.FindString(e.Name()); id != "" {
			w.dropping[id] = true
		}
	}
	root, err := filepath.EvalSymlinks(v.DataDir) // a walk does not enter a link
	if err != nil {
		return nil, err
	}
	if err := w.folder(ctx, root, ""); err != nil {
		return nil, err
	}
	out := append(w.tally.findings(), w.left)
	if w.unknown.Checked > 0 {
		out = append(out, w.unknown)
	}
	return out, nil
}

var identifier = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// folder walks one folder of the disk, which stands at a place in the engine's.
func (w *walk) folder(ctx context.Context, root, place string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // merges remove folders while we walk
		}
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		at := filepath.Join(place, below)
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			return w.link(ctx, path, at)
		case entry.Type().IsRegular():
			return w.scrap(entry, at)
		case entry.IsDir():
			return w.part(path, at)
		}
		return nil
	})
}

// link follows a link out of the engine's folder: an operator may have moved a table to
// a larger disk. The engine's own links (data) lead to what is walked anyway.
func (w *walk) link(ctx context.Context, path, at string) error {
	if strings.HasPrefix(at, filepath.Join("store", "data")+string(filepath.Separator)) {
		return nil
	}
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // it leads nowhere
	}
	if info, err := os.Stat(to); err != nil || !info.IsDir() || strings.Count(at, string(filepath.Separator)) > linkDepth {
		return nil
	}
	return w.folder(ctx, to, at)
}

// linkDepth ends a walk through links that lead in circles.
const linkDepth = 16

// scrap judges a file that a query or a merge wrote to have room: it may hold rows.
func (w *walk) scrap(entry fs.DirEntry, at string) error {
	if !strings.HasPrefix(at, w.scratch+string(filepath.Separator)) {
		return nil
	}
	info, err := entry.Info()
	if err != nil {
		return nil // it has gone
	}
	w.left.Checked++
	if info.Size() > 0 && w.limits.lapsed(info.ModTime().Add(schema.DropWithin)) && w.left.Verdict == Pass {
		w.left.Verdict, w.left.Oldest = Fail, info.ModTime().UTC()
		w.left.Detail, w.left.Cure = "a temporary file is older than a day: it may hold rows of a query that a crash ended", "stop griffierd, and empty "+w.scratch+" in the store's folder"
	}
	return nil
}

// part judges a folder that is named like a part, and does not enter it.
func (w *walk) part(path, at string) error {
	day, ok := schema.PartDay(filepath.Base(path))
	if !ok {
		return nil
	}
	if standsForNothing(path) {
		return fs.SkipDir
	}
	class, id := w.tableOf(at)
	if class != "" {
		if err := w.tally.day(class, day); err != nil {
			return err
		}
		return fs.SkipDir
	}
	if _, known := w.tables[id]; known {
		return fs.SkipDir // of a table that holds no class, or that is judged as a stranger
	}
	u := &w.unknown
	u.Checked++
	if u.Oldest.IsZero() || day.Before(u.Oldest) {
		u.Oldest = day
	}
	if u.Verdict == Pass {
		u.Verdict, u.Detail = NotChecked, "parts of a table that was dropped, or copies of parts"
		u.Cure = "what was dropped leaves within ten minutes; remove what stays"
	}
	overdue, err := w.limits.overdueInSome(day)
	if w.dropping[id] {
		overdue, err = w.limits.overdueInAll(day)
	}
	if err != nil {
		return err
	}
	if overdue {
		u.Verdict = Fail
	}
	return fs.SkipDir
}

// standsForNothing tells the empty part that stands for minutes where a dropped one
// was: it says that it has no rows, and has none.
func standsForNothing(part string) bool {
	rows, err := os.ReadFile(filepath.Join(part, "count.txt"))
	if err != nil || strings.TrimSpace(string(rows)) != "0" {
		return false
	}
	files, err := os.ReadDir(part)
	for _, f := range files {
		if info, e := f.Info(); e == nil && strings.HasSuffix(f.Name(), ".bin") && info.Size() > 0 {
			return false
		}
	}
	return err == nil
}

// tableOf finds the table that a part's folder is under, by the identifier that is
// in its path, which may be unknown or empty.
func (w *walk) tableOf(at string) (class schema.Class, id string) {
	for name := range strings.SplitSeq(at, string(filepath.Separator)) {
		if identifier.FindString(name) == name && name != "" {
			return w.tables[name], name
		}
	}
	return "", ""
}

// overdueInAll reports whether the day is overdue whatever class it is of.
func (l Limits) overdueInAll(day time.Time) (bool, error) {
	for class := range l.Class {
		if overdue, err := l.DayOverdue(class, day); err != nil || !overdue {
			return false, err
		}
	}
	return true, nil
}

// overdueInSome reports whether the day would be overdue as one of some class.
func (l Limits) overdueInSome(day time.Time) (bool, error) {
	for class := range l.Class {
		if overdue, err := l.DayOverdue(class, day); err != nil || overdue {
			return overdue, err
		}
	}
	return false, nil
}
