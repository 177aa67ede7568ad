package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// reportEvery is the pause between two progress lines.
const reportEvery = 3 * time.Second

// reportGrowth prints how much has arrived since it began in whichever of the
// folders has grown most, until stop is called. On a terminal one line is
// rewritten.
func reportGrowth(to io.Writer, total int64, dirs ...string) (stop func()) {
	terminal := isTerminal(to)
	before := make([]int64, len(dirs))
	for i, dir := range dirs {
		before[i] = folderBytes(dir)
	}
	finished := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		shown := false
		var got int64
		for {
			select {
			case <-finished:
				if terminal && shown {
					fmt.Fprintln(to)
				}
				return
			case <-tick.C:
			}
			for i, dir := range dirs {
				got = max(got, min(folderBytes(dir)-before[i], total))
			}
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

// folderBytes is the size of the files under a folder; 0 if there is none.
func folderBytes(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went away while we looked
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// npmContent is where npm keeps what it downloads, or a folder that does not
// exist if npm does not say.
func npmContent(ctx context.Context, npm string) string {
	out, err := exec.CommandContext(ctx, npm, "config", "get", "cache").Output()
	if err != nil {
		return ""
	}
	return filepath.Join(strings.TrimSpace(string(out)), "_cacache")
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
