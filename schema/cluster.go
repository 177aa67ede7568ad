package schema

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Cluster is a ClickHouse cluster as the servers' own configuration names it
// under remote_servers, or a macro of it such as "{cluster}". The zero value is
// one server by itself, or the embedded engine.
//
// # The cluster form
//
// The migrations are the one source of the schema. For a cluster each is turned
// into the statements that make the same thing there:
//
//   - every statement runs ON CLUSTER, once for all servers;
//   - a table that [ShardingKey] knows is kept in shards: NAME_local holds a
//     shard's part of it, replicated, and NAME is Distributed over these, so that
//     what reads or writes NAME is the same in every form;
//   - any other table is small, asked in every look-up, and replicated whole to
//     every server;
//   - views read NAME.
//
// Rows with equal sorting keys lie in one shard, because the sharding key is
// computed from columns of the sorting key. So FINAL, which each shard does for
// itself, finds the latest version of a row.
type Cluster string

// Errors of the cluster form.
var (
	// ErrNoClusterForm: a migration says something that has no cluster form yet.
	// It is a mistake in the program, found by its tests.
	ErrNoClusterForm = errors.New("statement has no cluster form")
	// ErrOtherForm: the store was made for one server and is opened as a cluster,
	// or the other way round. Neither turns into the other by itself.
	ErrOtherForm = errors.New("store was made in the other form")
)

var clusterName = regexp.MustCompile(`^(\{[A-Za-z0-9_]+\}|[A-Za-z0-9_.-]+)$`)

// Validate reports whether c can be written into a statement.
func (c Cluster) Validate() error {
	if c != "" && !clusterName.MatchString(string(c)) {
		return fmt.Errorf("cluster %q: want a name of remote_servers, or a macro such as {cluster}", clip(string(c)))
	}
	return nil
}

// on returns the ON CLUSTER clause with a blank before it, or nothing.
func (c Cluster) on() string {
	if c == "" {
		return ""
	}
	return " ON CLUSTER '" + string(c) + "'"
}

// shardingKeys says by what each sharded table is spread. Lines are spread by
// their reference, so that all that is known of a line's sessions and usage lies
// in one shard; assignments by address, which is what "who held" asks for, and a
// part of their sorting key, which the reference is not.
var shardingKeys = map[string]string{
	"traffic.session_slice":    "cityHash64(access_ref)",
	"traffic.assignment_slice": "cityHash64(prefix_address)",
	"traffic.usage_bucket":     "cityHash64(access_ref)",
	"traffic.usage_day_part":   "cityHash64(access_ref)",
	"traffic.access_log_entry": "cityHash64(entry_id)",
}

// ShardingKey returns the expression by which a table's rows are spread over the
// shards of a cluster, or "" for a table that every server has whole.
func ShardingKey(table string) string { return shardingKeys[table] }

// Local returns the name under which a server of the cluster keeps its part of
// table: what is altered, dropped from and found in system.parts. It is table
// itself outside a cluster, and for what every server has whole.
func (c Cluster) Local(table string) string {
	if c == "" || shardingKeys[table] == "" {
		return table
	}
	return table + localSuffix
}

const localSuffix = "_local"

// Alter returns the statement that alters the stored rows of a table on every
// server: ALTER TABLE … with the table's name and cluster, then what.
func (c Cluster) Alter(table, what string) string {
	return "ALTER TABLE " + c.Local(table) + c.on() + " " + what
}

// Parts returns what to select from to see a table's parts on every server: each
// of a cluster's shards once, by one of its replicas.
func (c Cluster) Parts(table string) string {
	if c.Local(table) == table {
		return "system.parts"
	}
	return "cluster('" + string(c) + "', system.parts)"
}

// DropPartition returns the statement that drops a partition of a table on every
// server. On a cluster it has ended when every replica has dropped it, and fails
// while one is away.
func (c Cluster) DropPartition(table, id string) string {
	statement := c.Alter(table, "DROP PARTITION ID '"+id+"'")
	if c != "" {
		statement += " SETTINGS alter_sync = 2"
	}
	return statement
}

// The statements that migrations are made of. A migration is one statement after
// comments; what these patterns do not know has no cluster form.
var (
	createDatabase = regexp.MustCompile(`^CREATE DATABASE IF NOT EXISTS (\w+)$`)
	createTable    = regexp.MustCompile(`(?s)^CREATE TABLE IF NOT EXISTS (\w+\.\w+)\n(\(\n.*\n\))\nENGINE = (\w*MergeTree)(?:\(([^()]*)\))?\n(.*)$`)
	createView     = regexp.MustCompile(`(?s)^CREATE OR REPLACE VIEW (\w+\.\w+) AS\n(.*)$`)
	createRollup   = regexp.MustCompile(`(?s)^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+\.\w+) TO (\w+\.\w+) AS\n(.*)$`)
	alterTable     = regexp.MustCompile(`(?s)^ALTER TABLE (\w+\.\w+)\s+(.*)$`)
	dropObject     = regexp.MustCompile(`^DROP (TABLE|VIEW) IF EXISTS (\w+\.\w+)$`)
	copyRows       = regexp.MustCompile(`(?s)^INSERT INTO (\w+\.\w+) \([\w, ]+\)\nSELECT .*\nFROM (\w+\.\w+)\b.*$`)
	columnCommand  = regexp.MustCompile(`^(ADD|DROP|MODIFY|RENAME|COMMENT) COLUMN `)
	fromTable      = regexp.MustCompile(`\bFROM (\w+\.\w+)\b`)
	dedupWindow    = regexp.MustCompile(`\bnon_replicated_deduplication_window = (\d+)`)
)

// dedupSeconds is how long a replicated table remembers a block's token at least
// as long as a spool may wait for its store. Beyond it, and beyond the number of
// blocks, the rows' own keys tell a repetition.
const dedupSeconds = 90 * 24 * 60 * 60

// statements returns what a migration runs on the cluster, in order. Each can run
// twice, as the migration itself can.
func (c Cluster) statements(m migration) ([]string, error) {
	if c == "" {
		return []string{m.statement}, nil
	}
	comment, statement := splitComment(m.statement)
	rendered, err := c.render(statement)
	if err != nil {
		return nil, fmt.Errorf("migrate: %s: %w", m.name, err)
	}
	rendered[0] = comment + rendered[0]
	return rendered, nil
}

// MigrationStatements returns all that [MigrateCluster] would run on an empty
// store, for an administrator to read.
func MigrationStatements(c Cluster) ([]string, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, m := range migrations {
		statements, err := c.statements(m)
		if err != nil {
			return nil, err
		}
		all = append(all, statements...)
	}
	return all, nil
}

// splitComment cuts the comment lines off a statement's head.
func splitComment(text string) (comment, statement string) {
	for statement = text; strings.HasPrefix(statement, "--"); {
		line, rest, _ := strings.Cut(statement, "\n")
		comment, statement = comment+line+"\n", rest
	}
	return comment, strings.TrimSpace(statement)
}

func (c Cluster) render(statement string) ([]string, error) {
	if m := createDatabase.FindStringSubmatch(statement); m != nil {
		return []string{"CREATE DATABASE IF NOT EXISTS " + m[1] + c.on()}, nil
	}
	if m := createTable.FindStringSubmatch(statement); m != nil {
		return c.table(m[1], m[2], m[3], m[4], m[5]), nil
	}
	if m := createView.FindStringSubmatch(statement); m != nil {
		return []string{"CREATE OR REPLACE VIEW " + m[1] + c.on() + " AS\n" + m[2]}, nil
	}
	if m := createRollup.FindStringSubmatch(statement); m != nil {
		return c.rollup(m[1], m[2], m[3])
	}
	if m := alterTable.FindStringSubmatch(statement); m != nil {
		return c.alter(m[1], m[2])
	}
	if m := copyRows.FindStringSubmatch(statement); m != nil {
		return c.copyRows(statement, m[1], m[2])
	}
	if m := dropObject.FindStringSubmatch(statement); m != nil {
		drop := []string{"DROP " + m[1] + " IF EXISTS " + m[2] + c.on() + " SYNC"}
		if local := c.Local(m[2]); local != m[2] {
			drop = append(drop, "DROP TABLE IF EXISTS "+local+c.on()+" SYNC")
		}
		return drop, nil
	}
	return nil, ErrNoClusterForm
}

// table makes a table's replicated form: in shards, with a Distributed table
// over them, or whole on every server.
func (c Cluster) table(name, columns, engine, arguments, rest string) []string {
	path, replica := "/griffier/{database}/{table}/all", "{shard}-{replica}"
	local := c.Local(name)
	if local != name {
		path, replica = "/griffier/{database}/{table}/{shard}", "{replica}"
	}
	arguments = strings.TrimSuffix(fmt.Sprintf("'%s', '%s', %s", path, replica, arguments), ", ")
	rest = dedupWindow.ReplaceAllString(rest, fmt.Sprintf("replicated_deduplication_window = $1, replicated_deduplication_window_seconds = %d", dedupSeconds))
	statements := []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s\n%s\nENGINE = Replicated%s(%s)\n%s", local, c.on(), columns, engine, arguments, rest)}
	if local != name {
		database, table, _ := strings.Cut(local, ".")
		statements = append(statements, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s AS %s\nENGINE = Distributed('%s', '%s', '%s', %s)",
			name, c.on(), local, c, database, table, shardingKeys[name]))
	}
	return statements
}

// rollup has each shard sum up its own rows, which is right only if what it sums
// up is spread in the same way.
func (c Cluster) rollup(name, to, query string) ([]string, error) {
	for _, from := range fromTable.FindAllStringSubmatch(query, -1) {
		if shardingKeys[from[1]] != shardingKeys[to] {
			return nil, fmt.Errorf("%w: %s and %s are spread differently", ErrNoClusterForm, from[1], to)
		}
	}
	query = fromTable.ReplaceAllStringFunc(query, func(from string) string {
		return "FROM " + c.Local(strings.TrimPrefix(from, "FROM "))
	})
	return []string{"CREATE MATERIALIZED VIEW IF NOT EXISTS " + name + c.on() + " TO " + c.Local(to) + " AS\n" + query}, nil
}

// copyRows copies what every server has whole: on one, which first fetches what it
// lacks, and from which the others have it.
func (c Cluster) copyRows(statement, to, from string) ([]string, error) {
	for _, table := range []string{to, from} {
		if c.Local(table) != table {
			return nil, fmt.Errorf("%w: %s is spread over shards", ErrNoClusterForm, table)
		}
	}
	return []string{"SYSTEM SYNC REPLICA " + from, statement}, nil
}

// alter changes what is stored, and the columns of the Distributed table too.
func (c Cluster) alter(name, what string) ([]string, error) {
	statements := []string{c.Alter(name, what)}
	if c.Local(name) == name {
		return statements, nil
	}
	commands, columns := splitCommands(what), 0
	for _, command := range commands {
		if columnCommand.MatchString(command) {
			columns++
		}
	}
	switch columns {
	case 0:
	case len(commands):
		statements = append(statements, "ALTER TABLE "+name+c.on()+" "+what)
	default:
		return nil, fmt.Errorf("%w: ALTER TABLE %s changes columns and something else at once; make it two migrations", ErrNoClusterForm, name)
	}
	return statements, nil
}

// splitCommands cuts ALTER's comma-separated commands apart: at commas that are
// outside brackets and quotes.
func splitCommands(what string) []string {
	var commands []string
	depth, quoted, start := 0, false, 0
	for i, r := range what {
		switch {
		case r == '\'':
			quoted = !quoted
		case quoted:
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			commands, start = append(commands, strings.TrimSpace(what[start:i])), i+1
		}
	}
	return append(commands, strings.TrimSpace(what[start:]))
}

var distributedOver = regexp.MustCompile(`^Distributed\('([^']*)'`)

// ClusterOf returns the cluster that a migrated store is on, as its own tables say;
// the zero value for one server.
func ClusterOf(ctx context.Context, conn driver.Conn) (Cluster, error) { return clusterOf(ctx, conn) }

// clusterOf is ClusterOf.
func clusterOf(ctx context.Context, conn driver.Conn) (Cluster, error) {
	var engine string
	const query = "SELECT if(count() = 0, '', any(engine_full)) FROM system.tables WHERE database = 'traffic' AND name = 'session_slice'"
	if err := conn.QueryRow(ctx, query).Scan(&engine); err != nil {
		return "", fmt.Errorf("read the store's form: %w", err)
	}
	over := distributedOver.FindStringSubmatch(engine)
	if over == nil {
		return "", nil
	}
	return Cluster(over[1]), nil
}
