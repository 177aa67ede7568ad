package enrol

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command goes the way of the guide: griffier-collector -enrol with the token on
// standard input, then the collector as a process, which renews by itself.
func (g *griffierd) command(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "griffier-collector")
	if out, err := exec.Command("go", "build", "-o", binary, "griffier/collector/cmd/griffier-collector").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	path := filepath.Join(dir, "collector.yaml")
	for name, text := range map[string]string{
		"key": strings.Repeat("5a", 32) + "\n", "secret": "testing123\n",
		"collector.yaml": fmt.Sprintf(`collector_id: edge1
pseudonym_key_file: %[1]s/key
radius: {listen: "127.0.0.1:0", clients: [{prefix: 127.0.0.1, secret_file: %[1]s/secret}]}
spool: {dir: %[1]s/spool, max_bytes: 64MiB}
store: {socket: %[1]s/nothing}
enrolment: {dir: %[1]s/identity}
metrics_listen: 127.0.0.1:0
`, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made := g.token("edge1")
	enrolment := func() *exec.Cmd {
		cmd := exec.Command(binary, "-enrol", "https://"+g.address, "-ca-sha256", made.GetAuthoritySha256(), "-token-file", "-", "-config", path)
		cmd.Stdin = strings.NewReader(made.GetToken() + "\n")
		return cmd
	}
	f := Folder(filepath.Join(dir, "identity"))
	g.killed(t, f, enrolment)
	out, err := enrolment().CombinedOutput()
	if err != nil || !strings.Contains(string(out), "edge1 is enrolled at "+g.address) || strings.Contains(string(out), made.GetToken()[17:]) {
		t.Fatalf("enrol: %v\n%s", err, out)
	}
	if n := g.issued("edge1"); n != 1 {
		t.Errorf("killed again and again, it was given %d certificates, want one", n)
	}
	wantWhole(t, f, "edge1")
	g.shorten()
	made = g.token("edge1")
	if out, err := enrolment().CombinedOutput(); err != nil {
		t.Fatalf("enrol anew: %v\n%s", err, out)
	}
	first := wantWhole(t, f, "edge1")

	run := exec.Command(binary, "-config", path)
	stderr, err := run.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	metrics, log := make(chan string, 1), &output{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(io.TeeReader(stderr, log)); lines.Scan(); {
			var line struct{ Msg, Metrics string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
				metrics <- line.Metrics
			}
		}
		close(metrics)
	}()
	defer func() {
		run.Process.Signal(syscall.SIGTERM)
		<-read
		if err := run.Wait(); err != nil {
			t.Errorf("the collector ended with %v:\n%s", err, log)
		}
	}()
	address := <-metrics
	if address == "" {
		t.Fatalf("not ready:\n%s", log)
	}
	expiry := regexp.MustCompile(`(?m)^griffier_collector_certificate_expiry_timestamp_seconds (\S+)$`)
	scrape := func() string {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := expiry.FindString(scrape())
	if before == "" || strings.HasSuffix(before, " 0") {
		t.Errorf("the metric is %q", before)
	}
	once := regexp.MustCompile(`(?m)^griffier_collector_certificate_renewals_total\{outcome="renewed"\} [1-9]`)
	g.renewed(t, f, "edge1", log, func() bool {
		now := scrape()
		return once.MatchString(now) && expiry.FindString(now) != before
	})
	second := wantWhole(t, f, "edge1")
	if second.Leaf().Equal(first.Leaf()) {
		t.Error("renewed, it is the same certificate")
	}
	shown, err := f.ClientCertificate(nil)
	if err != nil || !bytes.Equal(shown.Certificate[0], second.Leaf().Raw) {
		t.Errorf("a new connection shows another certificate: %v", err)
	}
}

// killed starts the command again and again and kills it somewhere on its way:
// there is never less than a whole identity, or none.
func (g *griffierd) killed(t *testing.T, f Folder, enrolment func() *exec.Cmd) {
	t.Helper()
	whole := 0
	for i := range 24 {
		cmd := enrolment()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5*i) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		switch _, err := f.Load(); {
		case err == nil:
			whole++
		case !errors.Is(err, ErrNotEnrolled):
			t.Errorf("killed after %d ms: %v", 5*i, err)
		}
	}
	t.Logf("an identity after %d of 24 kills", whole)
}
