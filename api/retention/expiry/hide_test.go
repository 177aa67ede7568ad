package expiry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/schema"
)

// TestVerifyFindsWhatIsHidden puts rows past their limit, one way after another, where
// neither a view nor a list of parts shows them.
func TestVerifyFindsWhatIsHidden(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.put(t, used(1, day(0)), used(2, day(-17)))
	var uuid string
	if err := h.conn.QueryRow(t.Context(), "SELECT toString(uuid) FROM system.tables WHERE database = 'traffic' AND name = 'usage_bucket'").Scan(&uuid); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(h.dataDir, "store")
	table := filepath.Join(store, "store", uuid[:3], uuid)
	stamp := day(-17).Format("20060102")
	parts, err := filepath.Glob(filepath.Join(table, stamp+"_*"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("parts of the old day: %v, %v", parts, err)
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(parts[0])); err != nil {
		t.Fatal(err)
	}
	if err := h.dropper().Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, _ := prove(t, h.verifier(), Options{})
	wantFailed(t, p)

	// The copy of the old part, wherever it is put and however it is called.
	for name, want := range map[string]string{
		"store/store/" + uuid[:3] + "/" + uuid + "/tmp_merge_" + stamp + "_1_9_2":             "files usage_5m",
		"store/store/" + uuid[:3] + "/" + uuid + "/delete_tmp_" + stamp + "_1_1_0":            "files usage_5m",
		"store/store/" + uuid[:3] + "/" + uuid + "/patch-0a1b2c-" + stamp + "_1_1_0":          "files usage_5m",
		"store/store/" + uuid[:3] + "/" + uuid + "/detached/ignored_" + stamp + "_1_1_0":      "files usage_5m,idle parts usage_5m",
		"store/store/" + uuid[:3] + "/" + uuid + "/detached/saved":                            "idle parts usage_5m",
		"store/shadow/before_upgrade/store/" + uuid[:3] + "/" + uuid + "/" + stamp + "_1_1_0": "files usage_5m",
		"store/backups/b/data/traffic/usage_bucket/" + stamp + "_1_1_0":                       "files",
		"old/" + stamp + "_1_1_0": "files",
		"store/store/000/00000000-0000-4000-8000-000000000000/" + stamp + "_1_1_0":               "files",
		"store/store/000/00000000-0000-4000-8000-000000000000/moving/" + stamp + "_5_5_0_6_copy": "files",
	} {
		folder := filepath.Join(h.dataDir, name)
		first := folder // the first folder that is made for it
		for up := filepath.Dir(folder); ; up = filepath.Dir(up) {
			if _, err := os.Stat(up); err == nil {
				break
			}
			first = up
		}
		if err := os.CopyFS(folder, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
		// Not even a file that says that there are no rows hides them.
		if err := os.WriteFile(filepath.Join(folder, "count.txt"), []byte("0"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, _ := prove(t, h.verifier(), Options{})
		if got := strings.Join(failed(p), ","); got != want {
			t.Errorf("%s: failed %s, want %s", name, got, want)
		}
		if err := os.RemoveAll(first); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("behind a link", func(t *testing.T) {
		elsewhere := filepath.Join(t.TempDir(), "disk", uuid)
		if err := os.CopyFS(filepath.Join(elsewhere, stamp+"_1_1_0"), os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(store, "larger_disk")
		if err := os.Symlink(filepath.Dir(elsewhere), link); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(link)
		if err := os.Symlink(store, filepath.Join(elsewhere, "circle")); err != nil {
			t.Fatal(err)
		}
		p, _ := prove(t, h.verifier(), Options{})
		wantFailed(t, p, "files usage_5m")
	})
	t.Run("in what a query spilled", func(t *testing.T) {
		spilled := filepath.Join(store, "tmp", "tmp12345")
		if err := os.WriteFile(spilled, []byte("rows"), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(spilled)
		p, by := prove(t, h.verifier(), Options{})
		wantFailed(t, p) // the query may run yet
		if by["temporary files"].Checked != 1 {
			t.Errorf("%+v, want the file", by["temporary files"])
		}
		old := time.Now().Add(-schema.DropWithin - Grace - time.Minute)
		if err := os.Chtimes(spilled, old, old); err != nil {
			t.Fatal(err)
		}
		p, _ = prove(t, h.verifier(), Options{})
		wantFailed(t, p, "temporary files")
	})
	t.Run("in a table of somebody's own", func(t *testing.T) {
		for make, drop := range map[string]string{
			"CREATE TABLE default.complaints ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM traffic.usage_bucket": "DROP TABLE default.complaints SYNC",
			"CREATE TABLE traffic.usage_2025 ENGINE = Memory AS SELECT * FROM traffic.usage_bucket":                     "DROP TABLE traffic.usage_2025 SYNC",
			"CREATE VIEW default.everything AS SELECT * FROM traffic.usage_bucket":                                      "DROP VIEW default.everything",
		} {
			h.exec(t, make)
			p, by := prove(t, h.verifier(), Options{})
			wantFailed(t, p, "other tables")
			if f := by["other tables"]; !strings.Contains(make, strings.Fields(f.Detail)[0]) {
				t.Errorf("%s: %q does not name it", make, f.Detail)
			}
			h.exec(t, drop)
		}
	})
	t.Run("in the future", func(t *testing.T) {
		h.put(t, used(3, day(400)))
		p, by := prove(t, h.verifier(), Options{})
		wantFailed(t, p, "parts usage_5m")
		h.exec(t, "ALTER TABLE traffic.usage_bucket "+by["parts usage_5m"].Cure[strings.Index(by["parts usage_5m"].Cure, "DROP PARTITION"):])
	})
	p, _ = prove(t, h.verifier(), Options{})
	wantFailed(t, p)
}

// TestJudgeStrangers: on a server with others' databases griffierd says what it does
// not know, and fails only what is among its own tables or reads them.
func TestJudgeStrangers(t *testing.T) {
	other, copied := schema.Stranger{Name: "metrics.points"}, schema.Stranger{Name: "traffic.copy", Inside: true}
	for _, c := range []struct {
		name  string
		all   []schema.Stranger
		alone bool
		want  Verdict
		told  string
	}{
		{"none", nil, false, Pass, ""},
		{"another's", []schema.Stranger{other}, false, NotChecked, "metrics.points"},
		{"another's, in the embedded engine", []schema.Stranger{other}, true, Fail, "metrics.points"},
		{"a copy beside another's", []schema.Stranger{other, copied}, false, Fail, "traffic.copy"},
	} {
		f := judgeStrangers(c.all, c.alone)
		if f.Verdict != c.want || !strings.Contains(f.Detail, c.told) || f.Checked != uint64(len(c.all)) || (f.Cure == "") != (c.want == Pass) {
			t.Errorf("%s: %+v, want %s about %q", c.name, f, c.want, c.told)
		}
	}
}
