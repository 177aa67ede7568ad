package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ledgerPeer keeps the same entries.
type ledgerPeer struct {
	name   string
	append func(writers, entries int) ([]time.Duration, time.Duration, error)
	verify func() (perSecond float64, err error) // nil if there is nothing to verify
}

// ledgerSchema is a hash chain as one who knows PostgreSQL would make it: one row
// holds the end of the chain, and is locked by who appends until that is committed,
// since a chain has one end. The plain table has the same columns, and no chain.
const ledgerSchema = `
CREATE TABLE ledger (id bigint PRIMARY KEY, at timestamptz NOT NULL, header text NOT NULL, body bytea NOT NULL, hash bytea NOT NULL);
CREATE TABLE chain (id bigint NOT NULL, hash bytea NOT NULL);
INSERT INTO chain VALUES (0, sha256(''));
CREATE TABLE plain (id bigserial PRIMARY KEY, at timestamptz NOT NULL, header text NOT NULL, body bytea NOT NULL);
CREATE FUNCTION append(h text, b bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE last chain; next bytea;
BEGIN
	SELECT * INTO last FROM chain FOR UPDATE;
	next := sha256(last.hash || convert_to(h, 'UTF8') || b);
	INSERT INTO ledger VALUES (last.id + 1, clock_timestamp(), h, b, next);
	UPDATE chain SET id = last.id + 1, hash = next;
	RETURN last.id + 1;
END $$`

const ledgerChainCheck = `SELECT count(*) || ' ' || count(*) FILTER (WHERE hash = sha256(coalesce(before, sha256('')) || convert_to(header, 'UTF8') || body))
	FROM (SELECT header, body, hash, lag(hash) OVER (ORDER BY id) AS before FROM ledger) AS t`

// startLedgerPeers starts PostgreSQL with both tables; no peers if it is not there.
func startLedgerPeers(leaf []byte) (peers []ledgerPeer, stop func() error, err error) {
	if postgresBin() == "" || os.Geteuid() != 0 || installed("pgbench", "-") != "" {
		fmt.Fprintln(os.Stderr, "bench: ledger: without PostgreSQL; as root, apt-get install postgresql")
		return nil, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return nil, nil, err
	}
	home := filepath.Join(dir, "pg")
	_, halt, err := startPostgres(home)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() error { return errors.Join(halt(), os.RemoveAll(dir)) }
	psql := func(sql string) (string, error) {
		out, err := exec.Command(filepath.Join(postgresBin(), "psql"), "-h", home, "-U", postgresUser, "-v", "ON_ERROR_STOP=1", "-Atqc", sql, "postgres").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("psql: %w\n%s", err, out)
		}
		return strings.TrimSpace(string(out)), err
	}
	if on, err := psql("SHOW synchronous_commit"); err != nil || on != "on" {
		return nil, nil, errors.Join(fmt.Errorf("synchronous_commit is %q: %w", on, err), stop())
	}
	if _, err := psql(ledgerSchema); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	header, body := ledgerText(leaf)
	with := func(name, sql string) ledgerPeer {
		script := filepath.Join(home, strings.Fields(sql)[0]+".sql")
		return ledgerPeer{name: name, append: func(writers, entries int) ([]time.Duration, time.Duration, error) {
			if err := os.WriteFile(script, []byte(fmt.Sprintf(sql, header, body)), 0o644); err != nil {
				return nil, 0, err
			}
			return pgbenchAppend(home, script, writers, entries)
		}}
	}
	chained := with("PostgreSQL, a hash-chained table, synchronous commit", "SELECT append(convert_from('%s', 'UTF8'), '%s');\n")
	chained.verify = func() (float64, error) {
		began := time.Now()
		text, err := psql(ledgerChainCheck)
		took := time.Since(began)
		var rows, right float64
		if err == nil {
			_, err = fmt.Sscan(text, &rows, &right)
		}
		if err != nil || rows == 0 || rows != right {
			return 0, fmt.Errorf("the chain: %q: %w", text, err)
		}
		return rows / took.Seconds(), nil
	}
	plain := with("PostgreSQL, a plain table that proves nothing, synchronous commit", "INSERT INTO plain (at, header, body) VALUES (clock_timestamp(), convert_from('%s', 'UTF8'), '%s');\n")
	return []ledgerPeer{chained, plain}, stop, nil
}

// pgbenchAppend runs a script by many clients, prepared, and gives how long each
// transaction and all together took.
func pgbenchAppend(home, script string, writers, entries int) ([]time.Duration, time.Duration, error) {
	logs := filepath.Join(home, "append")
	began := time.Now()
	cmd := exec.Command("pgbench", "-M", "prepared", "-n", "-c", strconv.Itoa(writers), "-j", "2", "-t", strconv.Itoa(entries/writers),
		"-l", "--log-prefix", logs, "-f", script, "-h", home, "-U", postgresUser, "postgres")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, 0, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	took := time.Since(began)
	paths, err := filepath.Glob(logs + ".*")
	if err != nil {
		return nil, 0, err
	}
	var latencies []time.Duration
	var first, last time.Time
	for _, path := range paths {
		log, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		for lines := bufio.NewScanner(log); lines.Scan(); {
			f := strings.Fields(lines.Text()) // client, transaction, µs, script, end in s, and µs of it
			if len(f) < 6 {
				continue
			}
			micros, err := strconv.ParseInt(f[2], 10, 64)
			sec, errSec := strconv.ParseInt(f[4], 10, 64)
			part, errPart := strconv.ParseInt(f[5], 10, 64)
			if err := errors.Join(err, errSec, errPart); err != nil {
				return nil, 0, err
			}
			end, latency := time.Unix(sec, part*1000), time.Duration(micros)*time.Microsecond
			if start := end.Add(-latency); first.IsZero() || start.Before(first) {
				first = start
			}
			if end.After(last) {
				last = end
			}
			latencies = append(latencies, latency)
		}
		if err := errors.Join(log.Close(), os.Remove(path)); err != nil {
			return nil, 0, err
		}
	}
	if want := entries / writers * writers; len(latencies) != want {
		return nil, 0, fmt.Errorf("pgbench logged %d of %d transactions", len(latencies), want)
	}
	// Connecting is not appending.
	return latencies, min(took, last.Sub(first)), nil
}
