package dist

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"griffier/schema/engine"
)

const apiUnit = "griffierd.service"

// api installs griffierd as its guide says, upgrades it, and takes it away.
func (m *machine) api(put func(string)) {
	t := m.t
	steps := shell(t, "../../api/dist/INSTALL.md")
	if len(steps) != 3 {
		t.Fatalf("the guide has %d shell blocks, want 3", len(steps))
	}
	put("griffier_0.1.0_amd64.deb")
	m.run("apt-get install -y ./griffier_0.1.0_amd64.deb")
	if state := m.show(apiUnit, "ActiveState"); state != "inactive" {
		t.Errorf("after installing it is %s", state)
	}
	m.run(steps[0])
	// The machine has no network: the engine is there already, and fetching says so.
	m.engine()
	if out := m.run(steps[1]); strings.TrimSpace(out) != "/var/lib/griffier/engine/libchdb.so" {
		t.Errorf("fetching the engine printed %q", out)
	}
	out := m.run(steps[2])
	for _, want := range []string{"shutdown_grace: 20s", "Active: active (running)", "Status: \"serving, "} {
		if !strings.Contains(out, want) {
			t.Errorf("the guide's last step does not print %q:\n%s", want, out)
		}
	}
	pid := m.show(apiUnit, "MainPID")
	status := m.run("cat /proc/" + pid + "/status")
	for _, want := range []string{"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("griffierd lacks %q:\n%s", want, status)
		}
	}
	m.run("test $(stat -c %U:%a /run/griffier/store.sock) = griffier:600")
	m.run("systemctl reload griffierd")
	m.wait("the reload", func() bool {
		return strings.Contains(m.run("journalctl --no-pager -o cat -u griffierd"), `"msg":"certificates reloaded"`)
	})
	m.sameHost(put)

	put("griffier_0.2.0_amd64.deb")
	m.run("apt-get install -y ./griffier_0.2.0_amd64.deb")
	if after := m.show(apiUnit, "MainPID"); m.show(apiUnit, "ActiveState") != "active" || after == pid {
		t.Errorf("after the upgrade griffierd is %s with process %s, before %s", m.show(apiUnit, "ActiveState"), after, pid)
	}
	m.run("apt-get purge -y griffier; test -d /var/lib/griffier/ledger; ! test -e /etc/griffier/griffierd.yaml; ! test -e /usr/bin/griffierd")
	if state := m.show(apiUnit, "ActiveState"); state == "active" {
		t.Error("removed, griffierd still runs")
	}
}

// engine puts this host's engine library where griffierd's is.
func (m *machine) engine() {
	m.t.Helper()
	path, err := engine.Fetch(m.t.Context(), os.Stderr)
	if err != nil {
		m.t.Fatal(err)
	}
	dir := filepath.Join(m.root, "var/lib/griffier/engine")
	if err := os.Mkdir(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	command(m.t, "cp", path, dir)
	m.run("chown -R griffier: /var/lib/griffier/engine")
}

// sameHost runs a collector beside griffierd, as the first router's guide says.
func (m *machine) sameHost(put func(string)) {
	t := m.t
	guide, err := os.ReadFile("FIRST_ROUTER.md")
	if err != nil {
		t.Fatal(err)
	}
	dropIn := regexp.MustCompile("(?s)```ini\n# systemctl edit griffier-collector\n(.*?)```").FindSubmatch(guide)
	if dropIn == nil || !strings.Contains(string(guide), "`chown -R griffier: /var/lib/griffier-collector /etc/griffier/*.secret`") {
		t.Fatal("the guide has no drop-in, or another chown")
	}
	m.run("apt-get install -y ./griffier-collector_*.deb; mkdir -p /etc/systemd/system/griffier-collector.service.d /var/lib/griffier-collector")
	m.write("etc/systemd/system/griffier-collector.service.d/override.conf", string(dropIn[1]))
	m.run(`chown -R griffier: /var/lib/griffier-collector /etc/griffier/*.secret
		install -m 0400 -o griffier /var/lib/griffier/secret/pseudonym.key /etc/griffier/pseudonym.key
		sed -i -e 's,^  dsn_file: .*,  socket: /run/griffier/store.sock,' -e 's/^interfaces: .*/interfaces: [{name: eth1}]/' /etc/griffier/collector.yaml
		systemctl daemon-reload
		systemctl start griffier-collector`)
	m.account("Start")
	m.wait("rows in the embedded store", func() bool {
		out, _ := m.try("curl -s http://127.0.0.1:9478/metrics")
		return regexp.MustCompile(`(?m)^griffier_collector_inserted_rows_total\{kind="assignment"\} [1-9]`).MatchString(out)
	})
	m.run("apt-get purge -y griffier-collector")
}

// Every file that the packaged configuration of griffierd names is one that
// griffierd -init makes below /var/lib/griffier, or a folder that griffierd makes.
func TestAPIConfigurationNamesWhatInitMakes(t *testing.T) {
	text, err := os.ReadFile("../../api/dist/griffierd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made := filepath.Join(dir, "made")
	command(t, "go", "run", "griffier/api/cmd/griffierd", "-init", made, "-issuer", "https://id.isp.example", "-origin", "isp.example/griffier")
	later := []string{"keystore", "store", "ledger", "ledger-witness/head", "packages", "holds", "documents", "backups", "key-copies"}
	paths := regexp.MustCompile(`/var/lib/griffier/(\S+)`).FindAllStringSubmatch(string(text), -1)
	if len(paths) < 15 {
		t.Fatalf("%d paths", len(paths))
	}
	for _, p := range paths {
		if _, err := os.Stat(filepath.Join(made, p[1])); err != nil && !strings.Contains(" "+strings.Join(later, " ")+" ", " "+p[1]+" ") {
			t.Errorf("griffierd.yaml names %s, which -init does not make", p[1])
		}
	}
}
