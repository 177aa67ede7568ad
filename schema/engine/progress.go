package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// reportEvery is the pause between two progress lines.
const reportEvery = 3 * time.Second

// reportGrowth prints how much has arrived in dir since it began, until stop is
// called. On a terminal one line is rewritten. It prints nothing about a folder
// it does not know.
func reportGrowth(to io.Writer, dir string, total int64) (stop func()) {
	if dir == "" {
		return func() {}
	}
	terminal := isTerminal(to)
	before := fileSize(dir)
	finished := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-finished:
				if terminal && shown {
					fmt.Fprintln(to)
				}
				return
			case <-tick.C:
			}
			got := min(max(fileSize(dir)-before, 0), total)
			line := fmt.Sprintf("engine: %d of %d MB (%d %%)", got/1_000_000, total/1_000_000, got*100/total)
			if terminal {
				fmt.Fprintf(to, "\r%s", line)
				shown = true
			} else {
				fmt.Fprintln(to, line)
			}
		}
	}()
	return func() {
		close(finished)
		<-gone
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// npmScratch is where npm puts a download while it runs, or "" if npm does not
// say.
func npmScratch(ctx context.Context, npm string) string {
	out, err := exec.CommandContext(ctx, npm, "config", "get", "cache").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || !filepath.IsAbs(dir) {
		return ""
	}
	return filepath.Join(dir, "_cacache", "tmp")
}

// lockPause is the time between attempts to take a lock that another has.
const lockPause = 200 * time.Millisecond

// waitForLock takes an advisory lock on a file, waiting for whoever has it.
func waitForLock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("engine: fetch: %w", err)
	}
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("engine: fetch: lock: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("engine: fetch: wait for another download: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
