package schema

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine"
)

// nodeXML makes the engine the only server of cluster "isp". Nothing listens on
// its TCP port: a replica that has it is the engine itself, reached by a call.
const nodeXML = `<tcp_port>9</tcp_port>
<macros><cluster>isp</cluster><shard>1</shard><replica>a</replica></macros>
<remote_servers><isp><shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9</port></replica></shard></isp></remote_servers>
`

// administrator is a users file whose user default may do everything.
const administrator = `<clickhouse><profiles><default></default></profiles><users><default><password></password>
<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></default></users><quotas><default></default></quotas></clickhouse>`

// startNode runs the engine with the configuration of a server on a folder.
func startNode(t testing.TB, dir, serverXML, usersXML string) (context.Context, driver.Conn) {
	t.Helper()
	ctx := t.Context()
	lib, err := engine.Fetch(ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	room, err := os.MkdirTemp("", "g") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(room) })
	e, err := engine.Start(ctx, engine.Config{DataDir: dir, SocketPath: filepath.Join(room, "s"), LibPath: lib, ServerXML: serverXML, UsersXML: usersXML})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if err := e.Close(end); err != nil {
			t.Error(err)
		}
	})
	conn, err := Open(ctx, Config{Socket: e.SocketPath(), Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return ctx, conn
}

// startZooKeeper runs Debian's ZooKeeper on loopback and returns its port.
func startZooKeeper(t *testing.T) int {
	t.Helper()
	const jar = "/usr/share/java/zookeeper.jar"
	if _, err := os.Stat(jar); err != nil {
		t.Fatalf("%v: run .ci/packages, which installs zookeeper", err)
	}
	// Below the ports that the kernel gives by itself, to another test.
	var l net.Listener
	var err error
	for range 50 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("tickTime=2000\nmaxSessionTimeout=300000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", dir, port)
	path := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("java", "-Xmx128m", "-cp", jar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if serves(port) {
			return port
		}
		if time.Now().After(deadline) {
			t.Fatal("zookeeper does not serve")
		}
	}
}

// serves asks a ZooKeeper how it is: it accepts connections before it can serve them.
func serves(port int) bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	io.WriteString(conn, "srvr")
	answer, _ := io.ReadAll(conn)
	return bytes.Contains(answer, []byte("Mode: "))
}

// here takes ON CLUSTER off: the embedded engine has no queue of statements for
// a cluster, so the test stands in for the queue on this one server.
func here(c Cluster, statement string) string { return strings.Replace(statement, c.on(), "", 1) }

// TestClusterParses has the engine read every statement as it would be sent to a
// cluster, ON CLUSTER included.
func TestClusterParses(t *testing.T) {
	ctx, conn, _ := newStore(t)
	const cluster = Cluster("{cluster}")
	all := map[string][]string{}
	for _, m := range allMigrations(t) {
		statements, err := cluster.statements(m)
		if err != nil {
			t.Error(err)
		}
		all[m.name] = statements
	}
	for class, table := range tables {
		all["drop "+string(class)] = []string{cluster.DropPartition(table, "20260101")}
	}
	for name, statements := range all {
		for _, s := range statements {
			var text string
			if err := conn.QueryRow(ctx, "SELECT formatQuery({s:String})", clickhouse.Named("s", s)).Scan(&text); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !strings.Contains(text, "ON CLUSTER `{cluster}`") && !onOneServer(s) {
				t.Errorf("%s is not for the cluster:\n%s", name, text)
			}
		}
	}
}

// nodeProcess is the variable that makes a process of its own of a test of a node:
// the embedded engine cannot close a store that has replicated tables, so the
// process that has one ends without closing it.
const nodeProcess = "GRIFFIER_TEST_ZOOKEEPER"

// TestClusterInZooKeeper makes every table, view and change of the cluster form
// in the real coordinator, twice, and looks at what came of it.
func TestClusterInZooKeeper(t *testing.T) {
	if port := os.Getenv(nodeProcess); port != "" {
		checkInZooKeeper(t, port)
		fmt.Println("failed:", t.Failed())
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestClusterInZooKeeper$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", nodeProcess, startZooKeeper(t)), "TMPDIR="+t.TempDir())
	out, _ := cmd.CombinedOutput() // it always ends by a signal
	if !strings.Contains(string(out), "failed: false\n") {
		t.Errorf("%s", out)
	}
}

func checkInZooKeeper(t *testing.T, port string) {
	const cluster = Cluster("{cluster}")
	xml := nodeXML + "<zookeeper><node><host>127.0.0.1</host><port>" + port + "</port></node>" +
		"<session_timeout_ms>300000</session_timeout_ms><operation_timeout_ms>300000</operation_timeout_ms></zookeeper>\n" // a busy machine lets none expire
	ctx, conn := startNode(t, t.TempDir(), xml, administrator)
	replicated, distributed, dropped := 0, 0, 0
	for _, m := range allMigrations(t) {
		statements, err := cluster.statements(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			_, bare := splitComment(s)
			if onOneServer(s) || strings.HasPrefix(bare, "ALTER TABLE") && !strings.Contains(bare, "ON CLUSTER '{cluster}' ADD COLUMN") {
				continue // replicated tables are read-only in the embedded engine
			}
			if strings.HasPrefix(bare, "DROP TABLE") {
				dropped++
			}
			for range 2 {
				if err := conn.Exec(ctx, here(cluster, s)); err != nil {
					t.Fatalf("%s: %v\n%s", m.name, err, s)
				}
			}
			replicated += strings.Count(s, "ENGINE = Replicated")
			distributed += strings.Count(s, "ENGINE = Distributed")
		}
	}
	if got := count(t, ctx, conn, "SELECT count() FROM system.replicas WHERE zookeeper_path LIKE '/griffier/%' AND zookeeper_exception = ''"); got != uint64(replicated-dropped) {
		t.Errorf("the coordinator has %d of %d replicated tables", got, replicated-dropped)
	}
	if got := count(t, ctx, conn, "SELECT uniqExact(zookeeper_path) FROM system.replicas"); got != uint64(replicated-dropped) {
		t.Errorf("%d replicated tables have %d paths", replicated-dropped, got)
	}
	if distributed != len(shardingKeys) {
		t.Errorf("%d Distributed tables, want %d", distributed, len(shardingKeys))
	}
	for _, view := range views { // each is answered, by way of Distributed and the replicated tables
		if n := count(t, ctx, conn, "SELECT count() FROM "+view); n != 0 {
			t.Errorf("%s has %d rows", view, n)
		}
	}
	windows := "SELECT count() FROM system.tables WHERE database = 'traffic' AND name LIKE '%\\_local' AND engine_full LIKE '%replicated_deduplication_window = 100000,%'"
	if got := count(t, ctx, conn, windows); got != uint64(len(shardingKeys)) {
		t.Errorf("%d sharded tables have the deduplication window, want %d", got, len(shardingKeys))
	}
}

var replicatedEngine = regexp.MustCompile(`ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?([^)]*)\)`)

// distributedStatements is the cluster form without the coordinator: the same
// local and Distributed tables, of which the first are not replicated, so that
// the embedded engine can write them.
func distributedStatements(t testing.TB, c Cluster, m migration) []string {
	t.Helper()
	statements, err := c.statements(m)
	if err != nil {
		t.Fatal(err)
	}
	statements = slices.DeleteFunc(statements, func(s string) bool {
		_, bare := splitComment(s)
		return strings.HasPrefix(bare, "SYSTEM SYNC REPLICA ")
	})
	for i, s := range statements {
		s = here(c, s)
		s = replicatedEngine.ReplaceAllString(s, "ENGINE = $1($2)")
		s = regexp.MustCompile(`\breplicated_deduplication_window = (\d+), replicated_deduplication_window_seconds = \d+`).ReplaceAllString(s, "non_replicated_deduplication_window = $1")
		statements[i] = s
	}
	return statements
}

// newDistributedStore returns a store whose sharded tables are Distributed.
func newDistributedStore(t testing.TB) (context.Context, driver.Conn) {
	t.Helper()
	ctx, conn := startNode(t, t.TempDir(), nodeXML, administrator)
	for _, m := range allMigrations(t) {
		for _, s := range distributedStatements(t, "isp", m) {
			if err := conn.Exec(ctx, s); err != nil {
				t.Fatalf("%s: %v\n%s", m.name, err, s)
			}
		}
	}
	return ctx, conn
}

// TestDistributedStore writes and reads through Distributed tables: what is
// sent twice is there once, the latest version counts, and expiry holds.
func TestDistributedStore(t *testing.T) {
	ctx, conn := newDistributedStore(t)
	setPolicy(t, ctx, conn, "P1M")
	records := oneOfEach(1, today(0))
	for range 3 {
		if err := Insert(ctx, conn, "t", records); err != nil {
			t.Fatal(err)
		}
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("views show %v, want %v", got, everyView)
	}
	for _, class := range Classes {
		local := Cluster("isp").Local(tables[class])
		if n := count(t, ctx, conn, "SELECT count() FROM "+local); n != 1 {
			t.Errorf("%s has %d rows after three inserts of one block, want 1", local, n)
		}
	}
	longer := testSession(1, today(0).Add(-time.Minute), today(0).Add(-time.Second))
	longer.Version = 2
	if err := Insert(ctx, conn, "u", []Record{longer}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, ctx, conn, "SELECT count() FROM traffic.session WHERE version = 2"); n != 1 || count(t, ctx, conn, "SELECT count() FROM traffic.session") != 1 {
		t.Errorf("the latest version is not the only one")
	}
	if c, err := clusterOf(ctx, conn); err != nil || c != "isp" {
		t.Errorf("the store says that it is on %q (%v)", c, err)
	}
	parts, err := Partitions(ctx, conn)
	if err != nil || len(parts) < len(Classes) {
		t.Errorf("%d partitions (%v), want one of each class at least", len(parts), err)
	}
	setPolicy(t, ctx, conn, "PT1S")
	if got := countViews(t, ctx, conn); got != [len(got)]uint64{} {
		t.Errorf("views show %v after everything expired", got)
	}
}
