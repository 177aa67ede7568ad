package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"griffier/collector/spool"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

const captures = "../../replay/testdata/"

func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// configured writes a configuration for a store and returns its path.
func configured(t *testing.T, socket string) string {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("5a", schema.KeyLength)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "collector.yaml")
	text := fmt.Sprintf("collector_id: edge1\npseudonym_key_file: %s\ninterfaces: [{name: eth1}]\nspool: {dir: %s}\nstore: {socket: %s}\n",
		key, filepath.Join(dir, "spool"), socket)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsageErrors(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing":             nil,
		"unknown flag":        {"-frobnicate"},
		"argument":            {"-replay", "x.pcap", "y"},
		"check alone":         {"-check"},
		"output alone":        {"-config", "x.yaml", "-o", "json"},
		"unknown output":      {"-replay", "x.pcap", "-o", "xml"},
		"unreadable time":     {"-replay", "x.pcap", "-ends-at", "yesterday"},
		"requeue alone":       {"-requeue"},
		"requeue and check":   {"-config", "x.yaml", "-requeue", "-check"},
		"missing config file": {"-config", "/nonexistent/x.yaml"},
	} {
		if code, stdout, stderr := execute(t, args...); code != exitUsage || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", name, code, stdout, stderr)
		}
	}
	if code, _, stderr := execute(t, "-replay", "/nonexistent/x.pcap", "-o", "json"); code != exitFailed || !strings.Contains(stderr, "/nonexistent/x.pcap") {
		t.Errorf("missing capture: exit code %d, stderr %q", code, stderr)
	}
}

func TestCheckPrintsTheEffectiveConfiguration(t *testing.T) {
	code, stdout, stderr := execute(t, "-config", configured(t, "/run/x"), "-check")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "drain_interval: 10s") || !strings.Contains(stdout, "max_bytes: 1GiB") {
		t.Errorf("exit code %d, stderr %q\n%s", code, stderr, stdout)
	}
}

func TestRequeueSaysHowMuch(t *testing.T) {
	path := configured(t, "/run/x")
	if code, stdout, stderr := execute(t, "-config", path, "-requeue"); code != exitOK || stdout != "nothing is in quarantine\n" || stderr != "" {
		t.Errorf("with nothing there: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	folder := filepath.Join(filepath.Dir(path), "quarantine")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	encoded, err := spool.EncodeRecord(&schema.Usage{CollectorID: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("{\"token\":\"x\",\"reason\":\"invalid_record\",\"rows\":1}\n{\"kind\":\"usage\",\"encoded\":%q}\n", base64.StdEncoding.EncodeToString(encoded))
	if err := os.WriteFile(filepath.Join(folder, "x-invalid_record.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// A collector that runs has the spool.
	s, err := spool.Open(spool.Config{Dir: filepath.Join(filepath.Dir(path), "spool")})
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := execute(t, "-config", path, "-requeue"); code != exitFailed || stdout != "" || !strings.Contains(stderr, "stop it first") {
		t.Errorf("while one runs: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := execute(t, "-config", path, "-requeue"); code != exitOK || !strings.HasPrefix(stdout, "1 rows of 1 blocks") || stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestReplayPrintsJSON(t *testing.T) {
	code, stdout, stderr := execute(t, "-replay", captures+"radius_acct_start_interim_stop_gigawords.pcap", "-o", "json", "-ends-at", "2026-12-01T12:00:00Z")
	if code != exitOK || !strings.Contains(stderr, "pseudonym key is random") || !strings.Contains(stderr, "28 packets") {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	kinds := map[string]int{}
	for line := range strings.Lines(stdout) {
		var x struct {
			Kind      string `json:"kind"`
			EndedAt   string `json:"ended_at"`
			Collector string `json:"collector_id"`
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil || x.Collector != "replay" || !strings.HasPrefix(x.EndedAt, "2026-12-01T1") {
			t.Fatalf("%v in %s", err, line)
		}
		kinds[x.Kind]++
	}
	if kinds["session"] == 0 || kinds["assignment"] == 0 || kinds["coverage"] == 0 {
		t.Errorf("kinds %v", kinds)
	}
	if code, _, stderr := execute(t, "-replay", captures+"radius_acct_start_interim_stop_gigawords.pcap"); code != exitFailed || !strings.Contains(stderr, "-o json") {
		t.Errorf("storing without a configuration: exit code %d, stderr %q", code, stderr)
	}
}

// What is printed is not stored: the configuration need not say where.
func TestReplayPrintsWithoutAStore(t *testing.T) {
	path := configured(t, "/run/x")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(text), "store:")
	if !found {
		t.Fatalf("no store in\n%s", text)
	}
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	replayed := []string{"-config", path, "-replay", captures + "dhcp4_client_side_dora_renew_release.pcap"}
	if code, stdout, stderr := execute(t, append(replayed, "-o", "json")...); code != exitOK || !strings.Contains(stdout, `"collector_id":"edge1"`) {
		t.Errorf("printed: exit code %d, stderr %q\n%s", code, stderr, stdout)
	}
	for _, stores := range [][]string{replayed, {"-config", path, "-check"}, append(replayed, "-o", "json", "-check")} {
		if code, stdout, stderr := execute(t, stores...); code != exitUsage || stdout != "" || !strings.Contains(stderr, "want either socket or dsn_file") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", stores, code, stdout, stderr)
		}
	}
}

// A capture that is replayed twice into the store is there once.
func TestReplayStoresOnce(t *testing.T) {
	engine := enginetest.Start(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: engine.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	config := configured(t, engine.Socket)
	var counts []string
	for range 2 {
		code, stdout, stderr := execute(t, "-config", config, "-replay", captures+"dhcp4_client_side_dora_renew_release.pcap")
		if code != exitOK || stdout != "" {
			t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
		row := conn.QueryRow(t.Context(), `SELECT (SELECT count() FROM traffic.session_slice), (SELECT count() FROM traffic.assignment_slice),
			(SELECT count() FROM traffic.usage_bucket), (SELECT sum(bytes) FROM traffic.usage_bucket)`)
		var sessions, assignments, usage, bytes uint64
		if err := row.Scan(&sessions, &assignments, &usage, &bytes); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, fmt.Sprint(sessions, assignments, usage, bytes))
	}
	if counts[0] != counts[1] || !strings.HasSuffix(counts[0], " 2 2320") {
		t.Errorf("rows and bytes after the first replay %s, after the second %s", counts[0], counts[1])
	}
}

// The service manager hears that it is ready, that it lives, and that it stops.
func TestCollectTellsTheServiceManager(t *testing.T) {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	for name, text := range map[string]string{
		"key": strings.Repeat("5a", schema.KeyLength), "secret": "s3cret",
		"collector.yaml": fmt.Sprintf("collector_id: edge1\npseudonym_key_file: %[1]s/key\nradius: {listen: '127.0.0.1:0', clients: [{prefix: 127.0.0.1, secret_file: %[1]s/secret}]}\n"+
			"spool: {dir: %[1]s/spool}\nstore: {socket: %[1]s/nothing}\nmetrics_listen: ''\n", dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A process of its own: this one keeps its capabilities.
	bin := filepath.Join(dir, "griffier-collector")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-config", filepath.Join(dir, "collector.yaml"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=10000000")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hear := func(want string) {
		t.Helper()
		buffer := make([]byte, 1024)
		manager.SetReadDeadline(time.Now().Add(3 * time.Minute))
		for {
			n, err := manager.Read(buffer)
			if err != nil {
				t.Fatalf("waiting for %s: %v\n%s", want, err, stderr.String())
			}
			if string(buffer[:n]) == want {
				return
			}
		}
	}
	hear("READY=1")
	hear("WATCHDOG=1")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"CapPrm", "CapEff"} {
		if !strings.Contains(string(status), set+":\t0000000000000000\n") {
			t.Errorf("the process still has capabilities: %s", set)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, stderr.String())
	}
}
