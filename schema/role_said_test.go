package schema

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// What the engine says of access, in its own form: in answer to SHOW ACCESS, and when
// it formats a statement.
var (
	saidGrant   = regexp.MustCompile(`^GRANT (.+) ON (\S+) TO (griffier_\w+)$`)
	saidPolicy  = regexp.MustCompile(`^CREATE ROW POLICY (?:OR REPLACE )?\S+ ON (\S+) FOR SELECT USING (.+) TO ([\w, ]+)$`)
	saidQuota   = regexp.MustCompile(`^CREATE QUOTA (?:OR REPLACE )?(griffier_\w+) (.+)$`)
	saidFloat   = regexp.MustCompile(`(\d)\.( |$)`)
	saidProfile = regexp.MustCompile("^(?:CREATE|ALTER) SETTINGS PROFILE `(griffier_\\w+)` (?:DROP ALL SETTINGS, DROP ALL PROFILES, ADD )?SETTINGS (.+)$")
)

// said takes such texts apart into single facts, however they were put together.
func said(all []string) []string {
	var facts []string
	add := func(parts ...string) { facts = append(facts, strings.Join(parts, " | ")) }
	for _, text := range all {
		if m := saidGrant.FindStringSubmatch(text); m != nil {
			for _, privilege := range splitCommands(m[1]) {
				name, columns, some := strings.Cut(strings.TrimSuffix(privilege, ")"), "(")
				if !some {
					add("grant", m[3], m[2], name)
				}
				for _, column := range strings.FieldsFunc(columns, func(r rune) bool { return r == ',' || r == ' ' }) {
					add("grant", m[3], m[2], name, column)
				}
			}
		}
		if m := saidPolicy.FindStringSubmatch(text); m != nil {
			for _, user := range strings.Split(m[3], ", ") {
				add("row policy", user, m[1], m[2])
			}
		}
		if m := saidQuota.FindStringSubmatch(text); m != nil {
			add("quota", m[1], m[2])
		}
		if m := saidProfile.FindStringSubmatch(text); m != nil {
			for _, setting := range splitCommands(m[2]) {
				setting = strings.NewReplacer("'", "", "true", "1", "false", "0").Replace(setting)
				add("setting", m[1], saidFloat.ReplaceAllString(setting, "$1$2"))
			}
		}
	}
	slices.Sort(facts)
	return slices.Compact(facts)
}

// answers reads the only column of an answer.
func answers(t *testing.T, ctx context.Context, conn driver.Conn, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestServerRolesAreAsTried holds the statements for a server against the users
// file under which [TestRoles] and its fellows ran: the embedded engine, which takes
// only the latter, tells what it understood of it, and formats the former.
func TestServerRolesAreAsTried(t *testing.T) {
	ctx, conn := startNode(t, filepath.Join(t.TempDir(), "data"), "", usersXML(t, ""))
	statements, err := Access{}.Statements()
	if err != nil {
		t.Fatal(err)
	}
	var formatted []string
	for _, s := range statements {
		formatted = append(formatted, answers(t, ctx, conn, "SELECT formatQuerySingleLine({s:String})", clickhouse.Named("s", s))...)
	}
	for in, out := range map[string]int{"GRANT": 40, "CREATE ROW POLICY": 2 * len(Classes), "CREATE QUOTA": len(queriesPerHour), "ALTER SETTINGS PROFILE": len(Roles)} {
		n := 0
		for _, f := range formatted {
			if strings.HasPrefix(f, in) {
				n++
				if len(said([]string{f})) == 0 {
					t.Errorf("nothing was understood of %s", f)
				}
			}
		}
		if n < out {
			t.Errorf("%d statements %s, want %d at least", n, in, out)
		}
	}
	wanted, tried := said(formatted), said(answers(t, ctx, conn, "SHOW ACCESS"))
	for _, fact := range wanted {
		if !slices.Contains(tried, fact) {
			t.Errorf("a server gets what was not tried: %s", fact)
		}
	}
	for _, fact := range tried {
		if slices.Contains(wanted, fact) {
			continue
		}
		// A users file gives whoever has no policy on a table one that hides nothing; and a
		// quota that counts only.
		if strings.HasPrefix(fact, "row policy") && strings.HasSuffix(fact, " | 1") || strings.HasPrefix(fact, "quota") && !strings.Contains(fact, "MAX") {
			continue
		}
		t.Errorf("what was tried is not what a server gets: %s", fact)
	}
}

// TestRoleQuota: whoever has used his queries up gets no answer.
func TestRoleQuota(t *testing.T) {
	const allowed = 5
	of := fmt.Sprintf("<queries>%d</queries>", queriesPerHour[RolePortal])
	few := strings.ReplaceAll(usersXML(t, RolePortal), of, fmt.Sprintf("<queries>%d</queries>", allowed))
	ctx, conn := startNode(t, filepath.Join(t.TempDir(), "data"), "", few)
	for n := range 2*allowed + 1 { // the hour may turn
		err := run(ctx, conn, "SELECT 1")
		if err != nil && strings.Contains(err.Error(), "QUOTA_EXCEEDED") {
			return
		}
		if err != nil {
			t.Fatalf("query %d: %v", n+1, err)
		}
	}
	t.Errorf("%d queries were answered, want %d an hour at most", 2*allowed+1, allowed)
}
