package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RADIUSSecret is shared by the lab's access server and the collector.
const RADIUSSecret = "lab-secret-of-the-demo"

// RADIUSListen is where the collector must listen, in the router.
const RADIUSListen = "127.0.0.1:1813"

// keaConfig serves acc1 in memory: nothing of the lab outlives it.
func keaConfig() ([]byte, error) {
	return json.Marshal(map[string]any{"Dhcp4": map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{"acc1"}, "dhcp-socket-type": "raw"},
		"lease-database":    map[string]any{"type": "memfile", "persist": false},
		"valid-lifetime":    3600,
		"subnet4": []any{map[string]any{
			"subnet":      "100.64.1.0/24",
			"pools":       []any{map[string]any{"pool": "100.64.1.10 - 100.64.1.50"}},
			"option-data": []any{map[string]any{"name": "routers", "data": "100.64.1.1"}},
		}},
		"loggers": []any{map[string]any{"name": "kea-dhcp4", "severity": "WARN",
			"output_options": []any{map[string]any{"output": "stderr"}}}},
	}})
}

// ConnectAnna starts Kea on the router and gets Anna an address from it with a
// real client.
func (l *Lab) ConnectAnna(ctx context.Context) error {
	config, err := keaConfig()
	if err != nil {
		return fmt.Errorf("lab: kea: %w", err)
	}
	path := filepath.Join(l.dir, "kea.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return fmt.Errorf("lab: kea: %w", err)
	}
	kea := l.Router.Command(context.WithoutCancel(ctx), "kea-dhcp4", "-c", path)
	kea.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+l.dir, "KEA_LOCKFILE_DIR="+l.dir)
	if err := l.Start(kea, "kea"); err != nil {
		return err
	}
	// udhcpc asks again until Kea is up; -n makes it give up in the end.
	script := filepath.Join(l.dir, "udhcpc.sh")
	const body = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface" && ip route add default via "$router"
echo "$ip" > "$LAB_ADDRESS_FILE"
`
	if err := os.WriteFile(script, []byte(body), 0o700); err != nil {
		return fmt.Errorf("lab: udhcpc: %w", err)
	}
	file := filepath.Join(l.dir, "anna.address")
	client := l.Anna.Space.Command(ctx, "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "20", "-T", "1", "-s", script)
	client.Env = append(os.Environ(), "LAB_ADDRESS_FILE="+file)
	if _, err := output(client); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("lab: udhcpc got no address: %w", err)
	}
	l.Anna.Addr4, err = netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("lab: udhcpc: %w", err)
	}
	return l.meter(ctx, l.Anna)
}

// ConnectBea announces Bea's session by RADIUS and then configures her host.
func (l *Lab) ConnectBea(ctx context.Context) error {
	if err := l.connect(ctx, l.Bea); err != nil {
		return err
	}
	if err := l.meter(ctx, l.Bea); err != nil {
		return err
	}
	b := l.Bea
	for _, args := range [][]string{
		{"ip", "addr", "add", b.Addr4.String() + "/24", "dev", "eth0"},
		{"ip", "addr", "add", b.Addr6.String() + "/64", "dev", "eth0", "nodad"},
		{"ip", "route", "add", "default", "via", "100.64.2.1"},
		{"ip", "-6", "route", "add", "default", "via", "2001:db8:2:200::1"},
	} {
		if err := b.Space.Run(ctx, args[0], args[1:]...); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	return nil
}

// ConnectCas announces Cas's session by RADIUS. His host has no IP stack of its
// own on the line: this kernel ends no PPPoE, so frames are made by hand.
func (l *Lab) ConnectCas(ctx context.Context) error { return l.connect(ctx, l.Cas) }

// connect sends an Accounting-Request (Start) with radclient and waits for the
// answer, which the collector gives only when the record is on disk.
func (l *Lab) connect(ctx context.Context, s Subscriber) error {
	attributes := fmt.Sprintf(`Acct-Status-Type = Start
Acct-Session-Id = "lab-%s-1"
User-Name = "%s"
NAS-Identifier = "lab-bng"
NAS-IP-Address = 127.0.0.1
NAS-Port-Id = "%s"
Framed-IP-Address = %s
Delegated-IPv6-Prefix = %s
Event-Timestamp = %d
`, s.Name, s.User, s.Interface, s.Addr4, s.Prefix6, time.Now().Unix())
	cmd := l.Router.Command(ctx, "radclient", "-x", "-r", "5", "-t", "2", RADIUSListen, "acct", RADIUSSecret)
	cmd.Stdin = strings.NewReader(attributes)
	out, err := output(cmd)
	if err != nil {
		return fmt.Errorf("lab: radius: %w", err)
	}
	if !strings.Contains(string(out), "Accounting-Response") {
		return fmt.Errorf("lab: radius: no response: %s", clip(string(out)))
	}
	return nil
}
