package schema

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"griffier/schema/engine/enginetest"
)

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"nothing":     {},
		"both":        {Socket: "/s", DSN: "clickhouse://localhost"},
		"not a DSN":   {DSN: "clickhouse://user:hunter2@host:port/"},
		"no socket":   {Socket: filepath.Join(t.TempDir(), "absent")},
		"no listener": {DSN: "clickhouse://user:hunter2@" + closedAddress(t) + "/?dial_timeout=1s"},
	} {
		conn, err := Open(t.Context(), c)
		if err == nil {
			conn.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.HasPrefix(err.Error(), "open store: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want an error of open store without the password", name, err)
		}
	}
}

// closedAddress returns a loopback address at which nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestOpenAppliesSettings(t *testing.T) {
	database := enginetest.Start(t)
	t.Setenv("http_proxy", "http://192.0.2.1:3128") // must not be asked
	for _, c := range []struct {
		settings map[string]any
		want     string
	}{
		{nil, "0,auto"},
		{map[string]any{"max_threads": 3}, "0,3"},
	} {
		conn, err := Open(t.Context(), Config{Socket: database.Socket, Settings: c.settings})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		const query = "SELECT concat(toString(toUInt8(getSetting('log_queries'))), ',', (SELECT if(changed, value, 'auto') FROM system.settings WHERE name = 'max_threads'))"
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil || got != c.want {
			t.Errorf("with %v: log_queries,max_threads = %s (%v), want %s", c.settings, got, err, c.want)
		}
		conn.Close()
	}
}

// TestOpenByDSN goes the way of a server: a DSN and TCP. The embedded engine has
// no port, so the test lends it one.
func TestOpenByDSN(t *testing.T) {
	ctx, direct, database := newStore(t)
	setPolicy(t, ctx, direct, "P1M")
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
			inside, err := net.Dial("unix", database.Socket)
			if err != nil {
				outside.Close()
				continue
			}
			relays.Go(func() { io.Copy(inside, outside); inside.Close() })
			relays.Go(func() { io.Copy(outside, inside); outside.Close() })
		}
	})
	conn, err := Open(ctx, Config{DSN: "http://" + l.Addr().String() + "/default?max_threads=2"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := Migrate(ctx, conn, nil); err != nil {
		t.Fatal(err)
	}
	if err := Insert(ctx, conn, "t", oneOfEach(1, today(0))); err != nil {
		t.Fatal(err)
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("views show %v", got)
	}
}

// TestOpenPinsSettings: what deduplication rests on goes with every connection, and
// neither a DSN nor a caller can say otherwise.
func TestOpenPinsSettings(t *testing.T) {
	database := enginetest.Start(t)
	const dsn = "clickhouse://127.0.0.1:9000/"
	for name, c := range map[string]Config{
		"socket":                 {Socket: database.Socket},
		"DSN":                    {DSN: dsn},
		"DSN that agrees":        {DSN: dsn + "?async_insert=0&insert_deduplicate=1"},
		"settings that agree":    {DSN: dsn, Settings: map[string]any{"async_insert": "0"}},
		"DSN of the HTTP server": {DSN: "http://127.0.0.1:8123/"},
	} {
		options, err := c.options()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for setting, want := range pinnedSettings {
			if got := options.Settings[setting]; got != want {
				t.Errorf("%s: %s = %v, want %v", name, setting, got, want)
			}
		}
	}
	for setting, c := range map[string]Config{
		"async_insert":       {DSN: dsn + "?async_insert=1"},
		"insert_deduplicate": {DSN: dsn + "?insert_deduplicate=0"},
		"deduplicate_blocks_in_dependent_materialized_views": {Socket: database.Socket, Settings: map[string]any{"deduplicate_blocks_in_dependent_materialized_views": 0}},
	} {
		if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s set otherwise: %v, want it refused by name", setting, err)
		}
	}
}
