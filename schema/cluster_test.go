package schema

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// released lists the last migration of every release. What is released never
// changes, and neither do its golden files.
var released = []int{19}

// golden compares text with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text == string(want) {
		return
	}
	got, wanted := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Fatalf("%s differs from line %d on:\n got %q\nwant %q\na released schema is never edited; add a migration", path, i+1, got[min(i, len(got)):min(i+3, len(got))], wanted[min(i, len(wanted)):min(i+3, len(wanted))])
		}
	}
}

func allMigrations(t testing.TB) []migration {
	t.Helper()
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		t.Fatal(err)
	}
	return migrations
}

// TestClusterGolden shows the statements that each release runs on a cluster.
func TestClusterGolden(t *testing.T) {
	for _, last := range released {
		var text strings.Builder
		for _, m := range allMigrations(t)[:last] {
			statements, err := Cluster("{cluster}").statements(m)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range statements {
				fmt.Fprintf(&text, "-- %s, %d of %d\n%s;\n\n", m.name, i+1, len(statements), s)
			}
		}
		golden(t, fmt.Sprintf("released/%04d-cluster.sql", last), text.String())
	}
}

var (
	sortingKey   = regexp.MustCompile(`(?m)^ORDER BY (.*)$`)
	hashedColumn = regexp.MustCompile(`^cityHash64\((\w+)\)$`)
)

// TestClusterForm checks what the form promises, of every migration there is.
func TestClusterForm(t *testing.T) {
	const cluster = Cluster("{cluster}")
	sharded := map[string]bool{}
	for _, m := range allMigrations(t) {
		single, err := Cluster("").statements(m)
		if err != nil || len(single) != 1 || single[0] != m.statement {
			t.Errorf("%s: one server gets %q (%v), want the file itself", m.name, single, err)
		}
		statements, err := cluster.statements(m)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, s := range statements {
			if strings.Count(s, "ON CLUSTER '{cluster}'") != 1 && !onOneServer(s) {
				t.Errorf("%s: want ON CLUSTER once in\n%s", m.name, s)
			}
			if strings.Contains(s, "ENGINE = MergeTree") || strings.Contains(s, "ENGINE = Replacing") || strings.Contains(s, "ENGINE = Aggregating") {
				t.Errorf("%s: a table that is not replicated:\n%s", m.name, s)
			}
		}
		_, statement := splitComment(m.statement)
		parts := createTable.FindStringSubmatch(statement)
		if parts == nil {
			continue
		}
		name := parts[1]
		key := ShardingKey(name)
		sharded[name] = key != ""
		// What has a class grows with the lines, but for coverage, which grows with
		// the collectors and is asked in every look-up.
		if grows := strings.Contains(statement, "CHECK class = ") && name != "traffic.coverage_slice"; grows != (key != "") {
			t.Errorf("%s: %s: sharding key %q, while it grows with the lines: %t", m.name, name, key, grows)
		}
		if key == "" {
			continue
		}
		column := hashedColumn.FindStringSubmatch(key)
		if column == nil || !slices.Contains(anyWord.FindAllString(sortingKey.FindStringSubmatch(parts[5])[1], -1), column[1]) {
			t.Errorf("%s: sharding key %s is not of the sorting key: versions of a row could lie in two shards", m.name, key)
		}
		if !strings.Contains(statements[0], "replicated_deduplication_window = ") {
			t.Errorf("%s: no deduplication window in\n%s", m.name, statements[0])
		}
	}
	for name := range shardingKeys {
		if !sharded[name] {
			t.Errorf("%s has a sharding key and no migration", name)
		}
	}
	for class, table := range tables {
		if !sharded[table] && class != ClassCoverage {
			t.Errorf("class %s: table %s is not sharded", class, table)
		}
	}
}

// onOneServer reports whether a statement is for one server of the cluster: a copy of
// rows, which the tables themselves carry to the others, and what comes before it.
func onOneServer(statement string) bool {
	_, bare := splitComment(statement)
	return strings.HasPrefix(bare, "SYSTEM SYNC REPLICA ") || copyRows.MatchString(bare)
}

var anyWord = regexp.MustCompile(`\w+`)

func TestClusterRender(t *testing.T) {
	const c = Cluster("isp")
	for _, x := range []struct {
		statement string
		want      []string
	}{
		{"ALTER TABLE traffic.usage_bucket ADD COLUMN IF NOT EXISTS a UInt8 DEFAULT if(1, 2, 3), DROP COLUMN IF EXISTS b", []string{
			"ALTER TABLE traffic.usage_bucket_local ON CLUSTER 'isp' ADD COLUMN IF NOT EXISTS a UInt8 DEFAULT if(1, 2, 3), DROP COLUMN IF EXISTS b",
			"ALTER TABLE traffic.usage_bucket ON CLUSTER 'isp' ADD COLUMN IF NOT EXISTS a UInt8 DEFAULT if(1, 2, 3), DROP COLUMN IF EXISTS b",
		}},
		{"ALTER TABLE traffic.usage_bucket\n    ADD PROJECTION IF NOT EXISTS p (SELECT * ORDER BY bytes)", []string{
			"ALTER TABLE traffic.usage_bucket_local ON CLUSTER 'isp' ADD PROJECTION IF NOT EXISTS p (SELECT * ORDER BY bytes)",
		}},
		{"ALTER TABLE register.line ADD COLUMN IF NOT EXISTS a UInt8", []string{
			"ALTER TABLE register.line ON CLUSTER 'isp' ADD COLUMN IF NOT EXISTS a UInt8",
		}},
		{"DROP TABLE IF EXISTS traffic.usage_bucket", []string{
			"DROP TABLE IF EXISTS traffic.usage_bucket ON CLUSTER 'isp' SYNC",
			"DROP TABLE IF EXISTS traffic.usage_bucket_local ON CLUSTER 'isp' SYNC",
		}},
		{"CREATE MATERIALIZED VIEW IF NOT EXISTS traffic.r TO traffic.usage_day_part AS\nSELECT 1 FROM traffic.usage_bucket", []string{
			"CREATE MATERIALIZED VIEW IF NOT EXISTS traffic.r ON CLUSTER 'isp' TO traffic.usage_day_part_local AS\nSELECT 1 FROM traffic.usage_bucket_local",
		}},
	} {
		got, err := c.render(x.statement)
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%s\nbecomes %q (%v), want %q", x.statement, got, err, x.want)
		}
	}
	for _, statement := range []string{
		"",
		"INSERT INTO traffic.usage_bucket SELECT 1",
		"CREATE TABLE traffic.x (a UInt8) ENGINE = MergeTree ORDER BY a", // cannot run twice
		"CREATE TABLE IF NOT EXISTS traffic.x\n(\n    a UInt8\n)\nENGINE = Log\n",
		"ALTER TABLE traffic.usage_bucket ADD COLUMN IF NOT EXISTS a UInt8, ADD INDEX IF NOT EXISTS i a TYPE minmax",
		"CREATE MATERIALIZED VIEW IF NOT EXISTS traffic.r TO traffic.usage_day_part AS\nSELECT 1 FROM traffic.assignment_slice",
	} {
		if got, err := c.render(statement); !errors.Is(err, ErrNoClusterForm) {
			t.Errorf("%q becomes %q (%v), want ErrNoClusterForm", statement, got, err)
		}
	}
	if got := Cluster("").Alter("traffic.usage_bucket", "x"); got != "ALTER TABLE traffic.usage_bucket x" {
		t.Errorf("one server alters by %q", got)
	}
	if got := c.DropPartition("traffic.usage_bucket", "20260101"); got != "ALTER TABLE traffic.usage_bucket_local ON CLUSTER 'isp' DROP PARTITION ID '20260101' SETTINGS alter_sync = 2" {
		t.Errorf("a cluster drops by %q", got)
	}
	if got := Cluster("").DropPartition("traffic.usage_bucket", "20260101"); got != "ALTER TABLE traffic.usage_bucket DROP PARTITION ID '20260101'" {
		t.Errorf("one server drops by %q", got)
	}
	if got := c.Alter("traffic.coverage_slice", "x"); got != "ALTER TABLE traffic.coverage_slice ON CLUSTER 'isp' x" {
		t.Errorf("a table kept whole is altered by %q", got)
	}
}

func TestClusterName(t *testing.T) {
	for _, name := range []Cluster{"", "isp", "{cluster}", "isp-1.a_b"} {
		if err := name.Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []Cluster{"a b", "x' DROP", "{a", "a}", "{}", "'", Cluster(strings.Repeat("a", 300)) + "'"} {
		if err := name.Validate(); err == nil || len(err.Error()) > 300 {
			t.Errorf("%q: %v, want a short refusal", name, err)
		}
	}
}

func FuzzClusterRender(f *testing.F) {
	for _, m := range allMigrations(f) {
		f.Add(m.statement)
	}
	f.Add("ALTER TABLE traffic.usage_bucket ADD COLUMN a String DEFAULT ',)('")
	f.Fuzz(func(t *testing.T, text string) {
		comment, statement := splitComment(text)
		if strings.TrimSpace(comment+statement) != strings.TrimSpace(text) && !strings.Contains(text, "\n") {
			t.Errorf("splitComment(%q) = %q, %q", text, comment, statement)
		}
		rendered, err := Cluster("c").render(statement)
		if err != nil {
			return
		}
		for _, s := range rendered {
			if !strings.Contains(s, " ON CLUSTER 'c'") && !onOneServer(s) {
				t.Errorf("%q becomes %q, which not every server would run", text, s)
			}
		}
	})
}
