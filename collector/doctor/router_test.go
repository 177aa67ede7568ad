package doctor

import (
	"bufio"
	"encoding/json"
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
	"griffier/schema/engine/enginetest"
)

// router is a network namespace with an access link, a store, and a folder.
type router struct {
	t               *testing.T
	ns, dir, socket string
	store           driver.Conn
	values          map[string]string
}

// template is a configuration; {name} is filled in from values.
const template = `collector_id: edge1
pseudonym_key_file: {key}
interfaces: [{interfaces}]
pin_dir: {pins}
max_slots: 64
drain_interval: 1s
radius:
  listen: "{listen}"
  clients: [{prefix: {client}, secret_file: {secret}}]
spool: {dir: {spool}, max_bytes: 64MiB}
store: {socket: {store}}
metrics_listen: 127.0.0.1:9478
`

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func newRouter(t *testing.T) *router {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces and BPF")
	}
	dir, err := os.MkdirTemp("", "g") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &router{t: t, ns: fmt.Sprintf("griffier-doctor%d", os.Getpid()), dir: dir}
	command(t, "ip", "netns", "add", r.ns)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", r.ns).Run() })
	for _, args := range []string{"link set lo up", "link add access0 type veth peer name far0", "link set access0 up", "link set far0 up"} {
		r.ip(args)
	}
	r.carrier("access0")
	engine := enginetest.Start(t)
	r.socket = engine.Socket
	if r.store, err = schema.Open(t.Context(), schema.Config{Socket: engine.Socket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	pins := fmt.Sprintf("/sys/fs/bpf/griffier-doctor-%d", os.Getpid())
	if err := bpf.MountBPFFS("/sys/fs/bpf"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bpf.RemovePins(pins); err != nil {
			t.Error(err)
		}
		os.Remove(pins)
	})
	r.values = map[string]string{
		"key": r.file("key", strings.Repeat("ab", 32)), "secret": r.file("secret", "testing123\n"), "pins": pins,
		"interfaces": "{name: access0}", "listen": ":1813", "client": "127.0.0.0/8",
		"spool": filepath.Join(dir, "spool"), "store": engine.Socket,
	}
	return r
}

func (r *router) ip(args string) {
	r.t.Helper()
	command(r.t, "ip", append([]string{"-n", r.ns}, strings.Fields(args)...)...)
}

// carrier waits until the kernel says that a link has one, which it does a moment
// after both ends are up.
func (r *router) carrier(link string) {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		said := command(r.t, "ip", "-n", r.ns, "link", "show", link)
		if strings.Contains(said, " state UP ") {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no carrier: %s", said)
		}
	}
}

func (r *router) file(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// config writes the configuration with some values changed.
func (r *router) config(changes ...string) string {
	text := template
	for i := 0; i < len(changes); i += 2 {
		text = strings.ReplaceAll(text, "{"+changes[i]+"}", changes[i+1])
	}
	for name, value := range r.values {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return r.file("collector.yaml", text)
}

// examine runs the doctor in the router's namespace, behind wrapper if there is one.
func (r *router) examine(config string, wrapper ...string) Report {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), "nsenter", append(append([]string{"--net=/run/netns/" + r.ns}, wrapper...), self)...)
	cmd.Env = append(os.Environ(), doctorEnv+"="+config)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	var report Report
	if err := json.Unmarshal(out, &report); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	requireCures(r.t, report)
	return report
}

// occupy has another program listen on the RADIUS port.
func (r *router) occupy() (leave func()) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "nsenter", "--net=/run/netns/"+r.ns, "python3", "-c",
		"import socket,sys\ns=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\ns.bind(('::',1813))\nprint('bound',flush=True)\nsys.stdin.read()")
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "bound\n" {
		r.t.Fatalf("the other program said %q, %v", line, err)
	}
	return func() { in.Close(); cmd.Wait() }
}
