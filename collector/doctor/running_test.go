package doctor

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"griffier/schema"
)

// A collector that works, and then does not.
func TestRunningCollector(t *testing.T) {
	r := newRouter(t)
	if err := schema.Migrate(t.Context(), r.store, nil); err != nil {
		t.Fatal(err)
	}
	config := r.config()
	stop := r.collect(config)
	all := []string{"config=PASS", "kernel=PASS", "pins=PASS", "store=PASS", "collector=PASS", "radius=PASS", "balance=PASS", "losses=PASS", "delivery=PASS"}
	r.expect(r.examine(config), append(all, "accounting-freshness=WARN")...)

	account := func(secret, tries string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "nsenter", "--net=/run/netns/"+r.ns, "radclient", "-r", tries, "-t", "2", "127.0.0.1:1813", "acct", secret)
		cmd.Stdin = strings.NewReader(`User-Name = "anna", Acct-Session-Id = "1", Acct-Status-Type = Start, NAS-Identifier = "bng1", Framed-IP-Address = 100.64.0.11` + "\n")
		return cmd
	}
	if out, err := account("testing123", "60").CombinedOutput(); err != nil {
		t.Fatalf("radclient: %v\n%s", err, out)
	}
	r.expect(r.examine(config), append(all, "accounting-freshness=PASS")...)

	// What is turned away shows as a loss.
	if account("wrong", "1").Run() == nil {
		t.Error("a wrong secret was answered")
	}
	report := r.examine(config)
	r.expect(report, "losses=WARN")
	if f := finding(t, report, "losses"); !strings.Contains(f.Found, "radius_dropped_total 1 authenticator") {
		t.Errorf("%+v", f)
	}

	// A client that does not cover loopback, and a secret that is not the server's.
	r.expect(r.examine(r.config("client", "192.0.2.0/24")), "radius=WARN")
	other := r.file("other", "another\n")
	r.expect(r.examine(r.config("secret", other)), "radius=FAIL")
	r.expect(r.examine(r.config("listen", ":1815")), "radius=FAIL")

	// Somebody makes the interface again: its programs are gone with the old one.
	r.ip("link del access0")
	r.ip("link add access0 type veth peer name far0")
	r.ip("link set access0 up")
	r.ip("link set far0 up")
	r.carrier("access0")
	r.expect(r.examine(r.config()), "pins=FAIL", "interfaces=PASS")
	stop()
	r.expect(r.examine(r.config()), "collector=WARN", "radius=PASS", "pins=FAIL")
}

// collect runs a collector in the router's namespace until the returned function
// is called.
func (r *router) collect(config string) (stop func()) {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), "nsenter", "--net=/run/netns/"+r.ns, self)
	cmd.Env = append(os.Environ(), collectorEnv+"="+config)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ready, read := make(chan struct{}), make(chan struct{})
	var output strings.Builder
	go func() {
		defer close(read)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			output.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "msg=ready") {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-read:
		cmd.Wait()
		r.t.Fatalf("the collector did not start:\n%s", output.String())
	case <-time.After(3 * time.Minute):
		cmd.Process.Kill()
		<-read
		cmd.Wait()
		r.t.Fatal("the collector did not start in three minutes")
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Signal(syscall.SIGTERM)
			<-read
			cmd.Wait()
		}
	}
	r.t.Cleanup(stop)
	return stop
}
