package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// accountingPeer is a server to compare with.
type accountingPeer struct {
	name    string
	missing func() string // how to install it, "" if it is there
	start   func(dir string) (*accountingServer, error)
}

var accountingPeers = []accountingPeer{
	{"FreeRADIUS detail file, no fsync", func() string { return installed("freeradius", "apt-get install freeradius") }, startFreeRADIUSDetail},
	{"FreeRADIUS and PostgreSQL, stock schema", postgresMissing, startFreeRADIUSPostgres},
}

func installed(name, cure string) string {
	if _, err := exec.LookPath(name); err != nil {
		return cure
	}
	return ""
}

const (
	stockSQL     = "/etc/freeradius/3.0/mods-config/sql/main/postgresql/"
	stockPolicy  = "/etc/freeradius/3.0/policy.d/accounting"
	postgresUser = "postgres"
)

func postgresMissing() string {
	const cure = "as root, apt-get install freeradius freeradius-postgresql postgresql"
	for _, path := range []string{stockSQL + "queries.conf", stockSQL + "schema.sql", stockPolicy} {
		if _, err := os.Stat(path); err != nil {
			return cure
		}
	}
	if postgresBin() == "" || os.Geteuid() != 0 {
		return cure
	}
	return installed("freeradius", cure)
}

// postgresBin is the folder of the newest PostgreSQL that Debian installed.
func postgresBin() string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

func startFreeRADIUSDetail(dir string) (*accountingServer, error) {
	detail := filepath.Join(dir, "detail.log")
	s, err := startFreeRADIUS(filepath.Join(dir, "detail"), fmt.Sprintf(`modules {
	detail {
		filename = %s
		permissions = 0600
		header = "%%t"
		locking = no
	}
}`, detail), "", "detail")
	if err != nil {
		return nil, err
	}
	s.recorded = func() (map[string]bool, error) { return detailSessions(detail) }
	return s, nil
}

// startFreeRADIUS runs FreeRADIUS with the given modules alone, and a module for
// accounting.
func startFreeRADIUS(home, modules, preacct, accounting string) (*accountingServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`prefix = /usr
libdir = /usr/lib/freeradius
logdir = %[1]s
raddbdir = %[1]s
run_dir = %[1]s
pidfile = %[1]s/pid
max_requests = 65536
log {
	destination = files
	file = %[1]s/radius.log
}
security {
	allow_core_dumps = no
}
thread pool {
	start_servers = 8
	max_servers = 16
	max_queue_size = 65536
}
client bench {
	ipaddr = 127.0.0.1
	secret = %[3]s
	shortname = bench
}
%[4]s
server default {
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = %[2]d
	}
	preacct {
		%[5]s
	}
	accounting {
		%[6]s
	}
}
`, home, port, accountingSecret, modules, preacct, accounting)
	if err := os.WriteFile(filepath.Join(home, "radiusd.conf"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &accountingServer{name: "freeradius " + accounting, address: fmt.Sprintf("127.0.0.1:%d", port)}
	if err := s.begin("freeradius", "-f", "-d", home, "-n", "radiusd"); err != nil {
		log, _ := os.ReadFile(filepath.Join(home, "radius.log"))
		return nil, errors.Join(err, errors.New(string(log)))
	}
	return s, nil
}

// detailSessions returns the Acct-Session-Ids in a detail file.
func detailSessions(path string) (map[string]bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if _, id, ok := strings.Cut(lines.Text(), "Acct-Session-Id = "); ok {
			found[strings.Trim(id, `"`)] = true
		}
	}
	return found, lines.Err()
}

// startFreeRADIUSPostgres runs a PostgreSQL of its own, as Debian configures it,
// on a unix socket, and FreeRADIUS with the stock schema and queries.
func startFreeRADIUSPostgres(dir string) (s *accountingServer, err error) {
	home := filepath.Join(dir, "pg")
	run, stop, err := startPostgres(home)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if _, err := run("psql", "-h", home, "-qc", "CREATE DATABASE radius", "postgres"); err != nil {
		return nil, err
	}
	schema, err := os.ReadFile(stockSQL + "schema.sql")
	if err != nil {
		return nil, err
	}
	if _, err := run("psql", "-h", home, "-qc", string(schema), "radius"); err != nil {
		return nil, err
	}
	s, err = startFreeRADIUS(filepath.Join(dir, "sql"), fmt.Sprintf(`modules {
	expr {
	}
	sql {
		driver = "rlm_sql_postgresql"
		dialect = "postgresql"
		radius_db = "host=%s dbname=radius user=%s"
		acct_table1 = "radacct"
		acct_table2 = "radacct"
		postauth_table = "radpostauth"
		authcheck_table = "radcheck"
		groupcheck_table = "radgroupcheck"
		authreply_table = "radreply"
		groupreply_table = "radgroupreply"
		usergroup_table = "radusergroup"
		client_table = "nas"
		group_attribute = "SQL-Group"
		read_clients = no
		pool {
			start = 16
			min = 16
			max = 16
			spare = 16
			uses = 0
			lifetime = 0
			idle_timeout = 0
		}
		$INCLUDE %squeries.conf
	}
}
policy {
	$INCLUDE %s
}
instantiate {
	expr
}`, home, postgresUser, stockSQL, stockPolicy), "acct_unique", "sql")
	if err != nil {
		return nil, err
	}
	s.stop = stop
	s.recorded = func() (map[string]bool, error) {
		out, err := run("psql", "-h", home, "-Atc", "SELECT acctsessionid FROM radacct", "radius")
		if err != nil {
			return nil, err
		}
		found := map[string]bool{}
		for id := range strings.Lines(out) {
			found[strings.TrimSpace(id)] = true
		}
		return found, nil
	}
	return s, nil
}

// startPostgres makes a database cluster in home, which the database's user owns,
// and runs it. run runs one of its programs as that user.
func startPostgres(home string) (run func(name string, args ...string) (string, error), stop func() error, err error) {
	account, err := user.Lookup(postgresUser)
	if err != nil {
		return nil, nil, err
	}
	uid, errUID := strconv.Atoi(account.Uid)
	gid, errGID := strconv.Atoi(account.Gid)
	if err := errors.Join(errUID, errGID, os.Mkdir(home, 0o755), os.Chmod(filepath.Dir(home), 0o755), os.Chown(home, uid, gid)); err != nil {
		return nil, nil, err
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(postgresBin(), name), args...)
		cmd.Dir, cmd.Env = home, []string{"PATH=/usr/bin", "LC_ALL=C.UTF-8", "HOME=" + home}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	run = func(name string, args ...string) (string, error) {
		out, err := command(name, args...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		return string(out), nil
	}
	data := filepath.Join(home, "data")
	if _, err := run("initdb", "-A", "trust", "-U", postgresUser, "-D", data); err != nil {
		return nil, nil, err
	}
	server := command("postgres", "-D", data, "-k", home, "-c", "listen_addresses=")
	if err := server.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() error {
		err := server.Process.Signal(os.Interrupt) // fast shutdown
		server.Wait()
		return err
	}
	for range 100 {
		if _, err = run("pg_isready", "-h", home); err == nil {
			return run, stop, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, nil, err
}
