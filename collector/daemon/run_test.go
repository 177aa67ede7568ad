package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"griffier/collector/config"
)

// Without interfaces it needs no rights, and without a store it collects all
// the same. Neither logs nor metrics name a subscriber.
func TestCollectsRADIUSAloneAndNamesNobody(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"key": testKey, "secret": "testing123\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse("test", fmt.Appendf(nil, `collector_id: edge1
pseudonym_key_file: %[1]s/key
radius: {listen: "127.0.0.1:0", clients: [{prefix: 127.0.0.1, secret_file: %[1]s/secret}]}
spool: {dir: %[1]s/spool, max_bytes: 64MiB}
store: {socket: %[1]s/nothing}
metrics_listen: 127.0.0.1:0
`, dir))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for round := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ready := make(chan Addresses, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, c, Options{
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), KeepCapabilities: true,
				Ready: func(a Addresses) { ready <- a },
			})
		}()
		var a Addresses
		select {
		case a = <-ready:
		case err := <-ended:
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, "radclient", "-r", "60", "-t", "2", a.RADIUS.String(), "acct", "testing123")
		cmd.Stdin = strings.NewReader(`User-Name = "anna@isp.example", Acct-Session-Id = "77", Acct-Status-Type = Start, NAS-Identifier = "bng1", Framed-IP-Address = 100.64.7.7`)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("round %d: radclient: %v\n%s", round, err, out)
		}
		var metrics []byte
		eventually(t, "a session and its address in the gauges, which follow every second", func() bool {
			resp, err := http.Get("http://" + a.Metrics.String() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			metrics, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"griffier_collector_sessions 1\n", "griffier_collector_addresses 1\n", "griffier_collector_spool_pending_rows"} {
				if !strings.Contains(string(metrics), want) {
					return false
				}
			}
			return true
		})
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"metrics": string(metrics), "log": log.String()} {
			for _, secret := range []string{"anna", "100.64.7.7", "testing123", testKey[:16]} {
				if strings.Contains(text, secret) {
					t.Errorf("round %d: %s contains %q", round, what, secret)
				}
			}
		}
	}
	if !strings.Contains(log.String(), "msg=recovered sessions=1") {
		t.Errorf("the second run did not find the session of the first:\n%s", log.String())
	}
}

// Killed again and again while packets flow, nothing is lost and nothing
// counted twice: the kernel's counters do not stop with the process.
func TestKilledUnderTraffic(t *testing.T) {
	s := newSetup(t)
	p4, p6 := s.path("100.64.0.11"), s.path("2001:db8:0:1100::11")
	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	truth := traffic{}
	quit := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				p4.exchange(t, truth, 50)
				p6.exchange(t, truth, 20)
			}
		}
	})
	for i := range 5 {
		time.Sleep(time.Duration(300+170*i) * time.Millisecond)
		c.kill()
		c = s.start()
	}
	time.Sleep(300 * time.Millisecond)
	close(quit)
	sender.Wait()
	c.stop()
	have := s.usage("anna")
	if fmt.Sprint(have) != fmt.Sprint(truth) {
		t.Errorf("anna moved %v, the store says %v", truth, have)
	}
	t.Logf("%d packets, %d process lives", truth["up4"].packets+truth["down4"].packets+truth["up6"].packets+truth["down6"].packets, 6)
	if fmt.Sprint(s.intervals("100.64.0.11")) != "[anna open=true]" && !strings.Contains(fmt.Sprint(s.intervals("100.64.0.11")), "cut") {
		t.Errorf("held by %v", s.intervals("100.64.0.11"))
	}
}
