package document

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// DefaultScanLimit is how long a scan may take when nothing else is said.
const DefaultScanLimit = time.Minute

// infected is the exit status with which scanners say that they found something
// (clamdscan(1), and every other that is known).
const infected = 1

// Scanner runs a command that reads a document on its standard input and says by
// its exit status what it thinks: 0 for nothing found, 1 for something. Anything
// else, a signal or too long a time is no verdict, and without one nothing is kept.
// The zero Scanner scans nothing.
type Scanner struct {
	Command []string      // program, by its absolute path, and arguments
	Limit   time.Duration // 0: [DefaultScanLimit]
}

// Scan returns what the command said.
func (s Scanner) Scan(ctx context.Context, data []byte) (warrant.Scan, error) {
	if len(s.Command) == 0 {
		return warrant.NotScan, nil
	}
	limit := s.Limit
	if limit <= 0 {
		limit = DefaultScanLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	c.Stdin = bytes.NewReader(data)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"} // no secret of ours
	c.Dir = "/"
	// Its children too: what a scanner unpacks with must not outlive it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", &reason.Error{Reason: reason.DocumentRefused, Detail: "The scanner did not finish in time; nothing was kept. Operations must see to it.", Cause: ctx.Err()}
	case errors.As(err, &exit) && exit.ExitCode() == infected:
		return "", refused("The scanner found something in it; nothing was kept.")
	case err != nil && !errors.Is(err, syscall.EPIPE): // it may decide before it has read everything
		return "", &reason.Error{Reason: reason.DocumentRefused, Detail: "The scanner gave no verdict; nothing was kept. Operations must see to it.",
			Cause: fmt.Errorf("scan: %w", err)}
	}
	return warrant.ScanClean, nil
}
