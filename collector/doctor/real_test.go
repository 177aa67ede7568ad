package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griffier/schema"
)

// expect requires statuses, given as CHECK=STATUS; others must pass, warn or be skipped.
func (r *router) expect(have Report, want ...string) {
	r.t.Helper()
	wanted := map[string]string{}
	for _, w := range want {
		name, status, _ := strings.Cut(w, "=")
		wanted[name] = status
		if f := finding(r.t, have, name); string(f.Status) != status {
			r.t.Errorf("%+v, want %s", f, status)
		}
	}
	for _, f := range have.Findings {
		if f.Status == Fail && wanted[f.Check] == "" {
			r.t.Errorf("also failed: %+v", f)
		}
	}
}

// One router, made ill in one way after the other.
func TestRouter(t *testing.T) {
	r := newRouter(t)

	// No schema yet, no collector.
	r.expect(r.examine(r.config()), "config=PASS", "secret-files=PASS", "kernel=PASS", "capabilities=PASS", "bpf-file-system=PASS",
		"interfaces=PASS", "pins=PASS", "offloads=PASS", "store=FAIL", "collector=WARN", "radius=PASS", "losses=SKIP")
	if err := schema.Migrate(t.Context(), r.store, nil); err != nil {
		t.Fatal(err)
	}
	if report := r.examine(r.config()); !report.Healthy {
		t.Errorf("not healthy before the first start: %+v", report)
	}

	for _, x := range []struct {
		name    string
		changes []string
		want    []string
		cause   string // of the first of want
	}{
		{"no such interface", []string{"interfaces", "{name: access9}"}, []string{"interfaces=FAIL", "pins=SKIP", "offloads=SKIP", "store=PASS"}, "Link not found"},
		{"twice the same frames", []string{"interfaces", "{name: access0}, {name: over0}"}, []string{"interfaces=FAIL"}, "count twice"},
		{"down", []string{"interfaces", "{name: off0}"}, []string{"interfaces=FAIL"}, "is down"},
		{"no carrier", []string{"interfaces", "{name: idle0}"}, []string{"interfaces=WARN"}, "far end"},
		{"no BPF file system", []string{"pins", filepath.Join(r.dir, "pins")}, []string{"bpf-file-system=FAIL", "pins=SKIP", "interfaces=PASS"}, "pinned nowhere"},
		{"no folder for pins", []string{"pins", filepath.Join(r.dir, "absent", "pins")}, []string{"bpf-file-system=WARN", "pins=PASS"}, "BPF file system"},
		{"no secret", []string{"secret", filepath.Join(r.dir, "absent")}, []string{"secret-files=FAIL", "store=SKIP", "radius=SKIP"}, "absent"},
		{"no store", []string{"store", filepath.Join(r.dir, "absent.sock")}, []string{"store=FAIL", "interfaces=PASS"}, "no such file"},
		{"address of another host", []string{"listen", "192.0.2.1:1813"}, []string{"radius=FAIL"}, "cannot assign"},
		{"RADIUS only", []string{"interfaces", ""}, []string{"kernel=SKIP", "interfaces=SKIP", "balance=SKIP", "radius=PASS"}, "no interfaces"},
	} {
		t.Run(x.name, func(t *testing.T) {
			switch x.name {
			case "twice the same frames":
				r.ip("link add link access0 name over0 type macvlan")
				r.ip("link set over0 up")
			case "down":
				r.ip("link add off0 type veth peer name off1")
			case "no carrier":
				r.ip("link add idle0 type veth peer name idle1")
				r.ip("link set idle0 up")
			}
			report := r.examine(r.config(x.changes...))
			(&router{t: t}).expect(report, x.want...)
			name, _, _ := strings.Cut(x.want[0], "=")
			if f := finding(t, report, name); !strings.Contains(f.Cause, x.cause) {
				t.Errorf("cause %q, want %q in it", f.Cause, x.cause)
			}
		})
	}
	t.Run("without rights", func(t *testing.T) {
		report := r.examine(r.config(), "capsh", "--drop=cap_bpf,cap_sys_admin,cap_net_admin,cap_perfmon", "--", "-c", `exec "$0" "$@"`)
		(&router{t: t}).expect(report, "capabilities=FAIL", "kernel=WARN", "store=PASS")
	})
	t.Run("disk", func(t *testing.T) { r.disks(t) })
	t.Run("RADIUS port taken", func(t *testing.T) {
		leave := r.occupy()
		defer leave()
		report := r.examine(r.config())
		(&router{t: t}).expect(report, "radius=FAIL")
		if f := finding(t, report, "radius"); !strings.Contains(f.Found, "something else") {
			t.Errorf("%+v", f)
		}
	})
	t.Run("a newer store", func(t *testing.T) {
		const add, remove = `INSERT INTO traffic.schema_migration SELECT 9999, '9999_future', 'x', now64(3)`,
			`ALTER TABLE traffic.schema_migration DELETE WHERE number = 9999 SETTINGS mutations_sync = 1`
		if err := r.store.Exec(t.Context(), add); err != nil {
			t.Fatal(err)
		}
		report := r.examine(r.config())
		if err := r.store.Exec(t.Context(), remove); err != nil {
			t.Fatal(err)
		}
		(&router{t: t}).expect(report, "store=FAIL")
		if f := finding(t, report, "store"); !strings.Contains(f.Cure, "upgrade the collector") {
			t.Errorf("%+v", f)
		}
	})
}

// disks puts the spool on file systems that are read-only, full and fine; they are in
// memory, since how fast this machine's disk is shows nothing.
func (r *router) disks(t *testing.T) {
	for _, x := range []struct{ name, options, want, found string }{
		{"read-only", "ro,size=128m", "FAIL", "read-only"},
		{"small", "size=32m", "WARN", "free at"},
		{"tiny", "size=4m", "FAIL", "free at"},
		{"fine", "size=128m", "PASS", "fsync"},
	} {
		dir := filepath.Join(r.dir, x.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		command(t, "mount", "-t", "tmpfs", "-o", x.options, "tmpfs", dir)
		report := r.examine(r.config("spool", filepath.Join(dir, "spool")))
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("%s: the doctor left %v, %v", x.name, entries, err)
		}
		command(t, "umount", dir)
		(&router{t: t}).expect(report, "disk="+x.want)
		if f := finding(t, report, "disk"); !strings.Contains(f.Found, x.found) {
			t.Errorf("%s: %+v", x.name, f)
		}
	}
}
