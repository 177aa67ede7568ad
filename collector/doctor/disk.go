package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fsyncs    = 16
	slowFsync = 20 * time.Millisecond // RADIUS is answered after one
)

// checkDisk looks at room and speed where the spool is.
func checkDisk(_ context.Context, s *system) Finding {
	dir := existing(s.config.Spool.Dir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return Finding{Status: Fail, Found: dir + " cannot be looked at", Cause: err.Error(), Cure: "run the doctor as root or as the collector's user"}
	}
	free, used := int64(fs.Bavail)*fs.Bsize, folderBytes(s.config.Spool.Dir)
	missing := int64(s.config.Spool.MaxBytes) - used - free
	took, err := timeFsyncs(dir)
	switch {
	case errors.Is(err, unix.EROFS):
		return Finding{Status: Fail, Found: dir + " is on a read-only file system", Cause: "nothing can be made durable, so nothing is acknowledged",
			Cure: "look for disk errors in dmesg, repair, and mount it writable again"}
	case err != nil:
		return Finding{Status: Fail, Found: dir + " cannot be written to", Cause: err.Error(),
			Cure: "give the folder to the collector's user: chown griffier-collector: " + dir}
	case missing > 0:
		status := Warn
		if free < int64(s.config.Spool.MaxBytes)/10 {
			status = Fail
		}
		return Finding{Status: status, Found: fmt.Sprintf("%d MiB free at %s", free>>20, dir),
			Cause: fmt.Sprintf("spool.max_bytes promises %d MiB more than there is", missing>>20+1),
			Cure:  "free the space, or lower spool.max_bytes"}
	case took[len(took)/2] > slowFsync:
		return Finding{Status: Warn, Found: fmt.Sprintf("an fsync at %s takes %v (median), %v at most", dir, round(took[len(took)/2]), round(took[len(took)-1])),
			Cause: "RADIUS requests are answered after an fsync; a NAS repeats what is answered late",
			Cure:  "put the spool on an SSD, or see what else writes to this disk: iostat -x 1"}
	}
	return pass("%d MiB free at %s; fsync %v (median), %v at most", free>>20, dir, round(took[len(took)/2]), round(took[len(took)-1]))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// timeFsyncs writes pages to a file without a name and returns how long making
// each durable took, sorted.
func timeFsyncs(dir string) ([]time.Duration, error) {
	f, err := os.OpenFile(dir, os.O_WRONLY|unix.O_TMPFILE, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // a file system without such files
		if f, err = os.CreateTemp(dir, "doctor-*.tmp"); err == nil {
			defer os.Remove(f.Name())
		}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	page := make([]byte, 4096)
	var took []time.Duration
	for range fsyncs {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, nil
}

// folderBytes is the size of the files in a folder; 0 if it cannot be read.
func folderBytes(dir string) (total int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
	}
	return total
}
