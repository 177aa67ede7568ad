package expiry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griffier/schema"
)

// tally collects, by class, the oldest of what was looked at and the first that
// is overdue.
type tally struct {
	place, unit, what, cure string
	limits                  Limits
	by                      map[schema.Class]*Finding
}

func newTally(place, unit, what, cure string, l Limits) *tally {
	t := &tally{place: place, unit: unit, what: what, cure: cure, limits: l, by: map[schema.Class]*Finding{}}
	for _, class := range schema.Classes {
		if class.HasTable() {
			f := &Finding{Class: class, Place: place, Verdict: Pass, Unit: unit}
			if limit := l.Class[class]; limit.Present {
				f.Limit = limit.ReadableFrom
			}
			t.by[class] = f
		}
	}
	return t
}

// day adds a day's worth of something.
func (t *tally) day(class schema.Class, day time.Time) error {
	f := t.by[class]
	f.Checked++
	if f.Oldest.IsZero() || day.Before(f.Oldest) {
		f.Oldest = day
	}
	overdue, err := t.limits.DayOverdue(class, day)
	if overdue && f.Verdict == Pass {
		t.fail(class, t.what+" of a day that should have left the disk is there")
	}
	return err
}

func (t *tally) fail(class schema.Class, detail string) {
	t.by[class].Verdict, t.by[class].Detail, t.by[class].Cure = Fail, detail, t.cure
}

func (t *tally) findings() []Finding {
	var out []Finding
	for _, class := range schema.Classes {
		if f := t.by[class]; f != nil {
			out = append(out, *f)
		}
	}
	return out
}

// parts judges the days of all parts in use by the parts' own names, which the
// store derives from their rows.
func (v *Verifier) parts(ctx context.Context, l Limits) ([]Finding, error) {
	t := newTally("parts", "days", "a part", dropCure, l)
	stored, err := schema.Partitions(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	for _, p := range stored {
		if err := t.day(p.Class, p.Day); err != nil {
			return nil, err
		}
	}
	return t.findings(), nil
}

// idle judges parts that nothing reads: dropped or superseded ones that were not
// unlinked, and ones that were set aside.
func (v *Verifier) idle(ctx context.Context, l Limits) ([]Finding, error) {
	t := newTally("idle parts", "parts", "a part that is not in use",
		"remove it: ALTER TABLE … DROP DETACHED PART '…' SETTINGS allow_drop_detached = 1; an outdated one leaves when no query holds it, or at a restart", l)
	parts, err := schema.IdleParts(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if p.Day.IsZero() {
			t.by[p.Class].Checked++
			t.fail(p.Class, "a part that was set aside does not tell its day")
			continue
		}
		if err := t.day(p.Class, p.Day); err != nil {
			return nil, err
		}
	}
	return t.findings(), nil
}

// storeFolders of the engine's data folder hold parts: tables, and what a freeze
// (shadow) or an older layout (data) links.
var storeFolders = []string{"store", "shadow", "data"}

// files walks the engine's own folder, so that what no table knows of any more is
// seen too.
func (v *Verifier) files(ctx context.Context, l Limits) ([]Finding, error) {
	if v.DataDir == "" {
		return []Finding{{Place: "files", Verdict: NotChecked, Detail: "the store is a server, whose files cannot be seen from here",
			Cure: "on the server look for old days: find /var/lib/clickhouse/store /var/lib/clickhouse/shadow -maxdepth 6 -type d -name '*_*_*_*'"}}, nil
	}
	tables, err := schema.TableFolders(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	t := newTally("files", "part folders", "a folder", "remove it, after griffierd was stopped, if it is still there after a restart", l)
	unknown := Finding{Place: "files", Verdict: Pass, Unit: "part folders of no table"}
	root := filepath.Join(v.DataDir, "store")
	for _, folder := range storeFolders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // merges remove folders while we walk
			}
			if err != nil || !entry.IsDir() {
				return err
			}
			day, ok := schema.PartDay(entry.Name())
			if !ok {
				return nil
			}
			if rows, err := os.ReadFile(filepath.Join(path, "count.txt")); err == nil && string(rows) == "0" {
				return fs.SkipDir // what stands for a dropped part, for a minute
			}
			class, known := classOfPath(path, tables)
			switch {
			case class != "":
				err = t.day(class, day)
			case !known:
				unknown.Checked++
				if unknown.Oldest.IsZero() || day.Before(unknown.Oldest) {
					unknown.Oldest = day
				}
				if unknown.Verdict == Pass {
					unknown.Verdict, unknown.Detail = NotChecked, "parts of a table that was dropped, or copies of parts"
					unknown.Cure = "what was dropped leaves within ten minutes; remove what stays"
				}
				if all, e := l.overdueInAll(day); e != nil {
					err = e
				} else if all {
					unknown.Verdict = Fail
				}
			}
			if err != nil {
				return err
			}
			return fs.SkipDir
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	out := t.findings()
	if unknown.Checked > 0 {
		out = append(out, unknown)
	}
	return out, nil
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

// classOfPath finds the table that a part's folder is under, by the identifier
// that is in its path. known is false if there is none.
func classOfPath(path string, tables map[string]schema.Class) (class schema.Class, known bool) {
	for _, name := range strings.Split(path, string(filepath.Separator)) {
		if class, ok := tables[name]; ok {
			return class, true
		}
	}
	return "", false
}

// logs looks at what a server writes about its queries.
func (v *Verifier) logs(ctx context.Context, _ Limits) ([]Finding, error) {
	on, err := schema.LogsQueries(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	tables, err := schema.LogTables(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	return []Finding{judgeLogs(on, tables)}, nil
}

// judgeLogs fails logs that have, or get, texts of queries on traffic data: no
// limit is kept there.
func judgeLogs(on bool, tables []schema.LogTable) Finding {
	f := Finding{Place: "server logs", Verdict: Pass, Unit: "log tables", Checked: uint64(len(tables))}
	if on {
		f.Verdict, f.Detail, f.Cure = Fail, "queries of griffierd are logged", "set log_queries = 0 in the profile of its user"
	}
	for _, table := range tables {
		if table.Rows > 0 {
			f.Verdict, f.Detail = Fail, "system."+table.Name+" holds texts of queries on the traffic tables, which carry addresses and references"
			f.Cure = "set log_queries = 0 for griffierd's and the collectors' users, remove text_log from the server's configuration, and truncate the table"
		}
	}
	return f
}
