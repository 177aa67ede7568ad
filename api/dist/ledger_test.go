package dist

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"griffier/api/auth/demoidp"
	"griffier/api/backup"
	"griffier/api/keystore"
	"griffier/api/pki"
)

// runbook runs the commands of LEDGER.md as they are, with other places for files
// and addresses.
type runbook struct {
	t        *testing.T
	dir      string
	places   *strings.Replacer
	sections map[string][]string // commands, by heading
	run      map[string]int      // how often each was run

	griffierd, witness, sink *process
	token                    []byte
	issuer                   string
}

// process is a server that was started.
type process struct {
	cmd *exec.Cmd
	out *output
	end chan error
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

func newRunbook(t *testing.T) *runbook {
	t.Helper()
	dir, err := os.MkdirTemp("", "g") // a socket's path must be short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &runbook{t: t, dir: dir, run: map[string]int{}}
	for _, program := range []string{"griffierd", "griffier"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(dir, program), "griffier/api/cmd/"+program)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	witness, sink := freeAddress(t), freeAddress(t)
	r.places = strings.NewReplacer("/etc/griffier/griffierd.yaml", r.at("d", "griffierd.yaml"), "/var/lib/griffier-witness", r.at("w"), "/var/lib/griffier-sink", r.at("s"), "/var/lib/griffier", r.at("d"),
		"/etc/griffier", r.at("e"), "/tmp/entries.jsonl", r.at("entries.jsonl"), "https://dpo.isp.example:7480", "https://"+witness,
		"https://sink.isp.example:7481", "https://"+sink, ":7480", witness, ":7481", sink)
	text, err := os.ReadFile("LEDGER.md")
	must(t, err)
	r.sections = map[string][]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		for _, m := range regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(notYAML(body), -1) {
			r.sections[heading] = append(r.sections[heading], m[1])
		}
	}
	for _, made := range []string{"e", "home"} {
		must(t, os.Mkdir(r.at(made), 0o700))
	}
	guards := r.at("guards")
	must(t, os.Mkdir(guards, 0o700))
	must(t, pki.Init(guards, []string{"127.0.0.1"}))
	for from, to := range map[string]string{"ca.pem": "guard-ca.pem", "server.pem": "guard.pem", "server.key": "guard.key", "operator.pem": "guard-client.pem", "operator.key": "guard-client.key"} {
		r.copy(filepath.Join(guards, from), r.at("e", to))
	}
	r.provider()
	init := exec.CommandContext(t.Context(), r.at("griffierd"), "-init", r.at("d"), "-issuer", r.issuer, "-issuer-ca", r.at("idp.pem"), "-origin", "test.example/griffier", "-listen", "127.0.0.1:0")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	config, err := os.ReadFile(r.at("d", "griffierd.yaml"))
	must(t, err)
	trust, err := os.ReadFile(r.at("d", "trust", "trust.yaml"))
	must(t, err)
	key := regexp.MustCompile(`(?m)^ledger_key: (.*)$`).FindSubmatch(trust)[1]
	must(t, os.WriteFile(r.at("e", "ledger.pub"), append(key, '\n'), 0o600))
	// What the guide adds, in the place where it says.
	added := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(string(text))[1]
	lines := strings.Split(string(config), "\n")
	var merged []string
	in := false
	for _, line := range lines {
		own := regexp.MustCompile(`^  (peers|witnesses|sink|quorum|release_wait|release_needs_witness):`).MatchString(line)
		switch {
		case line == "ledger:":
			in = true
			merged = append(merged, line, strings.TrimRight(r.places.Replace(added), "\n"))
			continue
		case !strings.HasPrefix(line, " "):
			in = false
		}
		if in && (own || strings.HasPrefix(line, "    ")) {
			continue // the default of what the guide sets
		}
		merged = append(merged, line)
	}
	must(t, os.WriteFile(r.at("d", "griffierd.yaml"), []byte(strings.Join(merged, "\n")), 0o600))
	return r
}

// notYAML leaves fenced blocks out.
func notYAML(body string) string {
	return regexp.MustCompile("(?s)```.*?```").ReplaceAllString(body, "")
}

func (r *runbook) at(names ...string) string {
	return filepath.Join(append([]string{r.dir}, names...)...)
}

func (r *runbook) copy(from, to string) {
	r.t.Helper()
	data, err := os.ReadFile(from)
	must(r.t, err)
	must(r.t, os.WriteFile(to, data, 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freeAddress is below the ports that the kernel gives by itself, to another test or
// to a client that tries until it is served.
func freeAddress(t *testing.T) string {
	var l net.Listener
	var err error
	for range 50 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			break
		}
	}
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// provider is where the overseer's token is from.
func (r *runbook) provider() {
	var provider *demoidp.Provider
	idp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { provider.ServeHTTP(w, req) }))
	r.t.Cleanup(idp.Close)
	r.issuer = idp.URL
	must(r.t, os.WriteFile(r.at("idp.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600))
	var err error
	provider, err = demoidp.New(demoidp.Config{Issuer: idp.URL, Audience: "griffier", People: []demoidp.Person{{Subject: "dina", Roles: []string{"overseer"}}}})
	must(r.t, err)
	token, err := provider.Token("dina", time.Now())
	must(r.t, err)
	r.token = []byte(token)
}

// start starts a server and waits until it says what tells that it serves.
func (r *runbook) start(ready string, args ...string) (*process, string) {
	r.t.Helper()
	p := &process{cmd: exec.Command(args[0], args[1:]...), out: &output{}, end: make(chan error, 1)}
	p.cmd.Stderr, p.cmd.Stdout = p.out, p.out
	must(r.t, p.cmd.Start())
	go func() { p.end <- p.cmd.Wait() }()
	r.t.Cleanup(func() { r.stop(p) })
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(p.out.String(), ready) {
			return p, ""
		}
		select {
		case err := <-p.end:
			p.end <- err
			return nil, p.out.String()
		default:
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%v: not ready:\n%s", args, p.out.String())
		}
	}
}

func (r *runbook) stop(p *process) {
	if p == nil || p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.end:
	case <-time.After(5 * time.Minute):
		p.cmd.Process.Kill()
		<-p.end
		r.t.Errorf("%s did not stop", p.cmd.Path)
	}
	p.cmd = nil
}

// startGriffierd gives what it said if it refused.
func (r *runbook) startGriffierd(more ...string) (refused string) {
	r.t.Helper()
	r.griffierd, refused = r.start(`"msg":"serving"`, append([]string{r.at("griffierd"), "-config", r.at("d", "griffierd.yaml")}, more...)...)
	if refused != "" {
		return refused
	}
	address := ""
	for line := range strings.Lines(r.griffierd.out.String()) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			address = entry.Address
		}
	}
	text := fmt.Sprintf("server: %s\nca_file: %s\nissuer: %s\nissuer_ca_file: %s\n", address, r.at("d", "tls", "ca.pem"), r.issuer, r.at("idp.pem"))
	must(r.t, os.WriteFile(r.at("home", "client.yaml"), []byte(text), 0o600))
	must(r.t, os.WriteFile(r.at("home", "token"), r.token, 0o600))
	return ""
}

// do runs one command of the guide and wants it to succeed.
func (r *runbook) do(heading, command string) string {
	r.t.Helper()
	r.run[heading+command]++
	args := strings.Fields(r.places.Replace(command))
	switch {
	case command == "systemctl stop griffierd":
		r.stop(r.griffierd)
		return ""
	case command == "systemctl start griffierd":
		if refused := r.startGriffierd(); refused != "" {
			r.t.Fatalf("%s: %s\n%s", heading, command, refused)
		}
		return ""
	case strings.HasPrefix(command, "griffier witness serve"):
		r.witness, _ = r.start("witness dpo.isp.example/witness on", append([]string{r.at("griffier")}, args[1:]...)...)
		return ""
	case strings.HasPrefix(command, "griffier ledger-sink serve"):
		r.sink, _ = r.start("ledger sink on", append([]string{r.at("griffier")}, args[1:]...)...)
		return ""
	case strings.HasSuffix(command, "-accept-witness-loss"):
		if refused := r.startGriffierd("-accept-witness-loss"); refused != "" {
			r.t.Fatalf("%s: %s\n%s", heading, command, refused)
		}
		return ""
	case args[0] == "griffier":
		args = append([]string{r.at("griffier"), "--home", r.at("home")}, args[1:]...)
	case args[0] == "griffierd":
		args[0] = r.at("griffierd")
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%s: %s: %v\n%s%s", heading, command, err, &stdout, &stderr)
	}
	return stdout.String()
}

// all runs a section from its first command to its last; before is called before
// each, after with what it printed.
func (r *runbook) all(heading string, before func(command string), after func(command, stdout string)) {
	r.t.Helper()
	if len(r.sections[heading]) == 0 {
		r.t.Fatalf("LEDGER.md has no commands under %q", heading)
	}
	for _, command := range r.sections[heading] {
		if before != nil {
			before(command)
		}
		out := r.do(heading, command)
		if after != nil {
			after(command, out)
		}
	}
}

// settled waits until witness and sink have all, and gives the ledger's size.
func (r *runbook) settled() uint64 {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		cmd := exec.Command(r.at("griffier"), "--home", r.at("home"), "-o", "json", "ledger", "status")
		out, err := cmd.Output()
		var s struct {
			Size      uint64 `json:"size,string"`
			Quorum    int
			Witnesses []struct {
				Size uint64 `json:"size,string"`
			}
			Sink struct {
				Size uint64 `json:"size,string"`
			}
		}
		if err == nil {
			err = json.Unmarshal(out, &s)
		}
		if err == nil && s.Quorum == 1 && len(s.Witnesses) == 1 && s.Witnesses[0].Size == s.Size && s.Sink.Size == s.Size {
			return s.Size
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("never settled: %v, %s", err, out)
		}
	}
}

// TestLedgerGuide does everything that LEDGER.md says, in the order of its sections.
func TestLedgerGuide(t *testing.T) {
	r := newRunbook(t)
	serve := func(heading, prefix string) {
		for _, command := range r.sections["Setting up"] {
			if strings.HasPrefix(command, prefix) {
				r.do(heading, command)
			}
		}
	}
	r.all("Setting up", nil, func(command, stdout string) {
		if strings.HasPrefix(command, "griffier witness init") {
			must(t, os.WriteFile(r.at("e", "witness.pub"), []byte(stdout), 0o600))
		}
	})
	r.all("What the data protection officer does", nil, func(command, stdout string) {
		switch {
		case command == "griffier ledger export":
			must(t, os.WriteFile(r.at("entries.jsonl"), []byte(stdout), 0o600))
		case strings.Contains(command, "--export") && !strings.Contains(stdout, "dpo.isp.example/witness signed the checkpoint of"):
			t.Errorf("the export is not cosigned: %s", stdout)
		}
	})
	before := r.settled()
	r.all("All is lost but the ledger and the keys", nil, nil)
	if after := r.settled(); after < before {
		t.Errorf("%d entries, %d before", after, before)
	}

	// An older copy of the whole ledger folder, with its witness file.
	snapshot := func(from, to string) {
		for _, name := range []string{"ledger", "ledger-witness"} {
			must(t, os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name))))
		}
	}
	r.stop(r.griffierd)
	snapshot(r.at("d"), r.at("old"))
	must(t, os.Remove(r.at("old", "ledger-witness", "cosigned.json")))
	if refused := r.startGriffierd(); refused != "" {
		t.Fatal(refused)
	}
	r.do("snapshot", "griffier ledger search")
	before = r.settled()
	r.stop(r.griffierd)
	for _, name := range []string{"ledger", "ledger-witness"} {
		must(t, os.RemoveAll(r.at("d", name)))
	}
	snapshot(r.at("old"), r.at("d"))
	if refused := r.startGriffierd(); !strings.Contains(refused, "an older copy of the ledger was put in place") || !strings.Contains(refused, "griffier ledger recover") {
		t.Fatalf("the older copy: %q", refused)
	}
	if refused := r.startGriffierd("-accept-witness-loss"); !strings.Contains(refused, "an older copy") {
		t.Fatalf("the operator alone overruled them: %q", refused)
	}
	r.all("The ledger is lost, or an older copy was put in its place", nil, nil)
	if after := r.settled(); after < before {
		t.Errorf("%d entries, %d before", after, before)
	}

	// The standby has the safe's folders and the sink's, and nothing else.
	before = r.settled()
	r.stop(r.griffierd)
	keys, err := keystore.Open(r.at("d", "keystore"), r.at("d", "secret", "master.key"))
	must(t, err)
	must(t, backup.CopyKeys(keys, r.at("copies"), time.Now()))
	archives, err := filepath.Glob(r.at("copies", "keys-*.tar"))
	if err != nil || len(archives) != 1 {
		t.Fatal(archives, err)
	}
	must(t, os.Rename(archives[0], r.at("d", "keys.tar")))
	for _, name := range []string{"keystore", "ledger", "ledger-witness", "store"} {
		must(t, os.RemoveAll(r.at("d", name)))
	}
	r.all("Cold standby", func(command string) {
		switch {
		case strings.HasPrefix(command, "griffier ledger recover"):
			r.stop(r.sink)
		case strings.HasPrefix(command, "systemctl start"):
			serve("Cold standby", "griffier ledger-sink serve")
		}
	}, nil)
	if after := r.settled(); after < before {
		t.Errorf("%d entries, %d before", after, before)
	}

	// Nothing has the newest entries any more but the witness's memory of them.
	r.stop(r.griffierd)
	r.stop(r.witness)
	r.stop(r.sink)
	must(t, os.RemoveAll(r.at("d", "ledger")))
	must(t, os.CopyFS(r.at("d", "ledger"), os.DirFS(r.at("old", "ledger"))))
	heading := "Entries are lost for good"
	r.all(heading, func(command string) {
		if strings.HasPrefix(command, "mv ") {
			serve(heading, "griffier witness serve")
			serve(heading, "griffier ledger-sink serve")
		}
	}, nil)
	r.settled()
	if out := r.do("accepted", "griffier ledger search --kind ledger."); !strings.Contains(out, "ledger.witness_loss_accepted") {
		t.Errorf("the accepted loss is not in the ledger: %s", out)
	}

	for heading, commands := range r.sections {
		for _, command := range commands {
			if r.run[heading+command] == 0 {
				t.Errorf("%s: %s: was not run", heading, command)
			}
		}
	}
}
