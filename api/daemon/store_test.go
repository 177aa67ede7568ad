package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griffier/schema/engine/enginetest"
)

// lend gives an engine's socket a TCP port on loopback: a server, as far as a DSN
// can tell.
func lend(t *testing.T, socket string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	t.Cleanup(relays.Wait)
	t.Cleanup(func() { l.Close() })
	relays.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := net.Dial("unix", socket)
			if err != nil {
				outside.Close()
				continue
			}
			relays.Go(func() { io.Copy(inside, outside); inside.Close() })
			relays.Go(func() { io.Copy(outside, inside); outside.Close() })
		}
	})
	return l.Addr().String()
}

func secretFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A DSN has a password: a file of one that others may read is refused, and not quoted.
func TestDSNIsASecret(t *testing.T) {
	open := secretFile(t, "operator", "clickhouse://griffier_operator:hunter2@127.0.0.1:1/default\n")
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	c := StoreConfig{DSN: open}
	_, err := openStore(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "chmod 600 "+open) || !strings.Contains(err.Error(), "dsn_file") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("openStore = %v", err)
	}
	if err := (StoreSetup{AdminDSN: open}).Setup(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("Setup = %v", err)
	}
}

func TestOpenStoreByDSN(t *testing.T) {
	dsn := "http://" + lend(t, enginetest.Start(t).Socket) + "/default"
	c := StoreConfig{DSN: secretFile(t, "operator", dsn+"?max_threads=3\n"), PortalDSN: secretFile(t, "portal", dsn+"?max_threads=1")}
	log := slog.New(slog.DiscardHandler)
	s, err := openStore(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	var threads, tables uint64
	if err := s.portal.QueryRow(t.Context(), "SELECT toUInt64(value) FROM system.settings WHERE name = 'max_threads'").Scan(&threads); err != nil || threads != 1 {
		t.Errorf("the portal has %d threads (%v), want its own DSN's 1", threads, err)
	}
	if s.executor != s.operator {
		t.Error("without a DSN of its own the executor is not the operator")
	}
	if err := s.executor.QueryRow(t.Context(), "SELECT count() FROM traffic.schema_migration").Scan(&tables); err != nil || tables < 19 {
		t.Errorf("%d migrations (%v)", tables, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]StoreConfig{
		"no such DSN file":      {DSN: filepath.Join(t.TempDir(), "none")},
		"no such portal file":   {DSN: c.DSN, PortalDSN: filepath.Join(t.TempDir(), "none")},
		"a portal without TLS":  {DSN: c.DSN, PortalDSN: secretFile(t, "p", "clickhouse://u:hunter2@192.0.2.1:9000/")},
		"a cluster that is not": {DSN: c.DSN, Cluster: "isp"},
	} {
		if s, err := openStore(t.Context(), c, log); err == nil {
			s.stop()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStoreSetupPrints(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	dir := t.TempDir()
	var said bytes.Buffer
	one := StoreConfig{DSN: "unused"}
	if err := (StoreSetup{Print: true, Networks: networks}).Setup(t.Context(), one, &said); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CREATE DATABASE IF NOT EXISTS traffic;", "ENGINE = ReplacingMergeTree(version)", "GRANT SELECT ON traffic.session TO griffier_portal;", "HOST IP '192.0.2.0/24'"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("one server: no %q", want)
		}
	}
	cluster := StoreConfig{DSN: "unused", Cluster: "{cluster}"}
	setup := StoreSetup{Print: true, Networks: networks, Nodes: networks, PasswordDir: dir}
	if err := setup.Setup(t.Context(), cluster, &said); err == nil {
		t.Error("printing made passwords")
	}
	if _, err := passwords(dir, true); err != nil {
		t.Fatal(err)
	}
	before, err := passwords(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	said.Reset()
	if err := setup.Setup(t.Context(), cluster, &said); err != nil {
		t.Fatal(err)
	}
	for role, sum := range before {
		if !strings.Contains(said.String(), strings.ToUpper(sum)) {
			t.Errorf("%s: the password that is there is not the one that counts", role)
		}
		info, err := os.Stat(filepath.Join(dir, string(role)+".password"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want a file for its owner only", role, info, err)
		}
	}
	if !strings.Contains(said.String(), "ENGINE = Distributed('{cluster}', 'traffic', 'session_slice_local'") {
		t.Error("no Distributed table for a cluster")
	}
	if err := os.WriteFile(filepath.Join(dir, "portal.password"), []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]error{
		"a short password":          setup.Setup(t.Context(), cluster, io.Discard),
		"the embedded engine":       StoreSetup{Print: true}.Setup(t.Context(), StoreConfig{Socket: "s"}, io.Discard),
		"a cluster without nodes":   StoreSetup{Print: true}.Setup(t.Context(), cluster, io.Discard),
		"an administrator's absent": StoreSetup{AdminDSN: filepath.Join(dir, "none")}.Setup(t.Context(), one, io.Discard),
	} {
		if try == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestStoreSetupStops: the embedded engine keeps no users, so the setup makes the
// schema, stops at the first role, and says which statement that was.
func TestStoreSetupStops(t *testing.T) {
	database := enginetest.Start(t)
	admin := secretFile(t, "admin", "http://"+lend(t, database.Socket)+"/default")
	var said bytes.Buffer
	err := StoreSetup{AdminDSN: admin}.Setup(t.Context(), StoreConfig{DSN: "unused"}, &said)
	if err == nil || !strings.Contains(err.Error(), "roles: statement 1 of ") {
		t.Errorf("%v, want the first statement about roles", err)
	}
	if !strings.Contains(said.String(), "migrating 0001_traffic\n") {
		t.Errorf("it said %q", said.String())
	}
	var tables uint64
	if err := database.Open(t, "default").QueryRow(t.Context(), "SELECT count() FROM traffic.schema_migration").Scan(&tables); err != nil || tables < 19 {
		t.Errorf("%d migrations (%v)", tables, err)
	}
}

func TestStoreConfigRefuses(t *testing.T) {
	for name, c := range map[string]StoreConfig{
		"are about a server": {DataDir: "d", Socket: "s", PortalDSN: "p"},
		"want a name of":     {DSN: "d", Cluster: "a b"},
		"or dsn_file":        {DataDir: "d", Socket: "s", DSN: "d"},
	} {
		if err := (&Config{Store: c}).validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v, want %q", c, err, name)
		}
	}
}
