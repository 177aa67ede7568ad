package sink

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/spool"
	"griffier/schema"
)

// overTCP lets a server's DSN lead to the engine's socket, and returns its address.
func overTCP(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				all.Go(func() {
					io.Copy(way[1], way[0])
					in.Close()
					out.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// What an acknowledgement rests on holds over a DSN that says otherwise.
func TestDSNCannotWeakenInserts(t *testing.T) {
	conn, socket := newStore(t)
	neverMerge(t, conn)
	dsn := "http://" + overTCP(t, socket) + "/default?async_insert=1&wait_for_async_insert=0&insert_deduplicate=0" +
		"&distributed_foreground_insert=0&deduplicate_blocks_in_dependent_materialized_views=0"
	r := newRig(t, spool.Config{BlockRows: 10}, socket)
	var err error
	if r.sink, err = New(Config{
		Spool: r.spool, Store: schema.Config{DSN: dsn}, QuarantineDir: r.quarantine, Registerer: prometheus.NewRegistry(), Logger: r.sink.log,
		Gather: r.sink.cfg.Gather, InsertTimeout: r.sink.cfg.InsertTimeout,
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time under the same token, as after a lost answer
		if err := r.sink.insert(t.Context(), "a-token", usages(0, 5)); err != nil {
			t.Fatal(err)
		}
		if got := count(t, conn, "SELECT count() FROM traffic.usage_bucket"); got != 5 {
			t.Errorf("%d rows are there when the insert is answered, want 5", got)
		}
	}
	defer r.sink.conn.Close()
	for name, want := range map[string]string{"async_insert": "0", "insert_deduplicate": "1", "distributed_foreground_insert": "1",
		"deduplicate_blocks_in_dependent_materialized_views": "1", "log_queries": "0"} {
		var got string
		if err := r.sink.conn.QueryRow(t.Context(), "SELECT value FROM system.settings WHERE name = $1", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q (%v), want %s", name, got, err, want)
		}
	}
}
