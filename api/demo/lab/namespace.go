package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that the lab made: one host of it.
type Namespace struct{ name string }

func addNamespace(ctx context.Context, name string) (Namespace, error) {
	if err := run(ctx, "ip", "netns", "add", name); err != nil {
		return Namespace{}, err
	}
	n := Namespace{name}
	return n, n.Run(ctx, "ip", "link", "set", "lo", "up")
}

func (n Namespace) path() string { return "/run/netns/" + n.name }

// Command returns a command that will run in the namespace. Only the network
// changes: files, bpffs among them, are those of the caller.
func (n Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.path(), "--", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Run runs a command in the namespace to its end.
func (n Namespace) Run(ctx context.Context, name string, args ...string) error {
	_, err := n.Output(ctx, name, args...)
	return err
}

// Output is Run, and returns what the command wrote to its stdout.
func (n Namespace) Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	return output(n.Command(ctx, name, args...))
}

// Do calls f on a thread that is in the namespace, and takes the thread back
// afterwards. It must not end instead: children that it happened to start would
// be told that their parent died (Pdeathsig is of the thread).
func (n Namespace) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer home.Close()
	there, err := os.Open(n.path())
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace: %w", err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave namespace: %w", back)) // the thread stays locked, and is not used again
	}
	runtime.UnlockOSThread()
	return err
}

func run(ctx context.Context, name string, args ...string) error {
	_, err := output(exec.CommandContext(ctx, name, args...))
	return err
}

func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		said := strings.TrimSpace(stderr.String() + " " + string(out))
		return out, errors.Join(fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, clip(said)))
	}
	return out, nil
}

func clip(s string) string {
	if len(s) > 400 {
		return "…" + s[len(s)-400:]
	}
	return s
}
