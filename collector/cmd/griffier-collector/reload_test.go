package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"griffier/schema"
)

// installed is a collector process with a service manager that listens to it.
type installed struct {
	t       *testing.T
	dir     string
	manager *net.UnixConn
	cmd     *exec.Cmd
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const reloadable = `collector_id: edge1
pseudonym_key_file: {dir}/key
radius:
  listen: 127.0.0.1:{port}
  clients: [{prefix: 127.0.0.1, secret_file: {dir}/secret}]
static_lines: []
log_level: info
spool: {dir: {dir}/spool}
store: {socket: {dir}/nothing}
metrics_listen: ''
`

func install(t *testing.T) *installed {
	t.Helper()
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	i := &installed{t: t, dir: dir, log: &lockedBuffer{}}
	if i.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.manager.Close() })
	i.write("key", strings.Repeat("5a", schema.KeyLength))
	i.write("secret", "first")
	return i
}

func (i *installed) write(name, text string) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// configure writes the configuration with one thing replaced.
func (i *installed) configure(port int, old, with string) {
	i.t.Helper()
	text := strings.ReplaceAll(strings.ReplaceAll(reloadable, "{dir}", i.dir), "{port}", fmt.Sprint(port))
	if !strings.Contains(text, old) {
		i.t.Fatalf("the configuration has no %q", old)
	}
	i.write("collector.yaml", strings.Replace(text, old, with, 1))
}

func (i *installed) start() {
	i.t.Helper()
	bin := filepath.Join(i.dir, "griffier-collector")
	build := exec.CommandContext(i.t.Context(), "go", "build", "-trimpath", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		i.t.Fatalf("build: %v\n%s", err, out)
	}
	i.cmd = exec.CommandContext(i.t.Context(), bin, "-config", filepath.Join(i.dir, "collector.yaml"))
	i.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(i.dir, "notify"))
	i.cmd.Stderr = i.log
	if err := i.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		i.cmd.Process.Kill()
		i.cmd.Wait()
		if i.t.Failed() {
			i.t.Log(i.log.String())
		}
	})
	i.hear(`^READY=1$`)
}

// hear waits until the service manager is told what matches, and returns it.
func (i *installed) hear(pattern string) string {
	i.t.Helper()
	want := regexp.MustCompile(pattern)
	buffer := make([]byte, 4096)
	i.manager.SetReadDeadline(time.Now().Add(3 * time.Minute))
	for {
		n, err := i.manager.Read(buffer)
		if err != nil {
			i.t.Fatalf("waiting for %s: %v\n%s", pattern, err, i.log.String())
		}
		if want.Match(buffer[:n]) {
			return string(buffer[:n])
		}
	}
}

// reload sends SIGHUP and waits until it is dealt with.
func (i *installed) reload() {
	i.t.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		i.t.Fatal(err)
	}
	i.hear(`^RELOADING=1\nMONOTONIC_USEC=\d+$`)
	i.hear(`^READY=1$`)
}

// accepts tells whether an accounting request with this secret is acknowledged. One
// that should be is sent again, as a BNG does while the disk takes its time.
func (i *installed) accepts(port int, secret string, should bool) bool {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 5*time.Minute)
	defer cancel()
	tries := "1"
	if should {
		tries = "120"
	}
	cmd := exec.CommandContext(ctx, "radclient", "-r", tries, "-t", "1", fmt.Sprintf("127.0.0.1:%d", port), "acct", secret)
	cmd.Stdin = strings.NewReader(`User-Name = "anna", Acct-Session-Id = "1", Acct-Status-Type = Interim-Update, NAS-Identifier = "b", Framed-IP-Address = 192.0.2.9` + "\n")
	return cmd.Run() == nil
}

func (i *installed) logged(want string) {
	i.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !strings.Contains(i.log.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.t.Fatalf("the log lacks %q:\n%s", want, i.log.String())
		}
	}
}

// freePort is below the ports that the kernel gives by itself, to another test.
func freePort(t *testing.T) int {
	t.Helper()
	var conn *net.UDPConn
	var err error
	for range 50 {
		if conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10_000 + rand.IntN(20_000)}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func TestReload(t *testing.T) {
	i := install(t)
	port := freePort(t)
	i.configure(port, "", "")
	i.start()
	i.hear(`^STATUS=0 sessions, 0 addresses, 0 events/s, spool \d+ .?i?B behind, 0 dropped$`)
	if !i.accepts(port, "first", true) {
		t.Fatal("the first secret is refused")
	}

	// A secret changes although the configuration does not.
	i.write("secret", "second")
	i.reload()
	if i.accepts(port, "first", false) || !i.accepts(port, "second", true) {
		t.Error("the old secret still holds, or the new one does not")
	}

	// What is wrong leaves all as it was, and is named.
	i.configure(port, "log_level: info", "log_level: loud")
	i.write("secret", "third")
	i.reload()
	i.logged("the old one holds")
	i.logged("collector.yaml:7:12: want debug, info, warn or error")
	if !i.accepts(port, "second", true) || i.accepts(port, "third", false) {
		t.Error("a configuration with a mistake was applied in part")
	}
	i.configure(port, "", "")
	if err := os.Remove(filepath.Join(i.dir, "secret")); err != nil {
		t.Fatal(err)
	}
	i.reload()
	i.logged("secret: no such file")
	if !i.accepts(port, "second", true) {
		t.Error("without a secret file the old secret does not hold")
	}
	i.write("secret", "second")

	// A static line begins, and is there after the status line's next turn.
	i.configure(port, "static_lines: []", `static_lines: [{identifier: "static-prefix:192.0.2.64/28", prefixes: [192.0.2.64/28]}]`)
	i.reload()
	i.logged(`"static_lines":1`)
	i.hear(`^STATUS=2 sessions, 2 addresses, `)
	i.configure(port, "", "")
	i.reload()
	i.hear(`^STATUS=1 sessions, 1 addresses, `)

	// The log level follows; what a reload cannot change is named.
	i.configure(port, "log_level: info", "log_level: warn\nreemit_interval: 1m\nmax_slots: 77")
	i.reload()
	i.logged(`"changes that wait for a restart","keys":["max_slots","reemit_interval"]`)
	before := strings.Count(i.log.String(), "configuration reloaded")
	i.reload()
	if after := strings.Count(i.log.String(), "configuration reloaded"); after != before {
		t.Error("level warn still logs what is of level info")
	}
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	i.hear(`^STOPPING=1$`)
	if err := i.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
