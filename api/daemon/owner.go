package daemon

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Owned is an error if this is root and the folders that the configuration names are
// another user's, as a package makes them: that user could not read what root writes
// there, and griffierd would not start again.
func (c Config) Owned() error {
	return ownedBy(os.Geteuid(), c.Keys.Dir, c.Ledger.Dir, c.Store.DataDir, c.Legal.PackagesDir)
}

func ownedBy(uid int, folders ...string) error {
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err != nil || uid != 0 {
			continue
		}
		if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid != 0 {
			name := strconv.FormatUint(uint64(of.Uid), 10)
			if u, err := user.LookupId(name); err == nil {
				name = u.Username
			}
			return fmt.Errorf("%s is %s's, who could not read what root writes there: begin with runuser -u %s --", folder, name, name)
		}
	}
	return nil
}
