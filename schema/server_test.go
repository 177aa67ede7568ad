package schema

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine/enginetest"
)

// The tests of this package are the conformance suite of a server: they run on the
// one that testDSN names, and on the embedded engine otherwise. The server is for
// tests: its databases traffic, register and statistics are dropped each time.
// testCluster is the cluster to make the store on, testCA the PEM of who signed
// the server's certificate.
const (
	testDSN     = "GRIFFIER_TEST_DSN"
	testCluster = "GRIFFIER_TEST_CLUSTER"
	testCA      = "GRIFFIER_TEST_CA"
)

// serverStore returns an empty store on the server under test, and false if there
// is none.
func serverStore(t testing.TB) (driver.Conn, bool) {
	t.Helper()
	config, there := serverConfig()
	if !there {
		return nil, false
	}
	conn, err := Open(t.Context(), config)
	if err != nil {
		t.Fatalf("%s: %v", testDSN, err)
	}
	clear := func() {
		for _, database := range []string{"traffic", "register", "statistics"} {
			drop := "DROP DATABASE IF EXISTS " + database + Cluster(os.Getenv(testCluster)).on() + " SYNC"
			if err := conn.Exec(context.Background(), drop); err != nil {
				t.Errorf("%s: %v", testDSN, err)
			}
		}
	}
	clear()
	t.Cleanup(func() { clear(); conn.Close() })
	return conn, true
}

func serverConfig() (c Config, there bool) {
	return Config{DSN: os.Getenv(testDSN), CAFile: os.Getenv(testCA)}, os.Getenv(testDSN) != ""
}

// relay lends a unix socket a TCP port on loopback.
func relay(t testing.TB, socket string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	t.Cleanup(relays.Wait)
	t.Cleanup(func() { l.Close() })
	relays.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := net.Dial("unix", socket)
			if err != nil {
				outside.Close()
				continue
			}
			relays.Go(func() { io.Copy(inside, outside); inside.Close() })
			relays.Go(func() { io.Copy(outside, inside); outside.Close() })
		}
	})
	return l.Addr().String()
}

// TestConformanceSuite runs the suite as it runs on a server, by a DSN, on an
// engine that was lent a port. What it cannot show here is ClickHouse's native
// protocol and CREATE USER.
func TestConformanceSuite(t *testing.T) {
	if _, there := serverConfig(); there {
		return // this is the suite
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^(TestInsertRoundTrip|TestInsertDeduplicates|TestExpiryAtTheInstant|TestLatestVersion|TestUsageDayMarks|TestMigrateOnce|TestRoleStatements)", "-rapid.checks=3")
	cmd.Env = append(os.Environ(), testDSN+"=http://"+relay(t, enginetest.Start(t).Socket)+"/default")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if passed := len(regexp.MustCompile(`(?m)^--- PASS`).FindAll(out, -1)); passed < 7 || bytes.Contains(out, []byte("no tests to run")) {
		t.Errorf("%d tests ran:\n%s", passed, strings.TrimSpace(string(out)))
	}
}
