package schema

import (
	"context"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

func escaped(s string) string {
	var out strings.Builder
	xml.EscapeText(&out, []byte(s))
	return out.String()
}

// usersXML writes the roles as a users file, the other form in which a server
// takes them, from the same tables as [Access.Statements]. Requests are user
// default's, who is given what the role has, or everything for no role.
func usersXML(t testing.TB, as Role) string {
	t.Helper()
	views, err := expiringViews(allMigrations(t))
	if err != nil {
		t.Fatal(err)
	}
	var profiles, users, quotas strings.Builder
	user := func(name string, r Role) {
		fmt.Fprintf(&users, "<%s><password></password><networks><ip>::/0</ip></networks><profile>%s</profile><quota>%s</quota><grants>\n", name, r.User(), r.User())
		for _, p := range privilegesOf(r, "") {
			fmt.Fprintf(&users, "<query>GRANT %s</query>\n", escaped(p))
		}
		fmt.Fprint(&users, "</grants>\n")
		fmt.Fprint(&users, "<databases><traffic>\n")
		for _, v := range views {
			_, table, _ := strings.Cut(v.table, ".")
			hidden, shown := rowPolicies(v)
			switch {
			case slices.Contains(hidden, r):
				fmt.Fprintf(&users, "<%s><filter>%s</filter></%s>\n", table, escaped(v.readable), table)
			case slices.Contains(shown, r):
				fmt.Fprintf(&users, "<%s><filter>1</filter></%s>\n", table, table)
			}
		}
		fmt.Fprint(&users, "</traffic></databases>\n")
		fmt.Fprintf(&users, "</%s>\n", name)
	}
	for _, r := range Roles {
		fmt.Fprintf(&quotas, "<%s>", r.User())
		if n := queriesPerHour[r]; n > 0 {
			fmt.Fprintf(&quotas, "<interval><duration>3600</duration><queries>%d</queries></interval>", n)
		}
		fmt.Fprintf(&quotas, "</%s>\n", r.User())
		fmt.Fprintf(&profiles, "<%s>\n", r.User())
		var constraints strings.Builder
		for _, s := range settingsOf(r) {
			fmt.Fprintf(&profiles, "<%s>%s</%s>\n", s.name, s.value, s.name)
			switch words := strings.Fields(s.constraint); {
			case s.constraint == "CONST":
				fmt.Fprintf(&constraints, "<%s><const/></%s>\n", s.name, s.name)
			case len(words) == 4:
				fmt.Fprintf(&constraints, "<%s><min>%s</min><max>%s</max></%s>\n", s.name, words[1], words[3], s.name)
			}
		}
		fmt.Fprintf(&profiles, "<constraints>%s</constraints></%s>\n", constraints.String(), r.User())
		user(r.User(), r)
	}
	if as == "" {
		fmt.Fprint(&users, "<default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"+
			"<grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></default>\n")
	} else {
		user("default", as)
	}
	return "<clickhouse><profiles><default></default>\n" + profiles.String() + "</profiles><users>\n" + users.String() +
		"</users><quotas><default></default>\n" + quotas.String() + "</quotas></clickhouse>\n"
}

// prepareRoles fills a migrated store with two rows of every class, one of them
// expired, and a person.
func prepareRoles(t *testing.T, ctx context.Context, conn driver.Conn) {
	t.Helper()
	setPolicy(t, ctx, conn, "P10D")
	if err := Insert(ctx, conn, "young", oneOfEach(1, today(0))); err != nil {
		t.Fatal(err)
	}
	if err := Insert(ctx, conn, "old", oneOfEach(2, today(-20))); err != nil {
		t.Fatal(err)
	}
	mustRun(t, ctx, conn, "INSERT INTO register.line (line_id, account_id) VALUES ('l', 'a')")
	mustRun(t, ctx, conn, "INSERT INTO register.person (line_id, ciphertext) VALUES ('l', 'sealed')")
}

// rolesDir is such a store in a folder of the embedded engine; its views read as
// RoleView.
func rolesDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	t.Run("prepare", func(t *testing.T) {
		ctx, conn := startNode(t, dir, "", usersXML(t, ""))
		if err := Migrate(ctx, conn, nil); err != nil {
			t.Fatal(err)
		}
		statements, err := Access{}.Statements()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if strings.Contains(s, "SQL SECURITY") {
				mustRun(t, ctx, conn, s)
			}
		}
		prepareRoles(t, ctx, conn)
		mustRun(t, ctx, conn, "CREATE TABLE default.query_log_0 ENGINE = MergeTree ORDER BY tuple() AS SELECT 'SELECT * FROM traffic.session' AS query")
		mustRun(t, ctx, conn, "CREATE TABLE default.copy ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM traffic.session_slice")
	})
	return dir
}

// rolesOf returns how to become a role: on the server under test by logging in,
// and in the embedded engine by starting it with the role's users file.
func rolesOf(t *testing.T) func(t *testing.T, r Role) (context.Context, driver.Conn) {
	t.Helper()
	config, there := serverConfig()
	if !there {
		dir := rolesDir(t)
		return func(t *testing.T, r Role) (context.Context, driver.Conn) {
			return startNode(t, dir, "", usersXML(t, r))
		}
	}
	const password = "only for tests"
	cluster := Cluster(os.Getenv(testCluster))
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	a := Access{Cluster: cluster, Networks: everywhere, Nodes: everywhere, PasswordSHA256: map[Role]string{}}
	for _, r := range Roles {
		a.PasswordSHA256[r] = fmt.Sprintf("%x", sha256.Sum256([]byte(password)))
	}
	ctx, conn, _ := newStore(t)
	statements, err := a.Statements()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		mustRun(t, ctx, conn, s)
	}
	t.Cleanup(func() {
		for _, r := range Roles {
			for _, kind := range []string{"USER", "SETTINGS PROFILE", "QUOTA"} {
				if err := conn.Exec(context.Background(), "DROP "+kind+" IF EXISTS "+r.User()+cluster.on()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	prepareRoles(t, ctx, conn)
	return func(t *testing.T, r Role) (context.Context, driver.Conn) {
		as := config
		where, err := url.Parse(config.DSN)
		if err != nil {
			t.Fatal(err)
		}
		where.User = url.UserPassword(r.User(), password)
		as.DSN = where.String()
		conn, err := Open(t.Context(), as)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return t.Context(), conn
	}
}

// TestRoles runs the store as each role, under its grants, settings and row
// policies, and tries what it may and what it may not.
func TestRoles(t *testing.T) {
	become := rolesOf(t)
	bases := []string{"traffic.session_slice", "traffic.assignment_slice", "traffic.usage_bucket", "traffic.usage_day_part", "traffic.coverage_slice", "traffic.access_log_entry"}
	selects := func(tables ...string) (out []string) {
		for _, table := range tables {
			out = append(out, "SELECT * FROM "+table)
		}
		return out
	}
	readViews := []string{"traffic.session", "traffic.assignment", "traffic.usage", "traffic.usage_day", "traffic.coverage"}
	const askPolicy = "SELECT class, period, floor FROM traffic.gate"
	escapes := []string{ // nobody may
		"CREATE VIEW traffic.mine AS SELECT * FROM traffic.session_slice",
		"CREATE OR REPLACE VIEW traffic.session DEFINER = griffier_view SQL SECURITY DEFINER AS SELECT * FROM traffic.session_slice",
		"ALTER TABLE traffic.session MODIFY SQL SECURITY NONE",
		"CREATE TABLE traffic.mine ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM traffic.session_slice",
		"ALTER TABLE traffic.usage_bucket UPDATE byte_readings = 0 WHERE 1",
		"DROP TABLE traffic.session_slice",
		"TRUNCATE TABLE traffic.usage_bucket",
		"CREATE DATABASE mine",
		"GRANT SELECT ON *.* TO default",
		"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
		"BACKUP TABLE traffic.session_slice TO Disk('default', 'b')",
		"SET log_queries = 1",
		"SET async_insert = 1",
		"SET apply_row_policy_after_final = 0",
	}
	for _, x := range []struct {
		role      Role
		may, deny []string
	}{
		{RoleCollector,
			append(selects("traffic.schema_migration"), askPolicy),
			slices.Concat(selects(bases...), selects(readViews...), selects("traffic.access_log", "register.line", "register.line_access", "register.person", "register.range"), []string{
				"INSERT INTO traffic.gate (class) VALUES ('session')",
				"INSERT INTO traffic.gate (floor) VALUES ('2100-01-01 00:00:00')",
				"SELECT subject FROM traffic.gate",
				"INSERT INTO traffic.gate (subject) VALUES ('x')",
				"INSERT INTO register.line (line_id) VALUES ('x')",
				"INSERT INTO traffic.access_log_entry (actor) VALUES ('x')",
				"ALTER TABLE traffic.session_slice DROP PARTITION ID '20260101'",
			})},
		{RolePortal,
			slices.Concat(selects(readViews...), selects("register.line", "register.line_access"), []string{askPolicy, "SET max_threads = 2"}),
			slices.Concat(selects(bases...), selects("register.person", "register.range", "traffic.access_log", "statistics.segment_hour"), []string{
				"SELECT subject FROM traffic.gate",
				"INSERT INTO traffic.gate (subject) VALUES ('x')",
				"INSERT INTO traffic.usage_bucket (moved_bytes) VALUES (1)",
				"INSERT INTO register.line (line_id) VALUES ('x')",
				"INSERT INTO traffic.gate (class) VALUES ('session')",
				"INSERT INTO traffic.gate (floor) VALUES ('2100-01-01 00:00:00')",
				"ALTER TABLE traffic.session_slice DROP PARTITION ID '20260101'",
				"SELECT number FROM numbers(1000001)",
				"SET readonly = 0",
				"SET max_result_rows = 0",
				"SET max_execution_time = 0",
			})},
		{RoleExecutor,
			slices.Concat(selects(readViews...), selects("traffic.access_log", "register.line", "register.line_access", "register.person", "register.range", "statistics.segment_hour"), []string{
				"INSERT INTO register.line (line_id) VALUES ('x')",
				"SELECT count() FROM traffic.usage_bucket FINAL WHERE bucket_started_at > now()",
				"INSERT INTO traffic.gate (subject, held_from, held_until) VALUES ('x', '2020-01-01 00:00:00', '2020-01-02 00:00:00')",
			}),
			slices.Concat(selects("traffic.session_slice", "traffic.assignment_slice", "traffic.usage_bucket", "traffic.coverage_slice"), []string{
				"INSERT INTO traffic.session_slice (nas) VALUES ('x')",
				"INSERT INTO traffic.gate (class) VALUES ('session')",
				"INSERT INTO traffic.gate (floor) VALUES ('2100-01-01 00:00:00')",
				"SELECT prefix_address FROM traffic.assignment_slice",
				"ALTER TABLE traffic.gate DELETE WHERE 1",
				"SELECT bytes FROM traffic.usage_bucket",
				"ALTER TABLE traffic.session_slice DROP PARTITION ID '20260101'",
				"ALTER TABLE traffic.coverage_slice DELETE WHERE 1",
				"ALTER TABLE traffic.access_log_entry DELETE WHERE 1",
			})},
		{RoleOperator,
			slices.Concat(selects("traffic.gate", "traffic.schema_migration", "system.parts"), []string{
				"SELECT min(ended_at), count() FROM traffic.session_slice",
				"ALTER TABLE traffic.session_slice DROP PARTITION ID '20260101'",
				"ALTER TABLE traffic.assignment_slice DELETE WHERE access_ref = unhex('00')", // what it asks about, it destroys
			}),
			slices.Concat(selects(bases...), selects(readViews...), selects("traffic.access_log", "register.line", "register.line_access", "register.person", "register.range"), []string{
				"SELECT access_ref FROM traffic.session_slice",
				"SELECT prefix_address FROM traffic.assignment_slice",
				"SELECT bytes FROM traffic.usage_bucket",
				"INSERT INTO traffic.session_slice (nas) VALUES ('x')",
				"ALTER TABLE register.line DELETE WHERE 1",
			})},
	} {
		t.Run(string(x.role), func(t *testing.T) {
			ctx, conn := become(t, x.role)
			for _, s := range x.may {
				if err := run(ctx, conn, s); err != nil {
					t.Errorf("%s may not: %s: %v", x.role, s, err)
				}
			}
			for _, s := range append(escapes, x.deny...) {
				err := run(ctx, conn, s)
				if err == nil {
					t.Errorf("%s may: %s", x.role, s)
				} else if !refused(err) {
					t.Errorf("%s: %s: %v, want a refusal", x.role, s, err)
				}
			}
			switch x.role {
			case RoleCollector:
				for _, r := range oneOfEach(3, today(0)) {
					counted := r.Kind() != KindUsageDay && r.Kind() != KindAccessLog // which the api makes
					if err := Insert(ctx, conn, "collector", []Record{r}); (err == nil) != counted {
						t.Errorf("a collector inserts %s: %v", r.Kind(), err)
					}
				}
				if _, err := ReadPolicy(ctx, conn); err != nil {
					t.Errorf("a collector cannot read the policy: %v", err)
				}
			case RolePortal:
				if n := count(t, ctx, conn, "SELECT count() FROM traffic.usage"); n != 2 {
					t.Errorf("the portal sees %d usage rows, want the young one and the collector's", n)
				}
			case RoleExecutor:
				if n := count(t, ctx, conn, "SELECT count() FROM traffic.access_log_entry FINAL"); n != 1 {
					t.Errorf("the log of reads shows %d rows past its view, want the one that has not expired", n)
				}
			case RoleOperator:
				if n := count(t, ctx, conn, "SELECT count() FROM traffic.session_slice"); n != 3 {
					t.Errorf("the operator counts %d rows, want the expired one among 3", n)
				}
				if _, server := serverConfig(); server {
					break // what is beside the store there is not ours to make
				}
				// A proof must know of what it may not read.
				if logs, err := LogTables(ctx, conn); err != nil || len(logs) != 1 || logs[0] != (LogTable{"default.query_log_0", 1, true, true}) {
					t.Errorf("the operator sees logs %+v (%v), want the one, closed, with its row", logs, err)
				}
				if strangers, err := Strangers(ctx, conn); err != nil || len(strangers) != 2 || strangers[0].Name != "default.copy" {
					t.Errorf("the operator sees %+v (%v) beside the store, want the copy and the log", strangers, err)
				}
			}
		})
	}
}

// run runs a statement and reads what it answers.
func run(ctx context.Context, conn driver.Conn, statement string) error {
	if !strings.HasPrefix(statement, "SELECT") {
		return conn.Exec(ctx, statement)
	}
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// refused reports whether the server says no: access, a setting's constraint,
// read-only mode, or a limit.
func refused(err error) bool {
	for _, code := range []string{"ACCESS_DENIED", "SETTING_CONSTRAINT_VIOLATION", "READONLY", "TOO_MANY_ROWS_OR_BYTES", "QUERY_IS_PROHIBITED", "NOT_IMPLEMENTED"} {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}

// TestRoleRowPolicies: with the grants of views on the tables themselves, the row
// policies alone hide exactly what the views hide.
func TestRoleRowPolicies(t *testing.T) {
	dir := rolesDir(t)
	views, err := expiringViews(allMigrations(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, conn := startNode(t, dir, "", usersXML(t, RoleView))
	if len(views) < len(Classes) {
		t.Errorf("%d views for %d classes", len(views), len(Classes))
	}
	for _, v := range views {
		from := "SELECT count() FROM " + v.table + " FINAL"
		if got := count(t, ctx, conn, from); got != 1 {
			t.Errorf("%s shows %d of two rows, want the one that has not expired", v.table, got)
		}
	}
}

// TestRoleStatements has the engine read every statement for every way to log in.
func TestRoleStatements(t *testing.T) {
	ctx, conn, _ := newStore(t)
	sum := strings.Repeat("0A", 32)
	everyPassword := map[Role]string{}
	for _, r := range Roles {
		everyPassword[r] = sum
	}
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/64")}
	for name, a := range map[string]Access{
		"one server, certificates": {},
		"one server, passwords":    {PasswordSHA256: everyPassword, Networks: networks},
		"cluster":                  {Cluster: "{cluster}", Networks: networks, Nodes: networks[:1], PasswordSHA256: map[Role]string{RoleView: sum}},
	} {
		statements, err := a.Statements()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range statements {
			var text string
			if err := conn.QueryRow(ctx, "SELECT formatQuery({s:String})", clickhouse.Named("s", s)).Scan(&text); err != nil {
				t.Errorf("%s: %v\n%s", name, err, s)
			}
			if strings.Contains(text, "ON CLUSTER") != (a.Cluster != "") {
				t.Errorf("%s: for a cluster or not? %s", name, text)
			}
		}
		all := strings.Join(statements, "\n")
		for text, in := range map[string]string{
			"HOST NONE":                               "one server, certificates; one server, passwords",
			"SAN 'URI:griffier://role/collector'":     "one server, certificates; cluster",
			"HOST LOCAL":                              "one server, certificates",
			"ssl_certificate CN 'griffierd'":          "one server, certificates; cluster",
			"HOST IP '192.0.2.0/24', '2001:db8::/64'": "one server, passwords; cluster",
		} {
			if strings.Contains(all, text) != strings.Contains(in, name) {
				t.Errorf("%s has %q: %t", name, text, strings.Contains(all, text))
			}
		}
		if name == "cluster" && !strings.Contains(all, "INSERT ON traffic.session_slice_local TO griffier_collector") {
			t.Error("a collector cannot insert into a server's own part")
		}
	}
	for name, a := range map[string]Access{
		"a name that ends the quotes":    {Cluster: "a' b"},
		"a cluster without nodes":        {Cluster: "c", PasswordSHA256: everyPassword},
		"a cluster without its password": {Cluster: "c", Nodes: networks},
		"a password instead of its hash": {PasswordSHA256: map[Role]string{RolePortal: "hunter2"}},
	} {
		if _, err := a.Statements(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error without the password", name, err)
		}
	}
}
