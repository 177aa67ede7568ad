package dist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// machine is a Debian that systemd has booted: this host's own files below an
// overlay that is thrown away, in namespaces of its own, without a network but
// for the access link eth1.
type machine struct {
	t          *testing.T
	root       string
	subscriber string // network namespace at the other end of eth1
	leader     int    // process id of its systemd
	console    *lockedBuffer
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

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// unmount is for cleaning up, when the test's context has ended.
func unmount(t *testing.T, path string) {
	if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
		t.Errorf("umount %s: %v\n%s", path, err, out)
	}
}

// boot makes the machine and waits until its systemd has nothing left to start.
func boot(t *testing.T) *machine {
	t.Helper()
	nspawn, err := exec.LookPath("systemd-nspawn")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and systemd-nspawn (Debian: systemd-container), to boot a machine")
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	command(t, "mount", "-t", "tmpfs", "-o", "mode=0755,size=3g", "tmpfs", dir)
	t.Cleanup(func() { unmount(t, dir) })
	m := &machine{t: t, root: filepath.Join(dir, "root"), subscriber: fmt.Sprintf("griffier-m%d", os.Getpid()), console: &lockedBuffer{}}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "mount", "-t", "overlay", "-o", fmt.Sprintf("lowerdir=/,upperdir=%[1]s/upper,workdir=%[1]s/work", dir), "overlay", m.root)
	t.Cleanup(func() { unmount(t, m.root) })
	m.strip()

	cmd := exec.Command(nspawn, "--quiet", "--directory="+m.root, fmt.Sprintf("--machine=griffier-%d", os.Getpid()), "--register=no",
		"--keep-unit", "--private-network", "--capability=all", "--console=pipe", "--boot")
	// A router has no filter of system calls around its systemd: the unit's own counts.
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_SECCOMP=0")
	cmd.Stdout, cmd.Stderr = m.console, m.console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if m.leader != 0 {
			syscall.Kill(m.leader, syscall.Signal(34+4)) // SIGRTMIN+4: poweroff.target, systemd(1)
		} else {
			cmd.Process.Signal(syscall.SIGTERM)
		}
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			if m.leader != 0 {
				syscall.Kill(m.leader, syscall.SIGKILL)
			}
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("console:\n%s", m.console.String())
		}
	})
	m.wait("the machine's first process", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if err != nil || strings.TrimSpace(string(text)) == "" {
			return false
		}
		fmt.Sscan(string(text), &m.leader)
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.leader))
		return err == nil && strings.HasPrefix(string(name), "systemd")
	})
	m.wait("a started system", func() bool {
		out, _ := m.try("systemctl is-system-running")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
	command(t, "ip", "netns", "add", m.subscriber)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", m.subscriber).Run() })
	command(t, "ip", "-n", m.subscriber, "link", "add", "wan", "type", "veth", "peer", "name", "eth1", "netns", fmt.Sprint(m.leader))
	command(t, "ip", "-n", m.subscriber, "address", "add", "100.64.0.11/24", "dev", "wan")
	command(t, "ip", "-n", m.subscriber, "link", "set", "wan", "up")
	m.run("ip link set lo up; ip address add 100.64.0.1/24 dev eth1; ip link set eth1 up")
	return m
}

// strip leaves nothing of this host's services.
func (m *machine) strip() {
	for _, pattern := range []string{"etc/systemd/system/*.wants/*", "etc/rc?.d/S*", "etc/cron*", "usr/sbin/policy-rc.d", "etc/griffier", "var/lib/griffier*", "var/lib/dpkg/updates/*"} {
		found, err := filepath.Glob(filepath.Join(m.root, pattern))
		if err != nil {
			m.t.Fatal(err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	m.write("etc/machine-id", "")
	m.write("etc/fstab", "")
	os.Remove(filepath.Join(m.root, "etc/systemd/system/default.target"))
	if err := os.Symlink("/lib/systemd/system/multi-user.target", filepath.Join(m.root, "etc/systemd/system/default.target")); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.root, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// try runs a shell script in the machine.
func (m *machine) try(script string) (string, error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(m.leader), "-m", "-u", "-i", "-n", "-p", "sh", "-e", "-c", "cd /root\n"+script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is try that has to work.
func (m *machine) run(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		journal, _ := m.try("journalctl --no-pager -n 40 -u 'griffier*'")
		m.t.Fatalf("%s\n%v\n%s\n%s", script, err, out, journal)
	}
	return out
}

// show is a property of a unit.
func (m *machine) show(unit, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl show --value -p " + property + " " + unit))
}

func (m *machine) wait(what string, done func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited for %s in vain; console:\n%s", what, m.console.String())
		}
	}
}

// lead has a TCP port in the machine lead to a unix socket of this host.
func (m *machine) lead(address, socket string) {
	m.t.Helper()
	l := m.listen(address)
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	m.t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			open[in], open[out] = true, true
			mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				all.Go(func() {
					io.Copy(way[1], way[0])
					in.Close()
					out.Close()
				})
			}
		}
	})
}

func (m *machine) listen(address string) net.Listener {
	m.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		m.t.Fatal(err)
	}
	defer home.Close()
	there, err := netns.GetFromPid(m.leader)
	if err != nil {
		m.t.Fatal(err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		m.t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if back := netns.Set(home); back != nil {
		panic(errors.Join(back, err)) // the thread must not serve anything else
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}
