package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postgresScale is up to how many rows PostgreSQL is given too: at 1e8 they take
// 30 GB and half an hour.
const postgresScale = 1e7

const postgresQuestions = 2000

// postgresTable is what somebody who knows PostgreSQL would make of the same rows:
// 16-byte uuids, a range of time as two columns, and an index for each question.
const postgresTable = `CREATE TABLE assignment (prefix inet NOT NULL, port_start int NOT NULL, port_end int NOT NULL, access_ref uuid NOT NULL, session_id uuid NOT NULL,
	started_at timestamptz NOT NULL, ended_at timestamptz NOT NULL, assignment_started_at timestamptz NOT NULL, version bigint NOT NULL,
	end_cause text NOT NULL, source text NOT NULL, certainty text NOT NULL, collector_id text NOT NULL)`

const postgresIndexes = `CREATE INDEX ON assignment (prefix, port_start, started_at); CREATE INDEX ON assignment (access_ref, started_at); ANALYZE assignment`

// postgresRows is the query that gives the rows as COPY takes them.
const postgresRows = `SELECT concat(replaceOne(toString(prefix_address), '::ffff:', ''), '/', toString(if(startsWith(toString(prefix_address), '::ffff:'), prefix_length - 96, prefix_length))), port_start, port_end, lower(hex(access_ref)), lower(hex(session_id)),
	concat(toString(started_at), '+00'), concat(toString(ended_at), '+00'), concat(toString(assignment_started_at), '+00'), version, end_cause, source, certainty, collector_id
	FROM traffic.assignment_slice FORMAT TabSeparated`

// postgresHolders gives PostgreSQL the rows that the store has, and asks it who
// held an address, with its own pgbench.
func postgresHolders(socket string, f storeFill, scale float64, emit func(result)) (err error) {
	if postgresBin() == "" || os.Geteuid() != 0 || installed("pgbench", "-") != "" {
		fmt.Fprintln(os.Stderr, "bench: store: without PostgreSQL; as root, apt-get install postgresql")
		return nil
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	home := filepath.Join(dir, "pg")
	_, stop, err := startPostgres(home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	psql := func(in io.Reader, sql string) (string, error) {
		cmd := exec.Command(filepath.Join(postgresBin(), "psql"), "-h", home, "-U", postgresUser, "-v", "ON_ERROR_STOP=1", "-Atqc", sql, "postgres")
		cmd.Stdin = in
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("psql: %w\n%s", err, out)
		}
		return strings.TrimSpace(string(out)), err
	}
	for _, sql := range []string{"ALTER SYSTEM SET max_wal_size = '8GB'", "SELECT pg_reload_conf()", postgresTable} {
		if _, err := psql(nil, sql); err != nil {
			return err
		}
	}
	rows, err := tabSeparated(socket, postgresRows)
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintf(os.Stderr, "bench: store: the same %s rows in PostgreSQL\n", scaleName(scale))
	began := time.Now()
	if _, err := psql(rows, "COPY assignment FROM STDIN"); err != nil {
		return err
	}
	if _, err := psql(nil, postgresIndexes); err != nil {
		return err
	}
	took := time.Since(began)
	text, err := psql(nil, "SELECT count(*) || ' ' || pg_total_relation_size('assignment') FROM assignment")
	if err != nil {
		return err
	}
	var n, bytes float64
	if _, err := fmt.Sscan(text, &n, &bytes); err != nil || int(n) != fillDays*f.rows {
		return fmt.Errorf("PostgreSQL has %q rows and bytes, want %d rows: %w", text, fillDays*f.rows, err)
	}
	emit(against("store/postgres_bytes_"+scaleName(scale), bytes/n, "B/row, heap and two indexes", "", 0))
	emit(against("store/postgres_load_"+scaleName(scale), n/took.Seconds(), "rows/s by COPY, then indexes", "", 0))
	latencies, err := pgbench(home, f)
	if err != nil {
		return err
	}
	for _, q := range []float64{0.5, 0.99} {
		emit(against(fmt.Sprintf("store/postgres_who_held_p%g_%s", q*100, scaleName(scale)), quantile(latencies, q), "ms", "", 0))
	}
	return nil
}

// tabSeparated streams what the engine at a socket answers a query.
func tabSeparated(socket, query string) (io.ReadCloser, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	answer, err := client.Post("http://localhost/?"+url.Values{"max_threads": {"1"}}.Encode(), "text/plain", strings.NewReader(query))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		answer.Body.Close()
		return nil, fmt.Errorf("engine: %s", text)
	}
	return answer.Body, nil
}

// pgbench asks the same kinds of question over one connection, prepared, and
// returns how long each took.
func pgbench(home string, f storeFill) ([]time.Duration, error) {
	var script strings.Builder
	const sql = "SELECT access_ref FROM assignment WHERE prefix = ANY ('{%s}') AND port_start <= %d AND port_end >= %d AND started_at > timestamptz '%s' - interval '1 day' AND started_at <= '%[4]s' AND ended_at > '%[4]s';\n"
	args := []string{"-M", "simple", "-n", "-c", "1", "-t", strconv.Itoa(postgresQuestions), "-l", "--log-prefix", filepath.Join(home, "latency")}
	for n := range 100 {
		script.Reset()
		line := rand.IntN(f.lines)
		address, port := publicAddress(line)
		prefix := address.String() + "/32"
		if n%2 == 1 {
			p, _ := delegatedAddress(line, 0).Prefix(56)
			prefix, port = p.String(), 0
		}
		fmt.Fprintf(&script, sql, prefix, port, port, anyInstant().Format("2006-01-02 15:04:05.000+00"))
		path := filepath.Join(home, fmt.Sprintf("ask%d.sql", n))
		if err := os.WriteFile(path, []byte(script.String()), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "-f", path)
	}
	// A hundred scripts, picked by chance: each line is asked about some twenty times.
	cmd := exec.Command("pgbench", append(args, "-h", home, "-U", postgresUser, "postgres")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	logs, err := filepath.Glob(filepath.Join(home, "latency.*"))
	if err != nil || len(logs) != 1 {
		return nil, fmt.Errorf("pgbench left %d logs: %w", len(logs), err)
	}
	log, err := os.Open(logs[0])
	if err != nil {
		return nil, err
	}
	defer log.Close()
	var took []time.Duration
	for lines := bufio.NewScanner(log); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // client, transaction, µs, …
		if len(fields) < 3 {
			continue
		}
		micros, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Duration(micros)*time.Microsecond)
	}
	if len(took) != postgresQuestions {
		return nil, fmt.Errorf("pgbench logged %d questions, want %d", len(took), postgresQuestions)
	}
	return took, nil
}
