// Package notify tells the service manager how the process is doing, as
// sd_notify(3) describes it: datagrams to the unix socket NOTIFY_SOCKET. The
// collector has the same code: neither imports the other, and it is too small to
// be a tree of its own.
package notify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Manager is the service manager. A nil Manager stands for none, and takes
// everything.
type Manager struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// Connect finds the service manager in the environment; there may be none, which
// is no error. It is called once, at the start.
func Connect(getenv func(string) string) (*Manager, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	// A leading @ is an abstract socket, to the service manager as to Go.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("service manager: %w", err)
	}
	m := &Manager{conn: conn}
	micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if pid := getenv("WATCHDOG_PID"); err == nil && micros > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.watchdog = time.Duration(micros) * time.Microsecond
	}
	return m, nil
}

// Watchdog is how long the service manager waits for [Manager.Alive] before it
// restarts the process; 0 if it does not.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Ready says that the start, or a reload, is complete.
func (m *Manager) Ready() error { return m.send("READY=1") }

// Reloading says that the configuration is being read again. Ready ends it.
func (m *Manager) Reloading() error {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return m.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(t.Nano()/1000, 10))
}

// Stopping says that the end has begun.
func (m *Manager) Stopping() error { return m.send("STOPPING=1") }

// Alive feeds the watchdog.
func (m *Manager) Alive() error { return m.send("WATCHDOG=1") }

// Status sets the line that `systemctl status` shows.
func (m *Manager) Status(line string) error {
	return m.send("STATUS=" + strings.ReplaceAll(line, "\n", " "))
}

func (m *Manager) send(lines ...string) error {
	if m == nil {
		return nil
	}
	if _, err := m.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}

// Close ends the connection.
func (m *Manager) Close() error {
	if m == nil {
		return nil
	}
	return m.conn.Close()
}
