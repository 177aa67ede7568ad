package dist

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"griffier/api/retention"
	"griffier/schema"
	"griffier/schema/sizing"
)

var update = flag.Bool("update", false, "write the computed tables of STORE.md anew")

// kept returns how many days each class of a profile is on disk, its longest
// calendar and the day of the drop included.
func kept(t *testing.T, profile string) map[schema.Class]float64 {
	t.Helper()
	text, err := retention.Profile(profile)
	if err != nil {
		t.Fatal(err)
	}
	file, err := retention.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	days := map[schema.Class]float64{}
	for _, p := range file.Policies() {
		start := time.Date(2027, 7, 1, 12, 0, 0, 0, time.UTC) // half a year from here has 184 days, a year 366
		end, err := p.ExpiresAt(start)
		if err != nil {
			t.Fatal(err)
		}
		days[p.Class] = end.Sub(start).Round(24*time.Hour).Hours()/24 + schema.DropWithin.Hours()/24
	}
	return days
}

// TestSizing: the guide's tables are what package sizing computes.
func TestSizing(t *testing.T) {
	guide, err := os.ReadFile("STORE.md")
	if err != nil {
		t.Fatal(err)
	}
	want := string(guide)
	put := func(name, text string) {
		between := regexp.MustCompile(`(?s)(<!-- ` + name + ` -->\n).*?(<!-- end -->)`)
		if !between.MatchString(want) {
			t.Fatalf("no place for %s", name)
		}
		want = between.ReplaceAllString(want, "${1}"+text+"${2}")
	}
	f, l := sizing.Measured, sizing.Residential
	figures := "| class | rows a line and day | bytes a row on disk |\n|---|---|---|\n"
	for _, class := range []schema.Class{schema.ClassUsage5m, schema.ClassUsageDay, schema.ClassAssignment, schema.ClassSession} {
		figures += fmt.Sprintf("| %s | %g | %g |\n", class, l.Rows[class], f.BytesPerRow[class])
	}
	one := sizing.Size(1, f, l, nil)
	put("figures", figures+fmt.Sprintf("\nTogether %.1f kB a line and day, one copy, merged. One server takes in %.0f rows of usage a second, or %.0f of sessions and assignments (bench/result).\n", one.BytesPerLineDay/1000, f.UsagePerSecond, f.SlicesPerSecond))
	for _, profile := range []string{"nl", "be"} {
		days := kept(t, profile)
		var estimates []sizing.Estimate
		for _, lines := range []int{10_000, 100_000, 1_000_000, 10_000_000} {
			estimates = append(estimates, sizing.Size(lines, f, l, days))
		}
		for class := range l.Rows {
			if days[class] == 0 {
				t.Errorf("profile %s keeps no %s", profile, class)
			}
		}
		put("table "+profile, sizing.Table(estimates))
	}
	if *update {
		if err := os.WriteFile("STORE.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(guide) {
		t.Error("STORE.md has other figures than package sizing; run this test with -update")
	}
}

// TestStoreGuide: what the guide says of roles, and how it has the suite run, is so.
func TestStoreGuide(t *testing.T) {
	text, err := os.ReadFile("STORE.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	for _, r := range schema.Roles {
		if !strings.Contains(guide, "| "+r.User()+" |") {
			t.Errorf("STORE.md says nothing of %s", r.User())
		}
	}
	pattern := regexp.MustCompile(`-run '(.*)'`).FindStringSubmatch(guide)
	if pattern == nil {
		t.Fatal("no pattern of tests")
	}
	named := regexp.MustCompile(pattern[1])
	found := 0
	for _, file := range glob(t, "../../schema/*_test.go") {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(string(source), -1) {
			if named.MatchString(f[1]) {
				found++
			}
		}
	}
	if found < 20 {
		t.Errorf("the guide's pattern names %d tests", found)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(files))
	}
	return files
}
