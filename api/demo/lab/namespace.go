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

// Do calls f on a thread that is in the namespace. The thread ends with f.
func (n Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread must not be used again
		done <- func() error {
			ns, err := os.Open(n.path())
			if err != nil {
				return fmt.Errorf("enter namespace: %w", err)
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter namespace: %w", err)
			}
			return f()
		}()
	}()
	return <-done
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
