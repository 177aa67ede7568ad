package engine

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Config says where the engine keeps its data and where it listens.
type Config struct {
	// DataDir holds everything the engine writes. It is created with mode 0700
	// if it is absent, and belongs to one process at a time. Required.
	DataDir string

	// SocketPath is the unix socket to serve on, at most 107 bytes long. A
	// socket left there by a dead process is replaced. Its folder must exist.
	// Default "engine.sock" in DataDir.
	SocketPath string

	// LibPath is libchdb.so, as returned by [Fetch]. Required.
	LibPath string

	// MaxMemoryBytes bounds what the engine allocates for queries, merges and
	// caches together; a query that would exceed it fails with code 241. The
	// default, 0, is half of the machine's memory.
	MaxMemoryBytes uint64

	// MaxConcurrentRequests bounds how many requests run at once; more wait for
	// their turn. Each occupies a thread. Default 32.
	MaxConcurrentRequests int

	// MaxStatementBytes bounds the text of one statement, data streamed after an
	// INSERT not counted. Default 16 MiB.
	MaxStatementBytes int64

	// ServerXML is added to the engine's configuration file: the elements
	// zookeeper, macros and remote_servers, under which the statements of a
	// cluster can be tried without one. Replicated tables can be made and read
	// here, not written. Default none.
	ServerXML string

	// UsersXML replaces the engine's users file, pinned settings and grants
	// included: with it a server's users, grants and row policies can be tried.
	// Every request is user default's. Default none.
	UsersXML string
}

const (
	defaultMaxConcurrentRequests = 32
	defaultMaxStatementBytes     = 16 << 20
	maxSocketPathBytes           = 107 // unix(7): sun_path is 108 bytes with its NUL
)

// filled returns the configuration with defaults in place, or what is wrong
// with it.
func (c Config) filled() (Config, error) {
	if c.DataDir == "" {
		return c, fmt.Errorf("engine: no data folder given")
	}
	if c.LibPath == "" {
		return c, fmt.Errorf("engine: no library path given")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, fmt.Errorf("engine: data folder: %w", err)
	}
	c.DataDir = dir
	if c.SocketPath == "" {
		c.SocketPath = filepath.Join(dir, "engine.sock")
	}
	if c.SocketPath, err = filepath.Abs(c.SocketPath); err != nil {
		return c, fmt.Errorf("engine: socket path: %w", err)
	}
	if len(c.SocketPath) > maxSocketPathBytes {
		return c, fmt.Errorf("engine: socket path is %d bytes long, a unix socket allows %d: %s",
			len(c.SocketPath), maxSocketPathBytes, c.SocketPath)
	}
	if c.MaxConcurrentRequests <= 0 {
		c.MaxConcurrentRequests = defaultMaxConcurrentRequests
	}
	if c.MaxStatementBytes <= 0 {
		c.MaxStatementBytes = defaultMaxStatementBytes
	}
	return c, nil
}

// storeFolder is where the engine's own files are.
func storeFolder(dataDir string) string { return filepath.Join(dataDir, "store") }

// pinnedSettings hold for every query. A client may not change them: what they
// say is what "acknowledged" means to the collectors.
var pinnedSettings = []struct{ name, value string }{
	// An asynchronous insert is acknowledged from memory.
	{"async_insert", "0"},
	// A replayed block must not be counted again by the views fed from it.
	{"deduplicate_blocks_in_dependent_materialized_views", "1"},
	// Statements carry personal data; they are kept nowhere.
	{"log_queries", "0"},
}

// defaultSettings hold unless a client says otherwise.
var defaultSettings = []struct{ name, value string }{
	// Times are UTC everywhere; the zone of a form is the API's business.
	{"session_timezone", "UTC"},
	// A mistyped statement is an error, not an expression.
	{"implicit_select", "0"},
	// A view is planned as the sub-query that it stands for, and not again by itself.
	{"analyzer_inline_views", "1"},
}

// writeServerConfig writes the engine's configuration files into the data
// folder and returns the arguments that make the engine use them. Naming the
// file also keeps the engine from picking up a config.xml of the working
// directory or the home folder.
func writeServerConfig(c Config) ([]string, error) {
	store := storeFolder(c.DataDir)
	if err := os.MkdirAll(store, 0o700); err != nil {
		return nil, fmt.Errorf("engine: data folder: %w", err)
	}
	// The folder above may have been made for us, and open to others.
	if err := os.Chmod(store, 0o700); err != nil {
		return nil, fmt.Errorf("engine: data folder: %w", err)
	}
	main := filepath.Join(c.DataDir, "engine.xml")
	users := filepath.Join(c.DataDir, "profile.xml")
	if err := os.WriteFile(main, serverXML(c, users), 0o600); err != nil {
		return nil, fmt.Errorf("engine: write configuration: %w", err)
	}
	profile := profileXML()
	if c.UsersXML != "" {
		profile = []byte(c.UsersXML)
	}
	if err := os.WriteFile(users, profile, 0o600); err != nil {
		return nil, fmt.Errorf("engine: write configuration: %w", err)
	}
	return []string{"clickhouse", "--path=" + store, "--config-file=" + main}, nil
}

func serverXML(c Config, users string) []byte {
	var out bytes.Buffer
	out.WriteString("<clickhouse>\n")
	element(&out, 1, "users_config", users)
	if c.MaxMemoryBytes > 0 {
		element(&out, 1, "max_server_memory_usage", strconv.FormatUint(c.MaxMemoryBytes, 10))
	} else {
		element(&out, 1, "max_server_memory_usage_to_ram_ratio", "0.5")
	}
	element(&out, 1, "mark_cache_size", strconv.Itoa(256<<20))
	// What is acknowledged is on the disk, and so is its name.
	out.WriteString("  <merge_tree>\n")
	element(&out, 2, "fsync_after_insert", "1")
	element(&out, 2, "fsync_part_directory", "1")
	out.WriteString("  </merge_tree>\n" + c.ServerXML + "</clickhouse>\n")
	return out.Bytes()
}

func profileXML() []byte {
	var out bytes.Buffer
	out.WriteString("<clickhouse>\n  <profiles>\n    <default>\n")
	for _, s := range append(pinnedSettings[:len(pinnedSettings):len(pinnedSettings)], defaultSettings...) {
		element(&out, 3, s.name, s.value)
	}
	out.WriteString("      <constraints>\n")
	for _, s := range pinnedSettings {
		fmt.Fprintf(&out, "        <%s><const/></%s>\n", s.name, s.name)
	}
	out.WriteString("      </constraints>\n    </default>\n  </profiles>\n")
	out.WriteString("  <users>\n    <default>\n      <password></password>\n" +
		"      <networks><ip>::/0</ip></networks>\n" +
		"      <profile>default</profile>\n      <quota>default</quota>\n" + grantsXML() +
		"    </default>\n  </users>\n" +
		"  <quotas><default></default></quotas>\n</clickhouse>\n")
	return out.Bytes()
}

func element(out *bytes.Buffer, depth int, name, value string) {
	for range depth {
		out.WriteString("  ")
	}
	fmt.Fprintf(out, "<%s>", name)
	_ = xml.EscapeText(out, []byte(value)) // a bytes.Buffer does not fail
	fmt.Fprintf(out, "</%s>\n", name)
}

// grants are what a statement may do. Everything that works on the engine's own
// tables is here; what reaches outside them is not: table functions and engines
// that read and write files, fetch URLs, run programs or dial other databases.
// A statement that somehow carries an attacker's text stays inside the store.
var grants = []string{
	"SHOW", "SELECT", "INSERT", "ALTER", "CREATE", "DROP", "UNDROP TABLE", "TRUNCATE", "OPTIMIZE", "KILL QUERY", "dictGet",
	"SYSTEM MERGES", "SYSTEM TTL MERGES", "SYSTEM DROP CACHE",
}

func grantsXML() string {
	var out bytes.Buffer
	out.WriteString("      <grants>\n")
	for _, grant := range grants {
		element(&out, 4, "query", "GRANT "+grant+" ON *.*")
	}
	out.WriteString("      </grants>\n")
	return out.String()
}
