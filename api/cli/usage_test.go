package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"griffier/api/cli"
	"griffier/schema"
)

// TestUsageScripts shows what customers, support and the overseer do, and what
// goes wrong: the scripts are the documentation of the commands and their exit
// statuses.
func TestUsageScripts(t *testing.T) {
	dir, err := os.MkdirTemp("", "g") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	homes, _ := serve(t, dir)
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	at := func(hour int) string { return day.Add(time.Duration(hour) * time.Hour).Format(time.RFC3339) }
	collected(t, filepath.Join(dir, "server"), day)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/usage",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOMES", homes)
			env.Setenv("SERVER", filepath.Join(dir, "server"))
			env.Setenv("DAY", day.Format(time.DateOnly))
			for hour := 8; hour <= 12; hour++ {
				env.Setenv(fmt.Sprintf("H%02d", hour), at(hour))
			}
			env.Setenv("LONGAGO", day.AddDate(0, 0, -30).Format(time.RFC3339))
			env.Setenv("LONGAGODAY", day.AddDate(0, 0, -30).Format(time.DateOnly))
			env.Setenv("LONGAGO2", day.AddDate(0, 0, -29).Format(time.RFC3339))
			env.Setenv("YEARAGO", day.AddDate(0, 0, -365).Format(time.RFC3339))
			env.Setenv("YEARAGODAY", day.AddDate(0, 0, -365).Format(time.DateOnly))
			env.Setenv("YEARAGO2", day.AddDate(0, 0, -364).Format(time.RFC3339))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "keep": keep, "login": login, "damage": damage, "mode": mode},
	})
}

// collected stores what a collector would have sent of the user anna: one
// session from ten past nine to twenty past ten, and a collector that worked
// from nine to eleven.
func collected(t *testing.T, server string, day time.Time) {
	t.Helper()
	conn, err := schema.Open(t.Context(), schema.Config{Socket: filepath.Join(server, "store.sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := schema.ReadPseudonymKey(filepath.Join(server, "secret", "pseudonym.key"))
	if err != nil {
		t.Fatal(err)
	}
	ref := p.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "anna@isp.example"})
	start, end := day.Add(9*time.Hour+10*time.Minute), day.Add(10*time.Hour+20*time.Minute)
	records := []schema.Record{
		&schema.Session{SessionID: schema.ID{1}, AccessRef: ref, SessionStartedAt: start, StartedAt: start, EndedAt: end, Version: 1,
			EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "nas", NASPort: "1", CollectorID: "c1"},
		&schema.Coverage{CoverageID: schema.ID{2}, CollectorID: "c1", State: schema.Covered, StartedAt: day.Add(9 * time.Hour),
			EndedAt: day.Add(11 * time.Hour), Version: 1, BootID: "b", ClockSynced: true},
	}
	for i, prefix := range []string{"198.51.100.77/32", "2001:db8:1:2::/64"} {
		records = append(records, &schema.Assignment{AssignmentID: schema.ID{3, byte(i)}, SessionID: schema.ID{1}, AccessRef: ref,
			Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535, AssignmentStartedAt: start, StartedAt: start, EndedAt: end, Version: 1,
			EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"})
	}
	use := func(bucket time.Time, direction schema.Direction, version uint8, bytes uint64) {
		records = append(records, &schema.Usage{AccessRef: ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket,
			Direction: direction, IPVersion: version, Bytes: bytes, Packets: 2, CumulativeBytes: bytes, CumulativePackets: 2, CounterID: schema.ID{4}, CollectorID: "c1"})
	}
	use(start, schema.Up, 4, 1000)
	use(start, schema.Down, 4, 50_000)
	use(start.Add(time.Hour), schema.Down, 6, 234)
	if err := schema.Insert(t.Context(), conn, "anna", records); err != nil {
		t.Fatal(err)
	}
}

var codeForm = regexp.MustCompile(`Open (\S+)\nand confirm code (\S+)\.`)

// login HOME SUBJECT logs in as the command does, and confirms in the browser's
// place.
func login(ts *testscript.TestScript, neg bool, args []string) {
	home, subject := args[0], args[1]
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(home)), "idp.pem"))
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: time.Minute}
	defer browser.CloseIdleConnections()
	read, write := io.Pipe()
	ended := make(chan int, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	go func() {
		code := cli.Run(ctx, []string{"--home", home, "login"}, strings.NewReader(""), io.Discard, write)
		write.Close()
		ended <- code
	}()
	var said bytes.Buffer
	for lines := bufio.NewScanner(read); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if found := codeForm.FindStringSubmatch(said.String()); found != nil && strings.Contains(lines.Text(), "confirm code") {
			page, err := url.Parse(found[1])
			ts.Check(err)
			page.RawQuery = ""
			resp, err := browser.PostForm(page.String(), url.Values{"user_code": {found[2]}, "subject": {subject}})
			ts.Check(err)
			resp.Body.Close()
		}
	}
	ts.Logf("%s", said.String())
	if code := <-ended; (code == 0) == neg {
		ts.Fatalf("login ended with %d", code)
	}
}

// damage FROM TO copies a ledger and flips one bit in the middle of its entries: in
// every bundle of them, since the copy of a ledger that grows holds later ones than
// the one that its tree ends with. Temporary files that are gone meanwhile are left
// out.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	to := ts.MkAbs(args[1])
	ts.Check(filepath.WalkDir(args[0], func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(args[0], path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, relative), 0o700)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(relative, filepath.Join("tile", "entries")) {
			data[len(data)/2] ^= 1
		}
		return os.WriteFile(filepath.Join(to, relative), data, 0o600)
	}))
}

// mode WANT FILE compares a file's permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(args[1])
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}
