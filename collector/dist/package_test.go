package dist

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// build makes the programs and their packages, in two versions.
func build(t *testing.T) (debs string) {
	t.Helper()
	dir := t.TempDir()
	bin, debs := filepath.Join(dir, "bin"), filepath.Join(dir, "debs")
	if err := os.Mkdir(debs, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin+"/", "griffier/collector/cmd/griffier-collector", "griffier/api/cmd/griffierd", "griffier/api/cmd/griffier")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, x := range [][2]string{{".", "0.1.0"}, {".", "0.2.0"}, {"../../api/dist", "0.1.0"}, {"../../api/dist", "0.2.0"}} {
		command(t, "./package", x[0], x[1], bin, debs)
	}
	return debs
}

// Both packages are installed, used as their guides say, upgraded and removed, on
// a machine of their own that systemd has booted.
func TestPackages(t *testing.T) {
	debs := build(t)
	engine := enginetest.Start(t)
	store, err := schema.Open(t.Context(), schema.Config{Socket: engine.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := schema.Migrate(t.Context(), store, nil); err != nil {
		t.Fatal(err)
	}
	m := boot(t)
	m.lead("127.0.0.1:8123", engine.Socket)
	put := func(name string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(debs, name))
		if err != nil {
			t.Fatal(err)
		}
		m.write(filepath.Join("root", name), string(text))
	}
	put("griffier-collector_0.1.0_amd64.deb")
	m.collector(put)
	m.api(put)
}

// shell returns the shell blocks of a guide, in order.
func shell(t *testing.T, path string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		var lines []string
		indent := len(b[1]) - len(strings.TrimLeft(b[1], " "))
		for _, l := range strings.Split(b[1], "\n") {
			lines = append(lines, strings.TrimPrefix(l, strings.Repeat(" ", indent)))
		}
		blocks = append(blocks, strings.Join(lines, "\n"))
	}
	return blocks
}

const unit = "griffier-collector.service"

func (m *machine) collector(put func(string)) {
	t := m.t
	m.write("root/pseudonym.key", strings.Repeat("ab", schema.KeyLength))
	steps := shell(t, "FIRST_ROUTER.md")
	if len(steps) != 5 {
		t.Fatalf("the guide has %d shell blocks, want 5", len(steps))
	}
	// Nothing but the store's address is another one.
	const dsn = `clickhouse://griffier_collector:PASSWORD@store.isp.example:9440/?secure=true`
	if !strings.Contains(steps[1], dsn) {
		t.Fatal("the guide's second step has another DSN")
	}
	steps[1] = strings.Replace(steps[1], dsn, "http://127.0.0.1:8123/default", 1)

	m.run(steps[0])
	if state := m.show(unit, "ActiveState"); state != "inactive" {
		t.Errorf("after installing it is %s", state)
	}
	m.run(steps[1])
	effective := m.run("cd /etc/griffier\n" + steps[2])
	for _, want := range []string{"name: eth1", "flush_interval: 5m0s", "192.0.2.10/32", "dsn_file: /etc/griffier/store.dsn"} {
		if !strings.Contains(effective, want) {
			t.Errorf("-check does not print %q:\n%s", want, effective)
		}
	}
	status := m.run(steps[3])
	for _, want := range []string{"WARN  collector", " 0 failed", "Active: active (running)", "Status: \"0 sessions, 0 addresses, 0 events/s"} {
		if !strings.Contains(status, want) {
			t.Errorf("the guide's fourth step does not print %q:\n%s", want, status)
		}
	}
	m.account("Start")
	m.wait("the first reading of the counters, and of the session", func() bool {
		out, _ := m.try("curl -s http://127.0.0.1:9478/metrics")
		return strings.Contains(out, "griffier_collector_traffic_seen_bytes_total") && strings.Contains(out, "griffier_collector_sessions 1")
	})
	out := m.run(steps[4])
	for _, want := range []string{"PASS  radius ", "PASS  pins", "PASS  store", "PASS  accounting-freshness", "griffier_collector_sessions 1", "griffier_collector_traffic_seen_bytes_total"} {
		if !strings.Contains(out, want) {
			t.Errorf("the guide's last step does not print %q:\n%s", want, out)
		}
	}
	m.confined()

	// Reload, and a crash.
	m.run("sed -i 's/^log_level: info/log_level: debug/' /etc/griffier/collector.yaml; systemctl reload griffier-collector")
	m.wait("the reload", func() bool {
		return strings.Contains(m.run("journalctl --no-pager -o cat -u griffier-collector"), `"msg":"configuration reloaded"`)
	})
	first := m.show(unit, "MainPID")
	m.run("kill -KILL " + first)
	m.wait("another process", func() bool {
		pid := m.show(unit, "MainPID")
		return pid != "0" && pid != first && m.show(unit, "ActiveState") == "active"
	})
	m.wait("the session that was there before the crash", func() bool {
		out, _ := m.try("curl -s http://127.0.0.1:9478/metrics")
		return strings.Contains(out, "griffier_collector_sessions 1\n")
	})
	m.enlarged()
	m.translating()
	m.upgraded(put)
}

// translating requires that the unit's limits let conntrack be observed.
func (m *machine) translating() {
	m.run(`sysctl -q -w net.netfilter.nf_conntrack_events=1 net.netfilter.nf_conntrack_timestamp=1
		cp -p /etc/griffier/collector.yaml /root/before.yaml
		printf 'cgnat: {conntrack: true, inside: [100.64.0.0/10], outside: [198.51.100.0/24]}\n' >>/etc/griffier/collector.yaml
		systemctl restart griffier-collector`)
	if out := m.run("curl -s http://127.0.0.1:9478/metrics"); !strings.Contains(out, "griffier_collector_translations 0\n") {
		m.t.Errorf("conntrack is not observed:\n%s", m.run("journalctl --no-pager -o cat -n 20 -u griffier-collector"))
	}
	m.run("mv /root/before.yaml /etc/griffier/collector.yaml; systemctl restart griffier-collector")
}

// enlarged changes max_slots as the guide says.
func (m *machine) enlarged() {
	text, err := os.ReadFile("FIRST_ROUTER.md")
	if err != nil {
		m.t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```console\n(.*?)```").FindSubmatch(text)
	if block == nil {
		m.t.Fatal("the guide does not say how to change max_slots")
	}
	m.run(string(block[1]))
	m.wait("a counter for each of 262144 lines", func() bool {
		out, _ := m.try("curl -s http://127.0.0.1:9478/metrics")
		return regexp.MustCompile(`(?m)^griffier_collector_slots_free 26214[0-4]$`).MatchString(out)
	})
}

// account sends accounting of one session, as the doctor's client.
func (m *machine) account(status string) {
	m.t.Helper()
	m.run(`printf 'User-Name = "anna", Acct-Session-Id = "1", Acct-Status-Type = ` + status + `, NAS-Identifier = "bng1", Framed-IP-Address = 100.64.0.11\n' |
		radclient -r 60 -t 2 127.0.0.1:1813 acct "$(cat /etc/griffier/radius-local.secret)"`)
}

// confined requires that the running process is as the unit says.
func (m *machine) confined() {
	t := m.t
	pid := m.show(unit, "MainPID")
	status := m.run("cat /proc/" + pid + "/status")
	for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t000000c000001000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("the process lacks %q:\n%s", want, status)
		}
	}
	if user := strings.TrimSpace(m.run("stat -c %U /proc/" + pid)); user != "griffier-collector" {
		t.Errorf("it runs as %q", user)
	}
	log := m.run("journalctl --no-pager -o cat -u griffier-collector")
	for _, bad := range []string{"capabilities are kept", "anna", "100.64.0.11"} {
		if strings.Contains(log, bad) {
			t.Errorf("the log has %q:\n%s", bad, log)
		}
	}
	// The clock can be read in spite of the filter: what it tells is a number.
	if out := m.run("griffier-collector -doctor"); strings.Contains(out, "does not tell the state of its clock") {
		t.Errorf("%s", out)
	}
}

// upgraded goes on to the next version, and then takes everything away.
func (m *machine) upgraded(put func(string)) {
	t := m.t
	before := m.show(unit, "MainPID")
	m.run("rm /root/griffier-collector_0.1.0_amd64.deb")
	put("griffier-collector_0.2.0_amd64.deb")
	m.run("apt-get install -y ./griffier-collector_*.deb")
	if v := m.run("dpkg-query -W -f '${Version}' griffier-collector"); v != "0.2.0" {
		t.Errorf("version %s is installed", v)
	}
	if after := m.show(unit, "MainPID"); m.show(unit, "ActiveState") != "active" || after == before || after == "0" {
		t.Errorf("after the upgrade it is %s with process %s, before %s", m.show(unit, "ActiveState"), after, before)
	}
	if out := m.run("grep -c '^interfaces: .{name: eth1}.' /etc/griffier/collector.yaml"); !strings.HasPrefix(out, "1") {
		t.Error("the upgrade changed the configuration")
	}
	m.account("Interim-Update")
	m.run("systemctl stop griffier-collector; apt-get install -y --reinstall ./griffier-collector_*.deb")
	if state := m.show(unit, "ActiveState"); state != "inactive" {
		t.Errorf("an upgrade made a stopped service %s", state)
	}
	m.run("systemctl start griffier-collector; apt-get remove -y griffier-collector")
	m.run("test -d /var/lib/griffier-collector/spool; test -e /etc/griffier/collector.yaml; ! mountpoint -q /run/griffier_bpf; ! test -e /usr/bin/griffier-collector")
	if state := m.show(unit, "ActiveState"); state == "active" {
		t.Error("removed, it still runs")
	}
	m.run("apt-get purge -y griffier-collector")
	m.run("! test -e /var/lib/griffier-collector; ! test -e /etc/griffier/collector.yaml; ! test -e /etc/griffier/radius-local.secret")
}
