package main

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"griffier/api/pki"
)

// The service manager hears how griffierd is doing, and a reload changes the
// certificate of new connections, unless it is no good.
func TestServiceManager(t *testing.T) {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	made, bin := filepath.Join(dir, "d"), filepath.Join(dir, "griffierd")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	init := exec.CommandContext(t.Context(), bin, "-init", made, "-issuer", "https://id.test.example", "-origin", "test.example/griffier", "-listen", "127.0.0.1:0")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	logFile, err := os.Create(filepath.Join(dir, "log")) // in which a line stands before griffierd goes on
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	log := func() string {
		text, err := os.ReadFile(logFile.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-config", filepath.Join(made, "griffierd.yaml"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "n"), "WATCHDOG_USEC=3000000")
	cmd.Stderr = logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log())
		}
	})
	hear := func(pattern string) {
		t.Helper()
		want := regexp.MustCompile(pattern)
		buffer := make([]byte, 4096)
		manager.SetReadDeadline(time.Now().Add(10 * time.Minute))
		for {
			n, err := manager.Read(buffer)
			if err != nil {
				t.Fatalf("waiting for %s: %v", pattern, err)
			}
			if want.Match(buffer[:n]) {
				return
			}
		}
	}
	hear(`^READY=1$`)
	hear(`^WATCHDOG=1$`)
	hear(`^STATUS=serving, \d+ ledger entries, the last \d+s ago$`)

	address := ""
	for _, line := range strings.Split(log(), "\n") {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			address = entry.Address
		}
	}
	serial := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // which one it is, is asked here
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
			t.Errorf("negotiated %q, want h2", got)
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	reload := func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		hear(`^RELOADING=1\n`)
		hear(`^READY=1$`)
	}
	first := serial()
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pki.Init(other, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	replace := func(name string) {
		t.Helper()
		if err := os.Rename(filepath.Join(other, name), filepath.Join(made, "tls", name)); err != nil {
			t.Fatal(err)
		}
	}
	replace("server.pem") // without its key
	reload()
	if serial() != first || !strings.Contains(log(), "the old ones hold") {
		t.Error("a certificate without its key was taken, or nothing was said")
	}
	replace("server.key")
	reload()
	if serial() == first || !strings.Contains(log(), "certificates reloaded") {
		t.Error("the new certificate was not taken")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear(`^STOPPING=1$`)
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
