package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Role is a user of a ClickHouse server. The embedded engine has none: who may
// open its socket is everybody at once.
type Role string

// The roles of a store. A process that has the credentials of one cannot do what
// the others can.
const (
	// RoleCollector adds rows and reads none of them; it may read the policy, by
	// which its spool expires, and the schema's number.
	RoleCollector Role = "collector"
	// RolePortal reads views and the lines' half of the register, for the portal
	// and support. It changes nothing.
	RolePortal Role = "portal"
	// RoleExecutor carries out warrants and rights: views, the whole register, what
	// is made from them (daily sums, statistics, the log of reads), and tombstones,
	// for which it may ask the tables whose rows are left, not what they say.
	RoleExecutor Role = "executor"
	// RoleOperator maintains: policy, drops, rewriting what was erased, proofs. It
	// reads times and numbers of rows, never whose they are or what they say.
	RoleOperator Role = "operator"
	// RoleView is nobody: views read the tables as it, and so do the servers of a
	// cluster each other's. It cannot log in from outside the cluster.
	RoleView Role = "view"
)

// Roles lists every role.
var Roles = []Role{RoleView, RoleCollector, RolePortal, RoleExecutor, RoleOperator}

// User is the role's name on a server.
func (r Role) User() string { return "griffier_" + string(r) }

// grants are what each role may do, on one server: privileges, and on what.
var grants = map[Role][]grant{
	RoleCollector: {
		{"INSERT", []string{"traffic.session_slice", "traffic.assignment_slice", "traffic.usage_bucket", "traffic.coverage_slice"}},
		readPolicy, readSchema,
	},
	RolePortal: {
		{"SELECT", []string{"traffic.session", "traffic.assignment", "traffic.usage", "traffic.usage_day", "traffic.coverage",
			"traffic.usage_day_mark", "register.line", "register.line_access", "register.restriction"}},
		readPolicy, readSchema,
	},
	RoleExecutor: {
		{"SELECT", []string{"traffic.session", "traffic.assignment", "traffic.usage", "traffic.usage_day", "traffic.coverage", "traffic.access_log"}},
		{"SELECT, INSERT", []string{"register.line", "register.line_access", "register.person", "register.range", "register.restriction",
			"register.staff_line", "traffic.usage_day_mark", "statistics.segment_hour", "traffic.access_log_entry"}},
		{"SELECT(" + tombstoneColumns + "), INSERT(" + tombstoneColumns + ")", []string{"traffic.gate"}},
		{"ALTER DELETE", []string{"register.line", "register.line_access", "register.person", "register.restriction"}},
		{"SELECT(access_ref, started_at)", []string{"traffic.session_slice"}},
		{"SELECT(access_ref, inside_address, started_at)", []string{"traffic.assignment_slice"}},
		{"SELECT(access_ref, bucket_started_at)", []string{"traffic.usage_bucket"}},
		{"INSERT, SELECT(access_ref, started_at, version)", []string{"traffic.usage_day_part"}},
		readPolicy, readSchema,
	},
	RoleOperator: {
		{"SELECT, INSERT, ALTER DELETE", []string{"traffic.gate"}},
		{"SELECT", []string{"traffic.schema_migration", "statistics.segment_hour"}},
		{"ALTER UPDATE(access_refs)", []string{"traffic.access_log_entry"}},
		{"ALTER DELETE, SELECT(started_at, ended_at)", []string{"traffic.session_slice", "traffic.assignment_slice", "traffic.coverage_slice", "traffic.usage_day_part"}},
		{"ALTER DELETE, SELECT(bucket_started_at, ended_at)", []string{"traffic.usage_bucket"}},
		{"ALTER DELETE, SELECT(happened_at, ended_at)", []string{"traffic.access_log_entry"}},
		{"SELECT", []string{"system.parts", "system.detached_parts", "system.tables", "system.columns", "system.disks", "system.replicas"}},
		{"SHOW TABLES, SHOW COLUMNS", []string{"*.*"}}, // else a log or a copy that it may not read would seem not to be there
	},
	RoleView: {
		{"SELECT", []string{"traffic.session_slice", "traffic.assignment_slice", "traffic.usage_bucket", "traffic.usage_day_part", "traffic.coverage_slice", "traffic.access_log_entry", "traffic.gate"}},
	},
}

// What may be read now, and how the store is laid out: about nobody.
var (
	readPolicy = grant{"SELECT(" + policyColumns + ")", []string{"traffic.gate"}}
	readSchema = grant{"SELECT", []string{"traffic.schema_migration"}}
)

// The columns of traffic.gate that are about the classes, and those about subjects.
const (
	policyColumns    = "class, generation, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at, floor"
	tombstoneColumns = "subject, held_from, held_until"
)

// clusterGrants are what a role needs besides on a cluster: to send a statement
// to all servers, and to see all of their system tables.
var clusterGrants = map[Role][]string{
	RoleOperator: {"CLUSTER ON *.*", "REMOTE ON *.*", "CREATE TEMPORARY TABLE ON *.*"},
}

// A grant gives the same privileges on several tables.
type grant struct {
	privileges string
	on         []string
}

// privilegesOf returns a role's grants as "PRIVILEGE ON TABLE". On a cluster what
// is granted on a sharded table is granted on a server's own part of it too.
func privilegesOf(r Role, c Cluster) []string {
	var out []string
	for _, g := range grants[r] {
		for _, table := range g.on {
			out = append(out, g.privileges+" ON "+table)
			if local := c.Local(table); local != table {
				out = append(out, g.privileges+" ON "+local)
			}
			if r == RoleView && c != "" && c.Local(table) != table { // rows that one server sends another
				out = append(out, "INSERT ON "+c.Local(table))
			}
		}
	}
	if c != "" {
		out = append(out, clusterGrants[r]...)
	}
	return out
}

// A setting is what a role's queries run with.
type setting struct {
	name, value string
	constraint  string // "CONST", "MIN 1 MAX 60", or "" for a default
}

// commonSettings hold for every role: statements carry references and addresses,
// so they are kept nowhere, and what expired is taken out after the latest version
// of a row was found, never before.
var commonSettings = []setting{
	{"log_queries", "0", "CONST"},
	{"log_query_threads", "0", "CONST"},
	{"log_query_views", "0", "CONST"},
	{"log_processors_profiles", "0", "CONST"},
	{"log_profile_events", "0", "CONST"},
	{"async_insert", "0", "CONST"},
	{"apply_row_policy_after_final", "1", "CONST"},
	{"deduplicate_blocks_in_dependent_materialized_views", "1", "CONST"},
	{"distributed_foreground_insert", "1", "CONST"},
	{"insert_quorum", "auto", ""},
	// A replica that is behind would answer "nobody" for somebody.
	{"max_replica_delay_for_distributed_queries", "1", "CONST"},
	{"fallback_to_stale_replicas_for_distributed_queries", "0", "CONST"},
	{"allow_introspection_functions", "0", "CONST"},
	{"allow_ddl", "0", "CONST"},
}

// settings are a role's own, over the common ones. Clients send their deadline as
// max_execution_time, so it has a range.
var settings = map[Role][]setting{
	RoleCollector: {{"max_execution_time", "300", "MIN 1 MAX 900"}},
	RolePortal: {
		{"readonly", "2", "CONST"},
		{"max_execution_time", "30", "MIN 1 MAX 300"},
		{"max_result_rows", "1000000", "CONST"},
		{"max_memory_usage", "4000000000", "CONST"},
		{"max_concurrent_queries_for_user", "64", "CONST"},
	},
	RoleExecutor: {
		{"max_execution_time", "300", "MIN 1 MAX 3600"},
		{"max_result_rows", "50000000", "CONST"},
		{"max_memory_usage", "16000000000", "CONST"},
	},
	RoleOperator: {{"allow_ddl", "1", "CONST"}, {"max_execution_time", "3600", "MIN 1 MAX 86400"}}, // it drops partitions
}

// queriesPerHour bounds what stolen credentials, or a runaway client, can ask.
var queriesPerHour = map[Role]int{RolePortal: 1_000_000, RoleExecutor: 1_000_000, RoleOperator: 100_000}

// settingsOf returns the common settings and the role's own, which win.
func settingsOf(r Role) []setting {
	all := slices.Clone(commonSettings)
	for _, own := range settings[r] {
		i := slices.IndexFunc(all, func(s setting) bool { return s.name == own.name })
		if i < 0 {
			all = append(all, own)
		} else {
			all[i] = own
		}
	}
	return all
}

// An expiringView is a view, the table behind it and the condition under which a
// row of the table may be read.
type expiringView struct {
	view, table string
	readable    string
}

var (
	viewTable = regexp.MustCompile(`(?m)^FROM (\w+\.\w+) FINAL$`)
	withAlias = regexp.MustCompile(`(?s)^(.*) AS (\w+)$`)
)

// expiringViews reads views and conditions out of the migrations, so that a row
// policy can never say anything else than the view. A later migration's view
// replaces an earlier one's.
func expiringViews(migrations []migration) ([]expiringView, error) {
	var views []expiringView
	for _, m := range migrations {
		_, statement := splitComment(m.statement)
		parts := createView.FindStringSubmatch(statement)
		if parts == nil || !strings.HasPrefix(parts[1], "traffic.") {
			continue
		}
		v := expiringView{view: parts[1]}
		table := viewTable.FindStringSubmatch(parts[2])
		with, rest, found := strings.Cut(strings.TrimPrefix(parts[2], "WITH\n"), "\nSELECT\n")
		_, where, ends := strings.Cut(rest, "\nWHERE ")
		if table == nil || !found || !ends {
			return nil, fmt.Errorf("migrate: %s: not a view of one table, WITH … SELECT … FROM … FINAL WHERE", m.name)
		}
		where, _, _ = strings.Cut(where, "\nSETTINGS ")
		v.table, v.readable = table[1], where
		aliases := splitCommands(with)
		for _, item := range slices.Backward(aliases) { // each uses those before it
			alias := withAlias.FindStringSubmatch(item)
			if alias == nil {
				return nil, fmt.Errorf("migrate: %s: WITH has no name for %q", m.name, item)
			}
			v.readable = regexp.MustCompile(`\b`+alias[2]+`\b`).ReplaceAllLiteralString(v.readable, "("+alias[1]+")")
		}
		v.readable = strings.Join(strings.Fields(v.readable), " ")
		views = slices.DeleteFunc(views, func(old expiringView) bool { return old.view == v.view })
		views = append(views, v)
	}
	return views, nil
}
