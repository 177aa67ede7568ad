package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"griffier/bpf"
)

func checkKernel(_ context.Context, s *system) Finding {
	if len(s.config.Interfaces) == 0 {
		return noInterfaces
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return Finding{Status: Fail, Found: "the kernel does not tell its release", Cause: err.Error(), Cure: "run this on Linux"}
	}
	release := unix.ByteSliceToString(name.Release[:])
	switch hook, err := bpf.Chosen(); {
	case errors.Is(err, bpf.ErrKernelTooOld):
		return Finding{Status: Fail, Found: "Linux " + release + " cannot count", Cause: "packets are counted by programs at TCX hooks (Linux 6.6) or clsact (5.15)",
			Cure: "boot a later kernel, or collect RADIUS only by leaving interfaces out"}
	case errors.Is(err, bpf.ErrNotPermitted):
		return Finding{Status: Warn, Found: "Linux " + release + "; its hooks could not be tried", Cause: "this process may not load kernel programs",
			Cure: "run the doctor as root"}
	case err != nil:
		return Finding{Status: Fail, Found: "Linux " + release + " refused the probe program", Cause: err.Error(),
			Cure: "look for a security module or lockdown mode that forbids bpf(2): dmesg, /sys/kernel/security/lockdown"}
	case hook == bpf.HookClsact:
		return Finding{Status: Warn, Found: "Linux " + release + "; clsact works, TCX does not",
			Cause: "whoever deletes the interface's clsact qdisc ends the counting until the collector is started again",
			Cure:  "boot a kernel of 6.6 or later (Debian 12: from bookworm-backports), or leave tc alone on these interfaces"}
	}
	return pass("Linux %s; TCX works", release)
}

// needed are the capabilities that attaching takes, by their bit in
// linux/capability.h; CAP_SYS_ADMIN includes the first two.
var needed = []struct {
	name string
	bit  int
}{{"CAP_BPF", unix.CAP_BPF}, {"CAP_PERFMON", unix.CAP_PERFMON}, {"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}}

func checkCapabilities(_ context.Context, s *system) Finding {
	if len(s.config.Interfaces) == 0 {
		return noInterfaces
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return Finding{Status: Warn, Found: "capabilities are unknown", Cause: err.Error(), Cure: "mount /proc"}
	}
	missing, err := missingCapabilities(text)
	if err != nil {
		return Finding{Status: Warn, Found: "capabilities are unknown", Cause: err.Error(), Cure: "mount /proc"}
	}
	if len(missing) > 0 {
		return Finding{Status: Fail, Found: "this process lacks " + strings.Join(missing, ", "),
			Cause: "a collector started like this could not attach its programs",
			Cure:  "run the doctor as root, and the collector by its systemd unit, which grants them"}
	}
	return pass("CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are there")
}

// missingCapabilities reads the effective set from a /proc/PID/status.
func missingCapabilities(status []byte) (missing []string, err error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		digits, ok := strings.CutPrefix(lines.Text(), "CapEff:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("capabilities: %w", err)
		}
		for _, c := range needed {
			admin := c.bit != unix.CAP_NET_ADMIN && set>>unix.CAP_SYS_ADMIN&1 == 1
			if set>>c.bit&1 == 0 && !admin {
				missing = append(missing, c.name)
			}
		}
		return missing, nil
	}
	return nil, errors.New("capabilities: no CapEff line")
}

func checkBTF(_ context.Context, s *system) Finding {
	if len(s.config.Interfaces) == 0 {
		return noInterfaces
	}
	const path = "/sys/kernel/btf/vmlinux"
	if _, err := os.Stat(path); err != nil {
		return Finding{Status: Warn, Found: "the kernel has no type information (BTF)",
			Cause: "counting does without it; tools that inspect the programs, such as bpftool, show less",
			Cure:  "none needed; a distribution's kernel has CONFIG_DEBUG_INFO_BTF=y"}
	}
	return pass("%s is there", path)
}

func checkBPFFS(_ context.Context, s *system) Finding {
	switch {
	case len(s.config.Interfaces) == 0:
		return noInterfaces
	case s.config.PinDir == "":
		return Finding{Status: Warn, Found: "pin_dir is empty", Cause: "counting stops whenever the collector does",
			Cure: "set pin_dir to a folder on a BPF file system"}
	}
	dir := existing(s.config.PinDir)
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return Finding{Status: Fail, Found: dir + " cannot be looked at", Cause: err.Error(), Cure: "run the doctor as root"}
	}
	if int64(fs.Type) != unix.BPF_FS_MAGIC {
		place := filepath.Dir(s.config.PinDir)
		if dir != s.config.PinDir && dir != place {
			return Finding{Status: Warn, Found: place + " is not there yet", Cause: "kernel counters are pinned below it, on a BPF file system",
				Cure: "none if the collector is started by its systemd unit, which makes it; else: mkdir -p " + place + " && mount -t bpf bpf " + place}
		}
		return Finding{Status: Fail, Found: dir + " is not on a BPF file system", Cause: "kernel counters can be pinned nowhere else",
			Cure: "mount -t bpf bpf " + place + ", or set pin_dir to a folder below /sys/fs/bpf"}
	}
	return pass("%s is on a BPF file system", dir)
}

// existing is the nearest folder above path that is there, or path itself.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
