// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"griffier/bpf/bpftest"
)

func TestSupported(t *testing.T) {
	bpftest.NeedRoot(t)
	if err := Supported(); err != nil {
		t.Errorf("Supported() = %v on a kernel that runs the other tests", err)
	}
}

// TestExplain: what the kernel says becomes what to do.
func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
		text string
	}{
		{fmt.Errorf("attach: %w", ebpf.ErrNotSupported), ErrKernelTooOld, "live capture needs Linux 6.6 (TCX), or 5.15 with clsact; this machine can only replay captures (griffier-collector -replay)"},
		{fmt.Errorf("load: %w", unix.EPERM), ErrNotPermitted, "run as root"},
		{fmt.Errorf("load: %w", unix.ENOMEM), unix.ENOMEM, "cannot allocate memory"},
	} {
		got := explain(tt.err)
		if !errors.Is(got, tt.want) || !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.text) {
			t.Errorf("explain(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestPinDirectoryMustBeBPFFS(t *testing.T) {
	bpftest.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "pins")
	if a, err := Load(Options{MaxSlots: 1, PinDir: dir}); !errors.Is(err, ErrNotBPFFS) {
		if err == nil {
			a.Close()
		}
		t.Errorf("Load = %v, want ErrNotBPFFS", err)
	}
}

func TestKeysAreChecked(t *testing.T) {
	a := load(t, Options{MaxSlots: 4, MaxKeys: 3})
	for _, bad := range []string{"100.64.0.0/31", "100.64.0.0/0", "2001:db8::1/64", "::/0", "::ffff:1.2.3.4/128"} {
		if err := a.Put(Key{Prefix: netip.MustParsePrefix(bad)}, 1); !errors.Is(err, ErrPrefix) {
			t.Errorf("Put(%s) = %v, want ErrPrefix", bad, err)
		}
	}
	good := Key{Prefix: netip.MustParsePrefix("100.64.0.13/32")}
	for _, slot := range []uint32{0, 5} {
		if err := a.Put(good, slot); err == nil {
			t.Errorf("Put(slot %d) = nil, want an error", slot)
		}
	}
	if err := a.Put(good, 4); err != nil {
		t.Errorf("Put = %v", err)
	}
	if err := a.Put(Key{Prefix: netip.MustParsePrefix("100.64.0.14/32")}, 4); !errors.Is(err, ErrKeysFull) {
		t.Errorf("Put beyond the map = %v, want ErrKeysFull", err)
	}
	keys, err := a.Keys()
	if err != nil || len(keys) != 3 {
		t.Errorf("Keys = %v, %v, want 3", keys, err)
	}
	for range 2 {
		if err := a.Delete(good); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
}

// TestGeneratedObjects makes the objects again and compares: the committed ones
// are those of the committed source. It needs the compiler that made them.
func TestGeneratedObjects(t *testing.T) {
	clang, err := exec.Command("clang", "--version").Output()
	if err != nil || !strings.Contains(string(clang), "version "+ClangVersion+"\n") {
		t.Skipf("clang %s is not installed", ClangVersion)
	}
	for _, dir := range []string{".", "bpfbench"} {
		source, err := os.ReadFile(filepath.Join(dir, "gen.go"))
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(source), "//go:generate ")
		command, _, found := strings.Cut(line, "\n")
		if !found || !strings.HasPrefix(command, "go run github.com/cilium/ebpf/cmd/bpf2go@v0.22.0 ") {
			t.Fatalf("%s/gen.go: go:generate line %q", dir, command)
		}
		made := t.TempDir()
		// The version in go.mod is the one in the line: no network is needed.
		command = strings.Replace(command, "@v0.22.0", " -output-dir "+made, 1)
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPACKAGE=unused")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("generate %s: %v\n%s", dir, err, out)
		}
		paths, err := filepath.Glob(filepath.Join(made, "*"))
		if err != nil || len(paths) != 2 {
			t.Fatalf("generated %v, %v, want 2 files", paths, err)
		}
		for _, path := range paths {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, filepath.Base(path))
			got, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not what its source makes (%v): run go generate ./bpf/...", name, err)
			}
		}
	}
}
