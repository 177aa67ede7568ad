package expiry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/schema"
)

// prove makes a proof and indexes its findings by place and class.
func prove(t *testing.T, v *Verifier, o Options) (Proof, map[string]Finding) {
	t.Helper()
	p, err := v.Verify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Finding{}
	for _, f := range p.Findings {
		name := strings.TrimSuffix(f.Place+" "+string(f.Class), " ")
		if _, twice := by[name]; twice && f.Unit != "part folders of no table" {
			t.Errorf("two findings of %s", name)
		}
		by[name] = f
	}
	return p, by
}

// failed lists what failed.
func failed(p Proof) (out []string) {
	for _, f := range p.Findings {
		if f.Verdict == Fail {
			out = append(out, strings.TrimSuffix(f.Place+" "+string(f.Class), " "))
			if f.Detail == "" || f.Cure == "" {
				out = append(out, "(without detail or cure)")
			}
		}
	}
	slices.Sort(out)
	return out
}

func wantFailed(t *testing.T, p Proof, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := failed(p); !slices.Equal(got, want) {
		t.Errorf("failed: %v, want %v", got, want)
	}
	if verdict := p.Verdict == Fail; verdict != (len(want) > 0) || p.Failed != len(want) {
		t.Errorf("the proof is %s with %d failed, want %d", p.Verdict, p.Failed, len(want))
	}
}

// TestVerify holds a proof of a store in order against one that has, each time,
// one thing out of order.
func TestVerify(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	// What has expired and is on disk for less than 24 hours is in order. So is a
	// day that ends at this very moment.
	fresh, edge := day(0), time.Now().UTC().Add(-14*24*time.Hour-2*time.Hour).Truncate(schema.BucketLength) // a fortnight may be an hour longer
	h.put(t, used(1, fresh), used(2, edge), covered(1, fresh))
	t.Run("in order", func(t *testing.T) {
		var places []string
		p, by := prove(t, h.verifier(), Options{Progress: func(place string, _ schema.Class, done, total int) {
			if done != len(places) || total < done {
				t.Errorf("progress says %d of %d after %d", done, total, len(places))
			}
			places = append(places, place)
		}})
		wantFailed(t, p)
		for _, name := range []string{"views usage_5m", "rows usage_5m", "parts usage_5m", "idle parts coverage", "files session", "server logs", "drops"} {
			if by[name].Verdict != Pass {
				t.Errorf("%s: %+v, want PASS", name, by[name])
			}
		}
		for _, name := range []string{"spool", "backups", "holds"} {
			if by[name].Verdict != NotChecked || by[name].Cure == "" {
				t.Errorf("%s: %+v, want NOT CHECKED with a cure", name, by[name])
			}
		}
		if by["rows usage_5m"].Checked != 1 || !by["rows usage_5m"].Oldest.Equal(edge.Add(schema.BucketLength)) || by["files usage_5m"].Checked < 2 {
			t.Errorf("rows %+v, files %+v; want the row that has expired, and both days", by["rows usage_5m"], by["files usage_5m"])
		}
		if !slices.Contains(places, "idle parts") || len(places) != 2*len(schema.Classes)+9 {
			t.Errorf("progress %v, want every place and class once", places)
		}
		last := h.entries(t)
		entry := facts[Proof](t, last[len(last)-1])
		if entry.Verdict != Pass || entry.Classes[schema.ClassUsage5m] != Pass || entry.PolicySHA256 != "5ac1f1e5" || entry.Passed != p.Passed {
			t.Errorf("in the ledger: %+v, want what was returned", entry)
		}
		if known, ok := h.record.LastProof(); !ok || known.Index != p.Index || known.NotChecked != 3 {
			t.Errorf("the record knows %+v, want entry %d", known, p.Index)
		}
	})
	t.Run("another policy", func(t *testing.T) {
		v := h.verifier()
		agrees := false
		v.Agrees = func(context.Context) (bool, error) { return agrees, nil }
		p, by := prove(t, v, Options{})
		wantFailed(t, p, "policy")
		if by["policy"].Cure == "" {
			t.Errorf("%+v tells nobody what to do", by["policy"])
		}
		agrees = true
		p, _ = prove(t, v, Options{})
		wantFailed(t, p)
	})
	t.Run("the view does not filter", func(t *testing.T) {
		var shipped string
		if err := h.conn.QueryRow(t.Context(), "SELECT create_table_query FROM system.tables WHERE database = 'traffic' AND name = 'usage'").Scan(&shipped); err != nil {
			t.Fatal(err)
		}
		h.exec(t, "CREATE OR REPLACE VIEW traffic.usage AS SELECT * FROM traffic.usage_bucket FINAL")
		p, by := prove(t, h.verifier(), Options{})
		h.exec(t, strings.Replace(shipped, "CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
		wantFailed(t, p, "views usage_5m")
		if f := by["views usage_5m"]; !f.Oldest.Equal(edge.Add(schema.BucketLength)) || f.Checked != 1 || p.Classes[schema.ClassUsage5m] != Fail || p.Classes[schema.ClassCoverage] != Pass {
			t.Errorf("%+v, classes %v; want the row that expired an hour ago", f, p.Classes)
		}
		p, _ = prove(t, h.verifier(), Options{})
		wantFailed(t, p)
	})
	t.Run("a day stays on disk", func(t *testing.T) {
		h.put(t, covered(2, day(-17)))
		p, by := prove(t, h.verifier(), Options{Whole: true})
		wantFailed(t, p, "rows coverage", "parts coverage", "files coverage")
		if f := by["rows coverage"]; !f.Oldest.Equal(day(-17).Add(time.Hour)) || !by["parts coverage"].Oldest.Equal(day(-17)) {
			t.Errorf("rows %+v, parts %+v; want the old day", f, by["parts coverage"])
		}
		if err := h.dropper().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, _ = prove(t, h.verifier(), Options{Whole: true})
		wantFailed(t, p)
	})
	t.Run("a part was set aside", func(t *testing.T) {
		h.put(t, covered(3, day(-17)))
		h.exec(t, "ALTER TABLE traffic.coverage_slice DETACH PARTITION ID '"+day(-17).Format("20060102")+"'")
		p, by := prove(t, h.verifier(), Options{})
		// The engine leaves an empty part in the detached one's place for a while.
		wantFailed(t, p, "idle parts coverage", "files coverage")
		if f := by["idle parts coverage"]; f.Checked == 0 || !f.Oldest.Equal(day(-17)) {
			t.Errorf("%+v, want the old day", f)
		}
		h.exec(t, "ALTER TABLE traffic.coverage_slice DROP DETACHED PARTITION ID '"+day(-17).Format("20060102")+"' SETTINGS allow_drop_detached = 1")
		p, _ = prove(t, h.verifier(), Options{})
		wantFailed(t, p)
	})
	t.Run("a copy lies in the folder", func(t *testing.T) {
		var uuid string
		if err := h.conn.QueryRow(t.Context(), "SELECT toString(uuid) FROM system.tables WHERE database = 'traffic' AND name = 'session_slice'").Scan(&uuid); err != nil {
			t.Fatal(err)
		}
		part := day(-17).Format("20060102") + "_1_1_0"
		for name, want := range map[string]string{
			filepath.Join("store/shadow/1/store", uuid[:3], uuid, part):           "files session",
			filepath.Join("store/store", uuid[:3], uuid, "detached/broken_"+part): "files session,idle parts session",
			filepath.Join("store/store/abc/abcdef01-no-table", part):              "files",
		} {
			folder := filepath.Join(h.dataDir, name)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			p, _ := prove(t, h.verifier(), Options{})
			wantFailed(t, p, strings.Split(want, ",")...)
			if err := os.Remove(folder); err != nil {
				t.Fatal(err)
			}
		}
		young := filepath.Join(h.dataDir, "store/store/abc/abcdef01-no-table", day(-1).Format("20060102")+"_1_1_0")
		if err := os.MkdirAll(young, 0o700); err != nil {
			t.Fatal(err)
		}
		p, by := prove(t, h.verifier(), Options{})
		wantFailed(t, p)
		if f := by["files"]; f.Verdict != NotChecked || f.Checked != 1 || f.Cure == "" {
			t.Errorf("a young part of no table: %+v, want NOT CHECKED", f)
		}
		if err := os.RemoveAll(filepath.Join(h.dataDir, "store/store/abc")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a drop was never certified", func(t *testing.T) {
		i := intent{Class: schema.ClassSession, From: day(-30), Until: day(-29)}
		if _, err := h.book.Append(t.Context(), ledger.Draft{Kind: KindDropIntended, Role: "system", Facts: i}); err != nil {
			t.Fatal(err)
		}
		p, _ := prove(t, h.verifier(), Options{})
		wantFailed(t, p) // it may be under way
		v := h.verifier()
		v.Now = func() time.Time { return time.Now().Add(2 * Grace) }
		p, _ = prove(t, v, Options{})
		wantFailed(t, p, "drops")
		if err := h.dropper().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, _ = prove(t, v, Options{})
		wantFailed(t, p)
	})
	t.Run("a server logs queries", func(t *testing.T) {
		h.exec(t, "CREATE TABLE system.query_log (event_time DateTime, query String) ENGINE = MergeTree ORDER BY event_time")
		defer h.exec(t, "DROP TABLE system.query_log SYNC")
		p, by := prove(t, h.verifier(), Options{})
		wantFailed(t, p)
		if by["server logs"].Checked != 1 {
			t.Errorf("%+v, want one table", by["server logs"])
		}
		h.exec(t, "INSERT INTO system.query_log SELECT now(), 'SELECT * FROM Traffic.assignment WHERE prefix_address = 1'")
		p, _ = prove(t, h.verifier(), Options{})
		wantFailed(t, p, "server logs")
	})
	t.Run("a place fails", func(t *testing.T) {
		v := h.verifier()
		v.Places = []Place{broken{}}
		var log bytes.Buffer
		v.Log = slog.New(slog.NewTextHandler(&log, nil))
		p, by := prove(t, v, Options{})
		if !strings.Contains(log.String(), "place=backups") || !strings.Contains(log.String(), "failed") {
			t.Errorf("the log does not say why: %s", &log)
		}
		wantFailed(t, p, "backups")
		if strings.Contains(by["backups"].Detail, "192.0.2.1") {
			t.Errorf("the detail quotes the place's error: %s", by["backups"].Detail)
		}
	})
	t.Run("a class without a policy", func(t *testing.T) {
		if err := schema.WritePolicy(t.Context(), h.conn, schema.ProfileNL, nil); err != nil {
			t.Fatal(err)
		}
		p, _ := prove(t, h.verifier(), Options{})
		wantFailed(t, p, "rows usage_5m", "parts usage_5m", "files usage_5m", "rows coverage", "parts coverage", "files coverage")
	})
}

func TestJudgeLogs(t *testing.T) {
	quiet, telling := schema.LogTable{Name: "system.part_log"}, schema.LogTable{Name: "system.query_log", Texts: true, Rows: 1}
	for _, c := range []struct {
		name   string
		on     bool
		tables []schema.LogTable
		want   Verdict
		detail string
	}{
		{"the embedded engine", false, nil, Pass, ""},
		{"a server that is set up well", false, []schema.LogTable{quiet, {Name: "system.query_log", Texts: true}}, Pass, ""},
		{"texts", false, []schema.LogTable{quiet, telling, quiet}, Fail, "system.query_log"},
		{"texts that cannot be read", false, []schema.LogTable{{Name: "logs.query_log_0", Texts: true, Rows: 1, Closed: true}}, Fail, "logs.query_log_0 has rows"},
		{"logging is on", true, []schema.LogTable{quiet}, Fail, "are logged"},
		{"both", true, []schema.LogTable{telling}, Fail, "system.query_log"},
	} {
		f := judgeLogs(c.on, c.tables, "")[0]
		if f.Verdict != c.want || !strings.Contains(f.Detail, c.detail) || f.Checked != uint64(len(c.tables)) || (f.Cure == "") != (c.want == Pass) {
			t.Errorf("%s: %+v, want %s and %q", c.name, f, c.want, c.detail)
		}
	}
	all := judgeLogs(false, nil, "isp")
	if len(all) != 2 || all[0].Verdict != Pass || all[1].Verdict != NotChecked || all[1].Cure == "" {
		t.Errorf("of a cluster: %+v, want that the other servers were not looked at", all)
	}
}

// broken is a place that cannot be read.
type broken struct{}

func (broken) Name() string { return "backups" }
func (broken) Check(context.Context, Limits) ([]Finding, error) {
	return nil, errors.New("query for 192.0.2.1 failed")
}

// TestVerifyNeedsTheLedger: a proof that is not in the ledger is none.
func TestVerifyNeedsTheLedger(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.book.Close()
	if p, err := h.verifier().Verify(t.Context(), Options{}); err == nil {
		t.Errorf("proved %+v without a ledger", p)
	}
}

// TestVerifyEnds: a caller who goes away ends the work, and nothing is entered.
func TestVerifyEnds(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := h.verifier().Verify(ctx, Options{Progress: func(string, schema.Class, int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) || h.book.Size() != 0 {
		t.Errorf("err = %v, %d entries; want cancelled and none", err, h.book.Size())
	}
}

func TestReport(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	old, fresh := day(-5), day(0)
	h.put(t, used(1, day(-40)), used(2, old.Add(time.Hour)), used(3, old), used(4, fresh))
	if err := h.dropper().Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	prove(t, h.verifier(), Options{})
	v := h.verifier()
	v.Held = func(context.Context) (map[schema.Class]uint64, error) {
		return map[schema.Class]uint64{schema.ClassUsage5m: 12}, nil
	}
	report, err := v.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report {
		if r.Class != schema.ClassUsage5m {
			if r.Rows != 0 || !r.OldestRow.IsZero() || !r.NextDrop.IsZero() || r.Certificate != nil || !r.Present || r.Proof == nil {
				t.Errorf("%s: %+v, want nothing stored", r.Class, r)
			}
			continue
		}
		drop, err := r.Policy.DayExpiresAt(old)
		if err != nil {
			t.Fatal(err)
		}
		if r.Rows != 3 || r.Days != 2 || r.Bytes == 0 || r.HeldRows != 12 || !r.OldestRow.Equal(old.Add(schema.BucketLength)) || !r.NextDrop.Equal(drop) ||
			r.Policy.Period != "P14D" || r.Proof.Classes[r.Class] != Pass || r.Certificate.Rows != 1 || !r.Certificate.From.Equal(day(-40)) {
			t.Errorf("%+v, want three rows of two days, the older dropped at %v", r, drop)
		}
	}
	if len(report) != len(schema.Classes) {
		t.Errorf("%d classes, want %d", len(report), len(schema.Classes))
	}
}

// TestVerifyRemembersAShorterPolicy: rows that a shorter policy made unreadable stay
// so under the longer one that follows, and so may not stay on disk either.
func TestVerifyRemembersAShorterPolicy(t *testing.T) {
	h := newHouse(t)
	for _, period := range []string{"P14D", "P3D", "P14D"} {
		h.policy(t, period)
	}
	h.put(t, used(1, day(-5)), used(2, day(0)))
	v := h.verifier()
	p, _ := prove(t, v, Options{})
	wantFailed(t, p)
	v.Now = func() time.Time { return time.Now().Add(schema.DropWithin + Grace + time.Minute) }
	p, _ = prove(t, v, Options{})
	wantFailed(t, p, "rows usage_5m", "parts usage_5m", "files usage_5m")
	if err := h.dropper().Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, _ = prove(t, v, Options{}); p.Failed > 0 || h.count(t, "traffic.usage_bucket") != 1 {
		t.Errorf("after the drop: %v failed, %d rows on disk; want none and one", failed(p), h.count(t, "traffic.usage_bucket"))
	}
}
