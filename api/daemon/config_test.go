package daemon

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// initialised makes a folder and returns it with the text of its configuration.
func initialised(t testing.TB) (dir, config string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "new", "griffier")
	path, err := Init(dir, options())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(text)
}

func options() InitOptions {
	return InitOptions{Profile: "nl", Origin: "test.example/griffier", Issuer: "https://id.test.example",
		Listen: "127.0.0.1:7443", Hosts: []string{"localhost", "127.0.0.1"}}
}

func TestInitThenReadThenPrint(t *testing.T) {
	dir, text := initialised(t)
	c, err := ReadConfig(filepath.Join(dir, "griffierd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.ShutdownGrace != 20*time.Second || c.Ledger.Limit != 2*time.Second || c.Legal.ClockMargin != 2*time.Second {
		t.Errorf("defaults: %+v\n%s", c, text)
	}
	if !c.Clock.RequireSync {
		t.Error("a clock that nothing keeps would do, unasked")
	}
	for _, f := range c.files() {
		if *f != "" && !strings.HasPrefix(*f, dir+"/") {
			t.Errorf("%s is not in %s: relative paths are relative to the file's folder", *f, dir)
		}
	}
	// What -check prints is a configuration that says the same, from anywhere.
	printed, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(elsewhere, printed, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := ReadConfig(elsewhere)
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("read again: %v\n%+v, want\n%+v\n%s", err, again, c, printed)
	}
}

func TestInitIsForTheOwnerOnly(t *testing.T) {
	dir, _ := initialised(t)
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files < 15 {
		t.Errorf("%d files, %v", files, err)
	}
	// Keys are random: no two are equal, here or in another folder.
	seen := map[string]string{}
	other, _ := initialised(t)
	for _, d := range []string{dir, other} {
		keys, err := filepath.Glob(filepath.Join(d, "secret", "*.key"))
		if err != nil || len(keys) != 10 {
			t.Fatalf("keys %v, %v; want 10", keys, err)
		}
		for _, path := range keys {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if twin := seen[string(text)]; twin != "" {
				t.Errorf("%s and %s are equal", path, twin)
			}
			seen[string(text)] = path
		}
	}
}

func TestInitReplacesNothing(t *testing.T) {
	dir, text := initialised(t)
	if _, err := Init(dir, options()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("again: %v", err)
	}
	// Not even a key whose configuration is gone.
	key, err := os.ReadFile(filepath.Join(dir, "secret", "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "griffierd.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, options()); err == nil {
		t.Error("made a new configuration over old keys")
	}
	if now, err := os.ReadFile(filepath.Join(dir, "secret", "master.key")); err != nil || string(now) != string(key) {
		t.Errorf("the master key was replaced (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "griffierd.yaml")); err == nil {
		t.Errorf("a configuration was left: %s", text)
	}
}

// TestInitFailsClean: a mistake leaves nothing that would stand in the way of
// the next try.
func TestInitFailsClean(t *testing.T) {
	for name, change := range map[string]func(o *InitOptions){
		"profile":   func(o *InitOptions) { o.Profile = "fr" },
		"origin":    func(o *InitOptions) { o.Origin = "two words\n" },
		"issuer ca": func(o *InitOptions) { o.IssuerCAFile = "/no/such/file" },
	} {
		dir := filepath.Join(t.TempDir(), "g")
		o := options()
		change(&o)
		if _, err := Init(dir, o); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := Init(dir, options()); err != nil {
			t.Errorf("%s: the next try: %v", name, err)
		}
	}
}

func TestReadConfigRefuses(t *testing.T) {
	dir, good := initialised(t)
	line := func(old, new string) string {
		found := regexp.MustCompile(`(?m)^ *` + old + `$`).FindString(good)
		if found == "" {
			t.Fatalf("no line %q in\n%s", old, good)
		}
		indent := found[:len(found)-len(strings.TrimLeft(found, " "))]
		if new != "" {
			new = indent + new
		}
		return strings.Replace(good, found, new, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"good":               {good, ""},
		"unknown key":        {good + "lisen: 127.0.0.1:1\n", `config\.yaml:\d+:1: unknown field "lisen"`},
		"unknown, deeper":    {line("witness_file: .*", "witnes_file: x"), `config\.yaml:\d+:3: unknown field "witnes_file"`},
		"key twice":          {good + "listen: 127.0.0.1:1\n", `config\.yaml:\d+:1: `},
		"no yaml":            {"tls: [", `config\.yaml:1:\d+: `},
		"a duration in feet": {line("shutdown_grace: .*", "shutdown_grace: 20ft"), `config\.yaml`},
		"negative grace":     {line("shutdown_grace: .*", "shutdown_grace: -1s"), `shutdown_grace must be`},
		"empty":              {"", `keys\.dir is required`},
		"several missing":    {line("dir: keystore", "") + "", `keys\.dir is required`},
		"no port":            {line("listen: .*7443", "listen: 127.0.0.1"), `listen "127\.0\.0\.1": want HOST:PORT`},
		"named port":         {line("listen: .*7443", "listen: 127.0.0.1:grpc"), `want HOST:PORT`},
		"port too high":      {line("listen: .*7443", "listen: 127.0.0.1:70000"), `want HOST:PORT`},
		"key without cert":   {line("cert_file: .*", `cert_file: ""`), `go together`},
		"public metrics":     {strings.Replace(good, `metrics_listen: ""`, "metrics_listen: 0.0.0.0:9090", 1), `metrics_listen "0\.0\.0\.0:9090": want a loopback`},
		"both stores":        {strings.Replace(good, `dsn_file: ""`, "dsn_file: dsn", 1), `store needs either`},
		"half a store":       {line("socket: .*", `socket: ""`), `store needs either`},
		"half and a server":  {strings.Replace(line("socket: .*", `socket: ""`), `dsn_file: ""`, "dsn_file: dsn", 1), `store needs either`},
		"half a CA":          {line("ca_key_file: .*", `ca_key_file: ""`), `enrolment\.ca_cert_file and enrolment\.ca_key_file go together`},
		"CA without TLS":     {line("client_ca_file: .*", `client_ca_file: ""`), `enrolment needs tls`},
		"a life too long":    {line("certificate_life: .*", "certificate_life: 2161h"), `enrolment\.certificate_life must be`},
		"a life too short":   {line("certificate_life: .*", "certificate_life: 9s"), `enrolment\.certificate_life must be`},
		"margin":             {line("clock_margin: .*", "clock_margin: 2m"), `legal\.clock_margin must be`},
		"a grace of days":    {line("late_arrival_grace: .*", "late_arrival_grace: 48h"), `legal\.late_arrival_grace must be`},
		"days of silence":    {line("accounting_interval: .*", "accounting_interval: 25h"), `legal\.accounting_interval must be`},
		"far neighbours":     {line("neighbour_margin: .*", "neighbour_margin: 2h"), `legal\.neighbour_margin must be`},
		"a scanner of PATH":  {line("document_scanner: .*", "document_scanner: [clamdscan]"), `legal\.document_scanner must begin with the absolute path`},
		"no time to scan":    {line("document_scan_limit: .*", "document_scan_limit: 0s"), `legal\.document_scan_limit must be`},
		"ledger limit":       {line("limit: .*", "limit: 1ms"), `ledger\.limit must be`},
		"a limit off":        {line("warrants_per_authority_hour: .*", "warrants_per_authority_hour: 0"), `oversight\.warrants_per_authority_hour must be`},
		"a walk of one":      {line("walk_length: .*", "walk_length: 1"), `oversight\.walk_length must be`},
		"too long":           {good + strings.Repeat("# comment\n", 120_000), `longer than 1048576 bytes`},
	} {
		path := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadConfig(path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: err = %v, want %s and the file", name, err, c.want)
		}
	}
	// Without TLS on loopback is allowed, elsewhere not; everything missing is said at once.
	bare := "listen: 0.0.0.0:1\n"
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(bare), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadConfig(path)
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"tls.cert_file and tls.key_file are required", "keys.dir", "keys.package_signing_file", "oidc.issuer", "ledger.dir",
		"legal.packages_dir", "legal.basis_file", "legal.basis_keys_file", "retention_policy_file", "retention_policy_keys_file", "store needs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
	if _, err := ReadConfig(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestReadKey(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"good":      {good + "\n", 0o600, ""},
		"read-only": {good, 0o400, ""},
		"group":     {good, 0o640, "others may read it"},
		"world":     {good, 0o604, "others may read it"},
		"short":     {good[2:], 0o600, "want 64 hexadecimal digits"},
		"long":      {good + "00", 0o600, "want 64 hexadecimal digits"},
		"not hex":   {strings.Repeat("zz", 32), 0o600, "want 64 hexadecimal digits"},
		"empty":     {"", 0o600, "want 64 hexadecimal digits"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		key, err := readKey(path)
		switch {
		case c.want == "" && (err != nil || len(key) != 32):
			t.Errorf("%s: %d bytes, %v", name, len(key), err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "0a0a")):
			t.Errorf("%s: %v, want %s and not the key", name, err, c.want)
		}
	}
	if _, err := readKey(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}

func FuzzReadConfig(f *testing.F) {
	_, good := initialised(f)
	f.Add([]byte(good))
	f.Add([]byte("listen: 1\nkeys: {dir: x}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		for _, p := range c.files() {
			if *p != "" && !filepath.IsAbs(*p) {
				t.Fatalf("%q is still relative", *p)
			}
		}
	})
}
