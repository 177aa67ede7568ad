package enrol

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	griffierv1 "griffier/proto/griffier/v1"
)

// griffierd is a real one, in a process of its own, with its engine and ledger.
type griffierd struct {
	t       *testing.T
	dir     string
	binary  string
	address string
	cmd     *exec.Cmd
	log     *output
	ended   chan error // what waiting for cmd gave
	short   bool       // its certificates live for a few seconds
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// certificateLife is how long certificates are good for once they are short-lived; a
// renewal is due after about seven seconds.
const certificateLife = 12 * time.Second

func startGriffierd(t *testing.T) *griffierd {
	t.Helper()
	dir, err := os.MkdirTemp("", "g") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &griffierd{t: t, dir: filepath.Join(dir, "d"), binary: filepath.Join(dir, "griffierd"), log: &output{}}
	build := exec.Command("go", "build", "-o", g.binary, "griffier/api/cmd/griffierd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build griffierd: %v\n%s", err, out)
	}
	// Below the ports that the kernel gives by itself, to another test.
	var l net.Listener
	for range 50 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	g.address = l.Addr().String()
	l.Close()
	if out, err := exec.Command(g.binary, "-init", g.dir, "-issuer", "https://127.0.0.1:1", "-origin", "test.example/griffier", "-listen", g.address).CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	g.configure(`(?m)^  limit: 2s`, "  limit: 1m") // other tests use the disk too
	g.start()
	t.Cleanup(g.stop)
	return g
}

// configure replaces what a pattern finds in its configuration.
func (g *griffierd) configure(pattern, with string) {
	g.t.Helper()
	path := filepath.Join(g.dir, "griffierd.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	found := regexp.MustCompile(pattern)
	if !found.Match(text) {
		g.t.Fatalf("griffierd.yaml has no %s", pattern)
	}
	if err := os.WriteFile(path, found.ReplaceAll(text, []byte(with)), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// shorten has it issue short-lived certificates from now on. Those that a test does
// not see renewed live longer, or a slow machine would find them expired.
func (g *griffierd) shorten() {
	g.t.Helper()
	if g.short {
		return
	}
	g.short = true
	g.stop()
	g.configure(`certificate_life: \S+`, fmt.Sprintf("certificate_life: %v", certificateLife))
	g.start()
}

// start starts it and waits until it answers.
func (g *griffierd) start() {
	g.t.Helper()
	g.cmd = exec.Command(g.binary, "-config", filepath.Join(g.dir, "griffierd.yaml"))
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(g.cmd, g.ended)
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", g.address); err == nil {
			conn.Close()
			return
		}
		if len(g.ended) > 0 {
			break
		}
	}
	g.t.Fatalf("griffierd does not answer:\n%s", g.log)
}

func (g *griffierd) stop() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-g.ended; err != nil {
		g.t.Errorf("griffierd ended with %v:\n%s", err, g.log)
	}
	g.cmd = nil
}

// kill ends it as a power cut would, and starts it again.
func (g *griffierd) kill() {
	g.t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		g.t.Fatal(err)
	}
	<-g.ended
	g.start()
}

func (g *griffierd) tls(name string) string { return filepath.Join(g.dir, "tls", name) }

// engineer is the service as the machine that provisions sees it.
func (g *griffierd) engineer() griffierv1.EnrolmentServiceClient {
	g.t.Helper()
	cert, err := tls.LoadX509KeyPair(g.tls("provisioner.pem"), g.tls("provisioner.key"))
	if err != nil {
		g.t.Fatal(err)
	}
	text, err := os.ReadFile(g.tls("ca.pem"))
	if err != nil {
		g.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	conn, err := grpc.NewClient(g.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}})))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return griffierv1.NewEnrolmentServiceClient(conn)
}

func (g *griffierd) token(collector string) *griffierv1.CreateEnrolmentTokenResponse {
	g.t.Helper()
	resp, err := g.engineer().CreateEnrolmentToken(context.Background(), &griffierv1.CreateEnrolmentTokenRequest{CollectorId: collector})
	if err != nil {
		g.t.Fatal(err)
	}
	return resp
}

// issued counts a collector's certificates that have not expired.
func (g *griffierd) issued(collector string) int {
	g.t.Helper()
	resp, err := g.engineer().ListCollectors(context.Background(), &griffierv1.ListCollectorsRequest{})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, c := range resp.GetCollectors() {
		if c.GetCollectorId() == collector {
			return len(c.GetCertificates())
		}
	}
	return 0
}
