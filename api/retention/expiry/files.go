package expiry

import (
	"context"
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
		if p.Day.After(l.Now.Add(aheadAtMost)) && t.by[p.Class].Verdict == Pass {
			t.fail(p.Class, "a part is of a day to come, and would outstay its term by as long: a collector's clock was wrong")
			t.by[p.Class].Cure = "set the clock of the collector right, and drop the day by hand (STORE.md): ALTER TABLE … DROP PARTITION ID '" + p.Day.Format("20060102") + "'"
		}
	}
	return t.findings(), nil
}

// aheadAtMost is how far ahead of this clock a day may begin that rows are of: a
// collector's may be some minutes ahead, at midnight.
const aheadAtMost = time.Hour

// idle judges parts that nothing reads: dropped or superseded ones that were not
// unlinked, and ones that were set aside.
func (v *Verifier) idle(ctx context.Context, l Limits) ([]Finding, error) {
	t := newTally("idle parts", "parts", "a part that is not in use",
		"remove it by hand (STORE.md): ALTER TABLE … DROP DETACHED PART '…' SETTINGS allow_drop_detached = 1; an outdated one leaves when no query holds it, or at a restart", l)
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

// strangers looks for what nobody's policy covers: tables beside those of the
// migrations, and views that read traffic past the shipped ones.
func (v *Verifier) strangers(ctx context.Context, _ Limits) ([]Finding, error) {
	all, err := schema.Strangers(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	return []Finding{judgeStrangers(all, v.DataDir != "")}, nil
}

// judgeStrangers fails what is in the store's own databases, or anywhere where nobody
// else has a database; of others' on a server it can only say that it does not know.
func judgeStrangers(all []schema.Stranger, alone bool) Finding {
	f := Finding{Place: "other tables", Verdict: Pass, Unit: "tables and views that are not the schema's", Checked: uint64(len(all))}
	for _, s := range all {
		if alone || s.Inside {
			f.Verdict, f.Detail = Fail, s.Name+" is not of the schema: nothing that it holds or shows expires"
			f.Cure = "drop it by hand (STORE.md); what it was made for belongs in a question to griffierd"
			break
		}
		if f.Verdict == Pass {
			f.Verdict, f.Detail = NotChecked, s.Name+" is another's, and griffierd does not know what is in it"
			f.Cure = "give griffier a server of its own, or see that nothing copies traffic data there"
		}
	}
	return f
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
	cluster, err := schema.ClusterOf(ctx, v.Conn)
	if err != nil {
		return nil, err
	}
	return judgeLogs(on, tables, cluster), nil
}

// judgeLogs fails logs that have, or get, texts of queries on traffic data: no
// limit is kept there. Those of a cluster's other servers it does not know.
func judgeLogs(on bool, tables []schema.LogTable, cluster schema.Cluster) []Finding {
	f := Finding{Place: "server logs", Verdict: Pass, Unit: "log tables", Checked: uint64(len(tables))}
	if on {
		f.Verdict, f.Detail, f.Cure = Fail, "queries of griffierd are logged", "set log_queries = 0 in the profile of its user"
	}
	for _, table := range tables {
		if table.Rows == 0 {
			continue
		}
		f.Verdict, f.Detail = Fail, table.Name+" holds texts of queries on the traffic tables, which carry addresses and references"
		if table.Closed {
			f.Detail = table.Name + " has rows with texts of queries, which griffierd's user may not read: they may be of the traffic tables"
		}
		f.Cure = "set log_queries = 0 for griffierd's and the collectors' users, remove the log from the server's configuration (STORE.md), and drop the table"
	}
	if cluster == "" {
		return []Finding{f}
	}
	return []Finding{f, {Place: "other servers' logs", Verdict: NotChecked, Detail: "of the cluster only the logs of the server that was asked were looked at",
		Cure: "on each of the others: SELECT database, name, total_rows FROM system.tables WHERE name LIKE '%\\_log%'"}}
}
