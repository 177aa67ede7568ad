package cli_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"griffier/api/auth/demoidp"
	"griffier/api/cli"
	"griffier/api/daemon"
	"griffier/api/warrant"
	"griffier/schema"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"griffier": func() {
		os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// TestLegalScripts runs the command as people do, against a whole griffierd:
// store, ledger, TLS, tokens of an identity provider.
func TestLegalScripts(t *testing.T) {
	dir, err := os.MkdirTemp("", "g") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	now := time.Now().UTC()
	homes, renew := serve(t, dir)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	abroad, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	registered(t, homes, identity.Recipient().String())
	midnight := now.Truncate(24*time.Hour).AddDate(0, 0, -1)
	holder(t, filepath.Join(dir, "server", "store.sock"), midnight)
	resident(t, filepath.Join(dir, "server", "store.sock"), midnight, filepath.Join(dir, "server", "secret", "pseudonym.key"))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/legal",
		Setup: func(env *testscript.Env) error {
			renew()
			env.Setenv("HOMES", homes)
			env.Setenv("SERVER", filepath.Join(dir, "server"))
			env.Setenv("TRUST", filepath.Join(dir, "server", "trust", "trust.yaml"))
			env.Setenv("RECIPIENT", identity.Recipient().String())
			fingerprint, _ := warrant.RecipientFingerprint(abroad.Recipient().String())
			env.Setenv("ABROAD", abroad.Recipient().String())
			env.Setenv("ABROAD_FINGERPRINT", fingerprint)
			env.Setenv("NOW", now.Format(time.RFC3339))
			env.Setenv("YESTERDAY", midnight.Add(12*time.Hour).Format(time.RFC3339))
			env.Setenv("TOMORROW", now.Add(24*time.Hour).Format(time.RFC3339))
			env.Setenv("LATER", now.Add(20*24*time.Hour).Format(time.RFC3339))
			env.Setenv("SOON", now.Add(-10*time.Minute).Format(time.RFC3339))
			env.Setenv("YEAR", now.Format("2006"))
			for name, text := range map[string]string{"key.txt": identity.String() + "\n", "order.txt": "test", "paper.txt": "test2"} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "keep": keep, "expand": expand, "flip": flip, "edit": edit},
	})
}

// serve starts griffierd and makes a home folder for everyone who calls it. What they
// logged in with is good for minutes, and is made anew by renew.
func serve(t *testing.T, dir string) (homes string, renew func()) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var provider *demoidp.Provider
	idp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { provider.ServeHTTP(w, r) }))
	t.Cleanup(idp.Close)
	ca := filepath.Join(dir, "idp.pem")
	must(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600))
	people := []demoidp.Person{{Subject: "olga", Roles: []string{"legal_officer"}}, {Subject: "arjan", Roles: []string{"legal_approver"}},
		{Subject: "eva", Roles: []string{"external_approver"}},
		{Subject: "anna", Roles: []string{"customer"}, Account: "acc-anna"}, {Subject: "bea", Roles: []string{"customer"}, Account: "acc-bea"},
		{Subject: "sam", Roles: []string{"support"}}, {Subject: "dina", Roles: []string{"overseer"}}, {Subject: "nina", Roles: []string{"network_engineer"}},
		{Subject: "otto", Roles: []string{"operator"}}, {Subject: "petra", Roles: []string{"privacy_controller"}}}
	provider, err := demoidp.New(demoidp.Config{Issuer: idp.URL, Audience: "griffier", People: people})
	must(err)
	server := filepath.Join(dir, "server")
	path, err := daemon.Init(server, daemon.InitOptions{Laboratory: true, Profile: "nl", Origin: "test.example/griffier", Issuer: idp.URL, IssuerCAFile: ca,
		Listen: "127.0.0.1:0", Hosts: []string{"localhost", "127.0.0.1"}, LedgerLimit: 10 * time.Second})
	must(err)
	cfg, err := daemon.ReadConfig(path)
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- daemon.Run(ctx, cfg, slog.New(slog.DiscardHandler), daemon.Start{Ready: func(a net.Addr) { ready <- a }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("griffierd stopped with: %v", err)
		}
	})
	var address net.Addr
	select {
	case address = <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	homes = filepath.Join(dir, "homes")
	home := func(who, extra string) string {
		at := filepath.Join(homes, who)
		must(os.MkdirAll(at, 0o700))
		text := fmt.Sprintf("server: %s\nca_file: %s\nissuer: %s\nissuer_ca_file: %s\n%s", address, filepath.Join(server, "tls", "ca.pem"), idp.URL, ca, extra)
		must(os.WriteFile(filepath.Join(at, "client.yaml"), []byte(text), 0o600))
		return at
	}
	for _, p := range people {
		home(p.Subject, "")
	}
	var one sync.Mutex // scripts begin at once
	renew = func() {
		one.Lock()
		defer one.Unlock()
		for _, p := range people {
			token, err := provider.Token(p.Subject, time.Now())
			must(err)
			made := filepath.Join(homes, p.Subject, "token")
			must(os.WriteFile(made+".new", []byte(token), 0o600))
			must(os.Rename(made+".new", made)) // while other scripts read it
		}
	}
	renew()
	home("machine", fmt.Sprintf("cert_file: %s\nkey_file: %s\n", filepath.Join(server, "tls", "provisioner.pem"), filepath.Join(server, "tls", "provisioner.key")))
	return homes, renew
}

// registered enters the authority of the scripts, whose key is recipient, as people
// do.
func registered(t *testing.T, homes, recipient string) {
	t.Helper()
	dir := t.TempDir()
	record, key := filepath.Join(dir, "authority.yaml"), filepath.Join(dir, "key.pub")
	text := `{id: NL-OM-Amsterdam, name: Public prosecution service, country: NL, offices: [public-prosecutor, investigating-officer], bases: [NL-126na, NL-126na-2, NL-126n, NL-126ni],
		categories: [identity, attribution, history, time, preservation], call_back: "+31201234567"}`
	if err := errors.Join(os.WriteFile(record, []byte(text), 0o600), os.WriteFile(key, []byte(recipient), 0o600)); err != nil {
		t.Fatal(err)
	}
	run := func(who string, args ...string) map[string]any {
		t.Helper()
		var stdout, stderr strings.Builder
		if code := cli.Run(t.Context(), append([]string{"--home", filepath.Join(homes, who), "-o", "json", "authority"}, args...), strings.NewReader(""), &stdout, &stderr); code != 0 {
			t.Fatalf("authority %v: exit %d: %s", args, code, stderr.String())
		}
		var out map[string]any
		if err := json.Unmarshal([]byte(stdout.String()), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	p := run("olga", "propose", "--file", record)
	run("petra", "approve", p["proposal_id"].(string), "--sha256", p["sha256"].(string))
	a := run("olga", "key", "add", "NL-OM-Amsterdam", "--file", key, "--generation", "1")
	fingerprint := a["keys"].([]any)[0].(map[string]any)["fingerprint"].(string)
	run("arjan", "key", "confirm", "NL-OM-Amsterdam", "--fingerprint", fingerprint, "--number", "+31201234567", "--spoke-with", "desk", "--generation", "2")
}

// holder stores that somebody had 203.0.113.140 on the day from midnight on.
func holder(t *testing.T, socket string, midnight time.Time) {
	t.Helper()
	conn, err := schema.Open(t.Context(), schema.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = schema.Insert(t.Context(), conn, "holder", []schema.Record{&schema.Assignment{AssignmentID: schema.ID{1}, SessionID: schema.ID{2}, AccessRef: schema.AccessRef{3},
		Prefix: netip.MustParsePrefix("203.0.113.140/32"), PortEnd: 65535, AssignmentStartedAt: midnight, StartedAt: midnight, EndedAt: midnight.Add(24 * time.Hour), Version: 1,
		EndCause: schema.EndCut, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"}})
	if err != nil {
		t.Fatal(err)
	}
}

// resident stores that staff@isp.example had 198.18.0.9 on that day, and that a
// collector saw it all.
func resident(t *testing.T, socket string, midnight time.Time, keyFile string) {
	t.Helper()
	conn, err := schema.Open(t.Context(), schema.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	names, err := schema.ReadPseudonymKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	err = schema.Insert(t.Context(), conn, "resident", []schema.Record{
		&schema.Assignment{AssignmentID: schema.ID{4}, SessionID: schema.ID{5}, AccessRef: names.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "staff@isp.example"}),
			Prefix: netip.MustParsePrefix("198.18.0.9/32"), PortEnd: 65535, AssignmentStartedAt: midnight, StartedAt: midnight, EndedAt: midnight.Add(24 * time.Hour), Version: 1,
			EndCause: schema.EndCut, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c9"},
		&schema.Coverage{CoverageID: schema.ID{6}, CollectorID: "c9", State: schema.Covered, StartedAt: midnight, EndedAt: midnight.Add(24 * time.Hour), Version: 1,
			BootID: "boot", ClockSynced: true}})
	if err != nil {
		t.Fatal(err)
	}
}

// status N griffier ARGS… wants exit status N.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// keep NAME FIELD puts a field of the JSON on stdout into a variable.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &object))
	value, ok := object[args[1]].(string)
	if !ok || value == "" {
		ts.Fatalf("no text %s in stdout", args[1])
	}
	ts.Setenv(args[0], value)
}

// expand FROM TO replaces $VARIABLES in a file.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// flip FROM TO copies a file with its last byte changed.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	data := []byte(strings.Clone(ts.ReadFile(args[0])))
	data[len(data)-1] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// edit FROM TO OLD NEW copies a file with one text replaced by another.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[2]) {
		ts.Fatalf("%q is not in %s", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Replace(text, args[2], args[3], 1)), 0o600))
}
