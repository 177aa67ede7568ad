package datapath

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// TestDropCapabilities builds a collector's outline as the real one is built,
// without cgo, and lets it work with no capability left.
func TestDropCapabilities(t *testing.T) {
	for _, hook := range []bpf.Hook{bpf.HookTCX, bpf.HookClsact} {
		t.Run(hook.String(), func(t *testing.T) { testDropCapabilities(t, hook) })
	}
}

func testDropCapabilities(t *testing.T, hook bpf.Hook) {
	w := bpftest.NewWire(t)
	pins := filepath.Join(bpftest.BPFFS(t), "g")
	binary := filepath.Join(t.TempDir(), "dropcaps")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./testdata/dropcaps")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, pins, strconv.Itoa(w.EdgeIndex), strconv.Itoa(int(hook)))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bpftest.In(t, w.Edge, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	out := bufio.NewScanner(stdout)
	last := ""
	for out.Scan() {
		last = out.Text()
		if last == "send" {
			bpftest.Sender(t, w.Sub, w.SubIndex)(bpftest.Ethernet(0x0800,
				bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 300)))))
		}
	}
	if err := cmd.Wait(); err != nil || last != "ok" {
		t.Errorf("without capabilities: %q, %v", last, err)
	}
}
