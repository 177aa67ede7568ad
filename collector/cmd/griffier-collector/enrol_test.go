package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is wrong with -enrol is said before the token is read, and the token never.
// The whole way, with griffierd, is a test of package enrol.
func TestEnrolUsage(t *testing.T) {
	path := configured(t, "/nowhere")
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	const secret = "0123456789abcdef-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if err := os.WriteFile(token, []byte(secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "enrolment: {dir: "+dir+"/identity}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	pin := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no token":        {[]string{"-enrol", "h:1", "-config", path, "-ca-sha256", pin}, exitUsage, "want -token-file"},
		"no CA":           {[]string{"-enrol", "h:1", "-config", path, "-token-file", token}, exitUsage, "either -ca or -ca-sha256"},
		"two CAs":         {[]string{"-enrol", "h:1", "-config", path, "-token-file", token, "-ca", "x", "-ca-sha256", pin}, exitUsage, "either -ca or -ca-sha256"},
		"no config":       {[]string{"-enrol", "h:1", "-token-file", token, "-ca-sha256", pin}, exitUsage, "-config"},
		"a check too":     {[]string{"-enrol", "h:1", "-config", path, "-check", "-token-file", token, "-ca-sha256", pin}, exitUsage, "nothing else to do"},
		"no -enrol":       {[]string{"-config", path, "-token-file", token}, exitUsage, "go with -enrol"},
		"no port":         {[]string{"-enrol", "h", "-config", path, "-token-file", token, "-ca-sha256", pin}, exitFailed, "HOST:PORT"},
		"half a pin":      {[]string{"-enrol", "h:1", "-config", path, "-token-file", token, "-ca-sha256", "ab"}, exitFailed, "64 hexadecimal digits"},
		"no CA file":      {[]string{"-enrol", "h:1", "-config", path, "-token-file", token, "-ca", dir + "/none"}, exitFailed, "none"},
		"a public token":  {[]string{"-enrol", "h:1", "-config", path, "-token-file", token, "-ca-sha256", pin}, exitFailed, "chmod 600"},
		"an empty stdin":  {[]string{"-enrol", "h:1", "-config", path, "-token-file", "-", "-ca-sha256", pin}, exitFailed, "want the token"},
		"no such token":   {[]string{"-enrol", "h:1", "-config", path, "-token-file", dir + "/none", "-ca-sha256", pin}, exitFailed, "token:"},
		"nobody listens":  {[]string{"-enrol", "127.0.0.1:1", "-config", path, "-token-file", dir + "/private", "-ca-sha256", pin}, exitFailed, "cannot be reached"},
		"another's token": {[]string{"-enrol", "127.0.0.1:1", "-config", path, "-token-file", dir + "/two", "-ca-sha256", pin}, exitFailed, "nothing else"},
	} {
		for file, text := range map[string]string{"private": secret, "two": secret + " " + secret} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		code, stdout, stderr := execute(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" || strings.Contains(stderr, secret[17:]) {
			t.Errorf("%s: exit %d with %q, %q; want %d with %q", name, code, stdout, stderr, c.code, c.want)
		}
	}
}

// The guide's command is one that there is: it gets as far as the fingerprint, for
// which the guide has a word in its place.
func TestTheGuidesEnrolCommandExists(t *testing.T) {
	guide, err := os.ReadFile("../../dist/FIRST_ROUTER.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^runuser .* -- griffier-collector (-enrol .*)$`).FindSubmatch(guide)
	if found == nil {
		t.Fatal("the guide does not enrol")
	}
	args := strings.Fields(strings.Replace(string(found[1]), "/etc/griffier/collector.yaml", configured(t, "/nowhere"), 1))
	if code, _, stderr := execute(t, args...); code != exitFailed || !strings.Contains(stderr, "64 hexadecimal digits") {
		t.Errorf("%v: exit %d with %q", args, code, stderr)
	}
}
