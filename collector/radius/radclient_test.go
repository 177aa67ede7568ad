package radius

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griffier/collector/binding"
)

// radclient runs FreeRADIUS' client against the server and returns its output;
// err is nil if every request was acknowledged.
func radclient(t *testing.T, s *served, secret string, requests string, arguments ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("radclient")
	if err != nil {
		t.Fatal("radclient is missing: install the Debian package freeradius-utils")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	input := filepath.Join(t.TempDir(), "requests")
	if err := os.WriteFile(input, []byte(requests), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments = append(arguments, "-f", input, s.Addr().String(), "acct", secret)
	out, err := exec.CommandContext(ctx, path, arguments...).CombinedOutput()
	return string(out), err
}

func acct(status, id string, more ...string) string {
	return fmt.Sprintf("User-Name = \"%s@isp\", Acct-Session-Id = \"%s\", Acct-Status-Type = %s, NAS-Identifier = \"bng1\", Event-Timestamp = %d%s\n\n",
		id, id, status, time.Now().Unix(), strings.Join(append([]string{""}, more...), ", "))
}

func TestRadclient(t *testing.T) {
	var handled atomic.Int64
	s := serve(t, Config{}, func(context.Context, binding.Observation) error {
		time.Sleep(100 * time.Millisecond)
		handled.Add(1)
		return nil
	})
	begin := time.Now()
	out, err := radclient(t, s, string(secret), acct("Start", "s1", "Framed-IP-Address = 100.64.0.1", "Delegated-IPv6-Prefix = 2001:db8:0:100::/56"), "-r", "1", "-t", "120")
	if err != nil || handled.Load() != 1 {
		t.Fatalf("radclient: %v, %d handled\n%s", err, handled.Load(), out)
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("acknowledged after %v, before the handler returned", took)
	}
	out, err = radclient(t, s, string(secret), acct("Interim-Update", "s1", "Acct-Session-Time = 1")+
		acct("Stop", "s1", "Acct-Session-Time = 1", "Acct-Terminate-Cause = Lost-Carrier")+
		fmt.Sprintf("Acct-Status-Type = Accounting-On, NAS-Identifier = \"bng1\", Event-Timestamp = %d\n", time.Now().Unix()), "-r", "1", "-t", "120")
	if err != nil {
		t.Fatalf("radclient: %v\n%s", err, out)
	}
	got := s.observations()
	if len(got) != 4 {
		t.Fatalf("%d observations, want 4", len(got))
	}
	for i, kind := range []binding.ObservationKind{binding.Start, binding.Refresh, binding.End, binding.NASReboot} {
		if got[i].Kind != kind {
			t.Errorf("observation %d is a %s, want %s", i, got[i].Kind, kind)
		}
		if kind != binding.NASReboot && len(got[i].Prefixes) != 2 {
			t.Errorf("observation %d holds %v, want both addresses of the Start", i, got[i].Prefixes)
		}
	}
}

func TestRadclientWrongSecret(t *testing.T) {
	s := serve(t, Config{}, nil)
	out, err := radclient(t, s, "wrong", acct("Start", "s1"), "-r", "1", "-t", "0.5")
	if err == nil || strings.Contains(out, "Received") {
		t.Errorf("radclient with a wrong secret: %v\n%s", err, out)
	}
	within(t, "dropped and counted", func() bool { return s.metric("dropped_total", string(ReasonAuthenticator)) == 1 })
	if len(s.observations()) != 0 {
		t.Error("not dropped")
	}
}

func TestRadclientUnknownNAS(t *testing.T) {
	s := serve(t, Config{Clients: []Client{}}, nil)
	out, err := radclient(t, s, string(secret), acct("Start", "s1"), "-r", "1", "-t", "0.5")
	if err == nil || strings.Contains(out, "Received") {
		t.Errorf("radclient as an unknown NAS: %v\n%s", err, out)
	}
	within(t, "dropped and counted", func() bool { return s.metric("dropped_total", string(ReasonUnknownClient)) == 1 })
	if len(s.observations()) != 0 {
		t.Error("not dropped")
	}
}

// TestRadclientBurst has radclient keep 200 requests outstanding.
func TestRadclientBurst(t *testing.T) {
	s := serve(t, Config{}, func(context.Context, binding.Observation) error { time.Sleep(2 * time.Millisecond); return nil })
	var requests strings.Builder
	for i := range 2000 {
		requests.WriteString(acct("Start", fmt.Sprint("burst", i)))
	}
	out, err := radclient(t, s, string(secret), requests.String(), "-p", "200", "-r", "1", "-t", "120", "-q")
	if err != nil {
		t.Fatalf("radclient: %v\n%s", err, out)
	}
	keys := map[string]bool{}
	for _, o := range s.observations() {
		keys[o.SessionKey] = true
	}
	if len(keys) != 2000 {
		t.Errorf("%d sessions, want 2000", len(keys))
	}
}
