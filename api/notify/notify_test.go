package notify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager listens as a service manager does.
func manager(t *testing.T, name string) (*net.UnixConn, func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 4096)
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}

func environment(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestMessages(t *testing.T) {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{filepath.Join(dir, "notify"), "@griffierd-notify-" + strconv.Itoa(os.Getpid())} {
		_, read := manager(t, name)
		m, err := Connect(environment("NOTIFY_SOCKET", name, "WATCHDOG_USEC", "30000000", "WATCHDOG_PID", strconv.Itoa(os.Getpid())))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if m.Watchdog() != 30*time.Second {
			t.Errorf("watchdog %v, want 30s", m.Watchdog())
		}
		for _, x := range []struct {
			send func() error
			want string
		}{
			{m.Ready, "READY=1"},
			{func() error { return m.Status("3 sessions\n0 dropped") }, "STATUS=3 sessions 0 dropped"},
			{m.Alive, "WATCHDOG=1"},
			{m.Stopping, "STOPPING=1"},
		} {
			if err := x.send(); err != nil {
				t.Fatal(err)
			}
			if have := read(); have != x.want {
				t.Errorf("manager read %q, want %q", have, x.want)
			}
		}
		if err := m.Reloading(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(read(), "\n")
		if len(lines) != 2 || lines[0] != "RELOADING=1" {
			t.Fatalf("manager read %q", lines)
		}
		micros, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "MONOTONIC_USEC="), 10, 64)
		if err != nil || micros <= 0 {
			t.Errorf("monotonic time in %q: %v", lines[1], err)
		}
	}
}

func TestNoManager(t *testing.T) {
	m, err := Connect(environment())
	if m != nil || err != nil {
		t.Fatalf("Connect = %v, %v, want none", m, err)
	}
	for _, send := range []func() error{m.Ready, m.Reloading, m.Stopping, m.Alive, m.Close, func() error { return m.Status("x") }} {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
	if m.Watchdog() != 0 {
		t.Error("a watchdog without a manager")
	}
	if _, err := Connect(environment("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "absent"))); err == nil {
		t.Error("a socket that is not there was accepted")
	}
}

func TestWatchdogOfAnotherProcess(t *testing.T) {
	name := "@griffierd-watchdog-" + strconv.Itoa(os.Getpid())
	manager(t, name)
	for _, env := range [][]string{
		{"WATCHDOG_USEC", "30000000", "WATCHDOG_PID", "1"},
		{"WATCHDOG_USEC", "x"}, {"WATCHDOG_USEC", "0"}, {"WATCHDOG_USEC", "-5"}, {},
	} {
		m, err := Connect(environment(append(env, "NOTIFY_SOCKET", name)...))
		if err != nil {
			t.Fatal(err)
		}
		if m.Watchdog() != 0 {
			t.Errorf("%v: watchdog %v, want none", env, m.Watchdog())
		}
		m.Close()
	}
}
