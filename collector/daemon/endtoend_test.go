package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/bpf"
	"griffier/schema"
	"griffier/schema/schematest"
)

const testKey = "3031323334353637383961626364656630313233343536373839616263646566"

// setup is a network, a store behind a gate, and a collector's configuration.
type setup struct {
	*network
	gate   *gate
	store  driver.Conn
	config string
	pins   string
	p      *schema.Pseudonymiser
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces and BPF")
	}
	awayFromMidnight()
	s := &setup{network: newNetwork(t), pins: fmt.Sprintf("/sys/fs/bpf/griffier-daemon-%d", os.Getpid())}
	dir, err := os.MkdirTemp("", "g") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	engine := schematest.Start(t)
	if s.store, err = schema.Open(t.Context(), schema.Config{Socket: engine.Socket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	var policies []schema.Policy
	for _, c := range schema.Classes {
		policies = append(policies, schema.Policy{Class: c, Period: "P14D", Zone: "Europe/Amsterdam", Purpose: "handling faults", Basis: "test", Source: "test"})
	}
	if err := schema.WritePolicy(t.Context(), s.store, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
	s.gate = openGate(t, filepath.Join(dir, "store"), engine.Socket)
	t.Cleanup(func() {
		if err := bpf.RemovePins(s.pins); err != nil {
			t.Error(err)
		}
	})
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.config = write("collector.yaml", fmt.Sprintf(`collector_id: edge1
pseudonym_key_file: %s
interfaces: [{name: %s}]
pin_dir: %s
max_slots: 64
drain_interval: 1s
flush_interval: 1s
reemit_interval: 1s
radius:
  listen: 127.0.0.1:1813
  clients: [{prefix: 127.0.0.0/8, secret_file: %s, name: bng}]
spool: {dir: %s, max_bytes: 64MiB}
store: {socket: %s}
metrics_listen: 127.0.0.1:9478
`, write("key", testKey), accessLink, s.pins, write("secret", "testing123\n"), filepath.Join(dir, "spool"), s.gate.path))
	if s.p, err = schema.ReadPseudonymKey(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	return s
}

// awayFromMidnight waits for UTC midnight, at which slices and gaps are cut, to pass
// if it is near.
func awayFromMidnight() {
	if left := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)); left < 2*time.Minute {
		time.Sleep(left + time.Second)
	}
}

// account sends one accounting request and requires its acknowledgement.
func (s *setup) account(format string, args ...any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--net=/run/netns/"+s.router, "radclient", "-r", "60", "-t", "2", "127.0.0.1:1813", "acct", "testing123")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(format, args...) + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("radclient: %v\n%s", err, out)
	}
}

func (s *setup) session(status, user, id, address, prefix string) {
	s.t.Helper()
	s.account(`User-Name = %q, Acct-Session-Id = %q, Acct-Status-Type = %s, NAS-Identifier = "bng1", NAS-Port-Id = "p1", `+
		`Framed-IP-Address = %s, Delegated-IPv6-Prefix = %s, Event-Timestamp = %d`, user, id, status, address, prefix, time.Now().Unix())
}

// usage is what the store says that a user moved.
func (s *setup) usage(user string) traffic {
	s.t.Helper()
	ref := s.p.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user})
	rows, err := s.store.Query(s.t.Context(), `SELECT direction, ip_version, sum(bytes), sum(packets) FROM traffic.usage
		WHERE hex(access_ref) = upper($1) GROUP BY direction, ip_version`, ref.String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	out := traffic{}
	for rows.Next() {
		var direction string
		var version uint8
		var m moved
		if err := rows.Scan(&direction, &version, &m.bytes, &m.packets); err != nil {
			s.t.Fatal(err)
		}
		out[fmt.Sprint(direction, version)] = m
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// intervals are what the store says of who held an address, in order.
func (s *setup) intervals(address string) (out []string) {
	s.t.Helper()
	rows, err := s.store.Query(s.t.Context(), `SELECT lower(hex(access_ref)), started_at, ended_at, open, end_cause FROM traffic.assignment
		WHERE prefix_address = toIPv6($1) AND ended_at > started_at ORDER BY started_at`, address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var ref, cause string
		var start, end time.Time
		var open bool
		if err := rows.Scan(&ref, &start, &end, &open, &cause); err != nil {
			s.t.Fatal(err)
		}
		for _, user := range []string{"anna", "bram", "carl"} {
			if s.p.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user}).String() == ref {
				ref = user
			}
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s open=%t %s", ref, open, cause)))
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *setup) count(query string) (n uint64) {
	s.t.Helper()
	if err := s.store.QueryRow(s.t.Context(), query).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// RADIUS and traffic go in at one end and come out of the store's views at the
// other, to the byte, although the collector is killed twice and the store is
// away in between.
func TestNothingLostNothingTwice(t *testing.T) {
	s := newSetup(t)
	anna4, anna6 := s.path("100.64.0.11"), s.path("2001:db8:0:1100::11")
	other4, other6 := s.path("100.64.0.12"), s.path("2001:db8:0:1200::12")
	anna, bram, carl := traffic{}, traffic{}, traffic{}

	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	s.session("Start", "bram", "2", "100.64.0.12", "2001:db8:0:1200::/56")
	anna4.exchange(t, anna, 500)
	anna6.exchange(t, anna, 300)
	other4.exchange(t, bram, 200)
	other6.exchange(t, bram, 100)
	s.readings(1)
	eventually(t, "some of it in the store", func() bool { return s.count("SELECT sum(bytes) FROM traffic.usage") > 0 })

	s.gate.shut()
	anna4.exchange(t, anna, 400)
	s.readings(1)                // some of it is in the spool only
	anna6.exchange(t, anna, 111) // and some nowhere but in the kernel
	c.kill()
	anna4.exchange(t, anna, 250) // while nobody looks
	other6.exchange(t, bram, 77)
	c = s.start()

	// The store is still away; an address changes hands.
	s.session("Stop", "bram", "2", "100.64.0.12", "2001:db8:0:1200::/56")
	time.Sleep(1100 * time.Millisecond) // RADIUS tells whole seconds
	s.session("Start", "carl", "3", "100.64.0.12", "2001:db8:0:1200::/56")
	other4.exchange(t, carl, 333)
	other6.exchange(t, carl, 44)
	c.kill() // at once: that carl has the address was acknowledged
	other4.exchange(t, carl, 55)
	c = s.start()
	s.gate.open()
	s.session("Interim-Update", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	anna6.exchange(t, anna, 66)
	c.stop()

	t.Logf("anna %v, bram %v, carl %v", anna, bram, carl)
	for user, truth := range map[string]traffic{"anna": anna, "bram": bram, "carl": carl} {
		if have := s.usage(user); fmt.Sprint(have) != fmt.Sprint(truth) {
			t.Errorf("%s moved %v, the store says %v", user, truth, have)
		}
	}
	for address, want := range map[string]string{
		"100.64.0.11": "[anna open=true]", "100.64.0.12": "[bram open=false release carl open=true]",
		"2001:db8:0:1100::": "[anna open=true]", "2001:db8:0:1200::": "[bram open=false release carl open=true]",
	} {
		if have := fmt.Sprint(s.intervals(address)); have != want && !strings.Contains(have, "cut") { // at UTC midnight there are more
			t.Errorf("%s was held by %v, want %v", address, have, want)
		}
	}
	if n := s.count("SELECT uniqExact(session_id) FROM traffic.session"); n != 3 {
		t.Errorf("%d sessions, want 3", n)
	}
	if n := s.count("SELECT count() FROM traffic.coverage WHERE state = 'gap' AND cause = 'not_running'"); n != 2 {
		t.Errorf("%d gaps are declared, want one for each time that it was killed", n)
	}
	// Nothing twice: the rows of one counter add up to its last value.
	if n := s.count(`SELECT count() FROM (SELECT sum(bytes) AS s, max(cumulative_bytes) AS m FROM traffic.usage
		GROUP BY counter_id, direction, ip_version HAVING s != m)`); n != 0 {
		t.Errorf("the rows of %d counters do not add up to their last value", n)
	}
	if n := s.count(`SELECT count() FROM traffic.coverage AS c WHERE state = 'covered' AND ended_at >
		(SELECT max(ended_at) FROM traffic.assignment)`); n != 0 {
		t.Errorf("%d covered rows reach beyond the last slice", n)
	}
}

// Without rights or a kernel that can, the error says what to do instead.
func TestErrorWithoutRights(t *testing.T) {
	s := newSetup(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nsenter", "--net=/run/netns/"+s.router, "capsh", "--drop=cap_bpf,cap_sys_admin,cap_net_admin,cap_perfmon", "--", "-c", self)
	cmd.Env = append(os.Environ(), collectorEnv+"="+s.config)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "-replay") {
		t.Errorf("%v, output:\n%s", err, out)
	}
}
