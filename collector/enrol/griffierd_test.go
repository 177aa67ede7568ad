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

// griffierd is a real one, in a process of its own, with its engine and ledger,
// whose certificates live for a few seconds.
type griffierd struct {
	t       *testing.T
	dir     string
	binary  string
	address string
	cmd     *exec.Cmd
	log     *output
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

// certificateLife is how long certificates are good for; a renewal is due after
// about seven seconds.
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
	path := filepath.Join(g.dir, "griffierd.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := regexp.MustCompile(`certificate_life: \S+`).ReplaceAll(text, fmt.Appendf(nil, "certificate_life: %v", certificateLife))
	short = regexp.MustCompile(`(?m)^  limit: 2s`).ReplaceAll(short, []byte("  limit: 20s")) // other tests use the disk too
	if bytes.Equal(short, text) {
		t.Fatal("griffierd.yaml has no certificate_life")
	}
	if err := os.WriteFile(path, short, 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	t.Cleanup(g.stop)
	return g
}

// start starts it and waits until it answers.
func (g *griffierd) start() {
	g.t.Helper()
	g.cmd = exec.Command(g.binary, "-config", filepath.Join(g.dir, "griffierd.yaml"))
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	for range 600 {
		if conn, err := net.Dial("tcp", g.address); err == nil {
			conn.Close()
			return
		}
		if g.cmd.Process.Signal(syscall.Signal(0)) != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.t.Fatalf("griffierd does not answer:\n%s", g.log)
}

func (g *griffierd) stop() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Signal(syscall.SIGTERM)
	if err := g.cmd.Wait(); err != nil {
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
	g.cmd.Wait()
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
