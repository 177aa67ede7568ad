package replay

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"griffier/bpf/bpftest"
	"griffier/collector/lease"
	"griffier/schema"
)

// lab is a wire with programs at both ends.
type lab struct {
	t    *testing.T
	wire *bpftest.Wire
	dir  string
}

// run runs a program at one end until it ends.
func (l *lab) run(ns netns.NsHandle, name string, args ...string) {
	l.t.Helper()
	out, err := []byte(nil), error(nil)
	bpftest.In(l.t, ns, func() { out, err = exec.CommandContext(l.t.Context(), name, args...).CombinedOutput() })
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// program is one that runs.
type program struct {
	t       *testing.T
	cmd     *exec.Cmd
	log     string
	stopped bool
}

// start starts a program at one end and waits until it has said what.
func (l *lab) start(ns netns.NsHandle, what, name string, args ...string) *program {
	l.t.Helper()
	log, err := os.CreateTemp(l.dir, name)
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	p := &program{t: l.t, cmd: exec.Command(name, args...), log: log.Name()}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+l.dir, "KEA_LOCKFILE_DIR="+l.dir)
	bpftest.In(l.t, ns, func() { err = p.cmd.Start() })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(p.stop)
	p.await(what)
	return p
}

func (p *program) await(what string) {
	p.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		said, err := os.ReadFile(p.log)
		if err == nil && bytes.Contains(said, []byte(what)) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s never said %q:\n%s", p.cmd.Path, what, said)
		}
	}
}

func (p *program) stop() {
	if !p.stopped {
		p.stopped = true
		p.cmd.Process.Signal(syscall.SIGTERM)
		p.cmd.Wait()
	}
}

const keaConfig = `{"Dhcp4": {
  "interfaces-config": {"interfaces": ["r0"], "dhcp-socket-type": "raw"},
  "lease-database": {"type": "memfile", "persist": true, "name": %q, "lfc-interval": 0},
  "valid-lifetime": 600, "multi-threading": {"enable-multi-threading": false},
  "subnet4": [{"subnet": "100.64.0.0/16", "pools": [{"pool": "100.64.1.0 - 100.64.1.255"}]}],
  "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stderr", "flush": true}]}]
}}`

// tenancy is who held an address from when.
type tenancy struct {
	address string
	ref     schema.AccessRef
	since   time.Time
	over    bool
}

// asKeaRecorded reads the rows that Kea wrote, one for each lease that it gave,
// renewed or took back.
func asKeaRecorded(t *testing.T, path string, p *schema.Pseudonymiser) (all []tenancy) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]int{} // into all, by address
	for _, row := range rows[1:] {
		mac, err := net.ParseMAC(row[1])
		if err != nil {
			t.Fatal(err)
		}
		valid, errValid := strconv.ParseInt(row[3], 10, 64)
		expires, errExpires := strconv.ParseInt(row[4], 10, 64)
		if errValid != nil || errExpires != nil {
			t.Fatalf("Kea wrote %v", row)
		}
		id := lease.MACIdentifier("eth1", 0, 0, mac)
		if client := strings.ReplaceAll(row[2], ":", ""); client != "" && client != "01"+hex.EncodeToString(mac) {
			raw, err := hex.DecodeString(client)
			if err != nil {
				t.Fatal(err)
			}
			id = lease.ClientIDIdentifier("eth1", 0, 0, raw)
		}
		at, held := open[row[0]]
		switch {
		case valid == 0:
			if held {
				all[at].over = true
				delete(open, row[0])
			}
		case !held || all[at].ref != p.Ref(id):
			if held {
				all[at].over = true
			}
			open[row[0]] = len(all)
			all = append(all, tenancy{row[0], p.Ref(id), time.Unix(expires-valid, 0), false})
		}
	}
	return all
}

// asReplayed makes the same of the records.
func asReplayed(records []schema.Record) (all []tenancy) {
	latest := map[schema.ID]*schema.Assignment{}
	for _, r := range records {
		if a, ok := r.(*schema.Assignment); ok {
			latest[a.AssignmentID] = a
		}
	}
	for _, a := range latest {
		all = append(all, tenancy{a.Prefix.Addr().String(), a.AccessRef, a.StartedAt, !a.Open})
	}
	return all
}

// TestAsKeaRecorded has Kea give, renew and take back leases of perfdhcp's many
// clients and of udhcpc, and compares what the capture of it tells with Kea's
// lease file, row by row.
func TestAsKeaRecorded(t *testing.T) {
	bpftest.NeedRoot(t)
	for name, pkg := range map[string]string{"kea-dhcp4": "kea-dhcp4-server", "perfdhcp": "kea-admin", "udhcpc": "udhcpc", "tcpdump": "tcpdump"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is missing: install the Debian package %s", name, pkg)
		}
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &lab{t, bpftest.NewWire(t), dir}
	l.run(l.wire.Edge, "ip", "addr", "add", "100.64.0.1/16", "dev", "r0")
	l.run(l.wire.Sub, "ip", "addr", "add", "100.64.0.2/16", "dev", "s0")
	leases, capture := filepath.Join(dir, "leases.csv"), filepath.Join(dir, "edge.pcap")
	config, script := filepath.Join(dir, "kea.json"), filepath.Join(dir, "script")
	if err := os.WriteFile(config, fmt.Appendf(nil, keaConfig, leases), 0o600); err != nil {
		t.Fatal(err)
	}
	// udhcpc sends its RELEASE from its address, so the script sets it.
	const body = "#!/bin/sh\n[ \"$1\" != bound ] || ip addr add \"$ip/16\" dev \"$interface\"\n"
	if err := os.WriteFile(script, []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	tcpdump := l.start(l.wire.Edge, "listening on", "tcpdump", "-i", "r0", "-s", "0", "-U", "-Z", "root", "-w", capture)
	kea := l.start(l.wire.Edge, "DHCP4_STARTED", "kea-dhcp4", "-c", config)
	for i := range 3 {
		udhcpc := l.start(l.wire.Sub, "obtained from", "udhcpc", "-i", "s0", "-f", "-t", "5", "-T", "1", "-s", script, "-C", "-x", fmt.Sprintf("0x3d:ff0000000%d", i))
		udhcpc.cmd.Process.Signal(syscall.SIGUSR2) // release
		udhcpc.await("entering released state")
		udhcpc.stop()
	}
	// What it did not get answers to in time is in neither.
	var report []byte
	bpftest.In(t, l.wire.Sub, func() {
		report, _ = exec.CommandContext(t.Context(), "perfdhcp", "-4", "-r", "100", "-f", "40", "-R", "80", "-n", "300", "-p", "60", "-l", "100.64.0.2", "-L", "67", "100.64.0.1").CombinedOutput()
	})
	kea.stop()
	last := bpftest.Ethernet(0x88b5, []byte("the last frame, after which tcpdump has all")) // IEEE 802 local experimental
	bpftest.Sender(t, l.wire.Sub, l.wire.SubIndex)(last)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		written, err := os.ReadFile(capture)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("tcpdump never wrote the last frame: %v", err)
		}
		if bytes.Contains(written, last) {
			break
		}
	}
	tcpdump.stop()

	o := options(t, "")
	o.Path = capture
	records, summary := replayed(t, o)
	have, want := asReplayed(records), asKeaRecorded(t, leases, o.Pseudonymiser)
	for _, all := range [][]tenancy{have, want} {
		slices.SortFunc(all, func(a, b tenancy) int {
			if c := netip.MustParseAddr(a.address).Compare(netip.MustParseAddr(b.address)); c != 0 {
				return c
			}
			return a.since.Compare(b.since)
		})
	}
	if len(have) != len(want) || len(want) < 60 {
		t.Fatalf("%d leases, want Kea's %d, which are 60 at least\n%s", len(have), len(want), report)
	}
	for i, w := range want {
		h := have[i]
		if late := h.since.Sub(w.since); h.address != w.address || h.ref != w.ref || h.over != w.over || late < -time.Second || late > 10*time.Second { // Kea may be kept from answering
			t.Errorf("%s held since %v, over %t; Kea has %s since %v, over %t", h.address, h.since, h.over, w.address, w.since, w.over)
		}
	}
	over := 0
	for _, h := range have {
		if h.over {
			over++
		}
	}
	if over < 3 || summary.Control["dhcpv4 used"] < 3*len(want) {
		t.Errorf("%d leases over, want the three of udhcpc at least; %v", over, summary.Control)
	}
}
