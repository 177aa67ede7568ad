package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"griffier/bpf"
)

// checkPins looks at what a collector left in the kernel, and whether it is
// still in place.
func checkPins(_ context.Context, s *system) Finding {
	if s.config.PinDir == "" {
		return skip("pin_dir is empty")
	}
	entries, err := os.ReadDir(s.config.PinDir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return pass("nothing is pinned: no collector has run here since the last boot")
	}
	if err != nil {
		return Finding{Status: Warn, Found: "pins cannot be listed", Cause: err.Error(), Cure: "run the doctor as root"}
	}
	current := fmt.Sprintf("v%d", bpf.ABIVersion)
	var others []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != current {
			others = append(others, e.Name())
		}
	}
	if hook, err := bpf.Chosen(); err == nil && hook != bpf.HookTCX {
		return pass("counters are pinned; the filters belong to the interfaces: tc filter show dev %s ingress", s.config.Interfaces[0].Name)
	}
	var gone []string
	for _, i := range s.config.Interfaces {
		l, err := netlink.LinkByName(i.Name)
		if err != nil {
			return Finding{Status: Fail, Found: i.Name + " cannot be found", Cause: err.Error(), Cure: "run the doctor in the collector's network namespace"}
		}
		for _, direction := range []bpf.Direction{bpf.Up, bpf.Down} {
			attached, err := attachedAt(filepath.Join(s.config.PinDir, current, fmt.Sprintf("link_%d_%s", l.Attrs().Index, direction)))
			if errors.Is(err, unix.EPERM) || errors.Is(err, os.ErrPermission) {
				return Finding{Status: Warn, Found: "pins cannot be read", Cause: err.Error(), Cure: "run the doctor as root"}
			}
			if err != nil || attached != l.Attrs().Index {
				gone = append(gone, fmt.Sprintf("%s %s", i.Name, direction))
			}
		}
	}
	switch {
	case len(gone) > 0:
		return Finding{Status: Fail, Found: "no program is in place at " + strings.Join(gone, ", "),
			Cause: "the interface was made again or reconfigured, or somebody detached the program: nothing is counted there",
			Cure:  "restart the collector: systemctl restart griffier-collector"}
	case len(others) > 0:
		return Finding{Status: Warn, Found: "pins of another version: " + strings.Join(others, ", "),
			Cause: "they keep memory, and their programs go on counting beside this version's",
			Cure:  "when no collector of that version runs any more: rm -r " + filepath.Join(s.config.PinDir, others[0])}
	}
	return pass("programs are in place at %d interfaces, both directions", len(s.config.Interfaces))
}

// attachedAt returns the index of the interface that a pinned link counts at; 0
// if its interface is gone.
func attachedAt(path string) (int, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	if info.TCX() == nil {
		return 0, nil
	}
	return int(info.TCX().Ifindex), nil
}
