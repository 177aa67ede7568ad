// Package lab is a small access network in network namespaces, for `griffier
// demo`: three subscribers, the edge router that the collector runs on, and a
// host on the internet, with real DHCP and RADIUS software and real traffic.
//
//	anna ──acc1─┐
//	bea  ──acc2─┤ router ──core── internet
//	cas  ──acc3─┘
//
// Anna gets her address from Kea by DHCP. Bea's line is announced by RADIUS and
// has a delegated IPv6 prefix. Cas is behind QinQ and PPPoE. Everything has
// addresses of documentation and shared ranges only, and nothing leaves the
// namespaces.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Addresses of the lab.
var (
	internet4 = netip.MustParseAddr("203.0.113.2")
	internet6 = netip.MustParseAddr("2001:db8:ffff::2")
)

// Subscriber is a line of the lab.
type Subscriber struct {
	Name      string
	Interface string // of the router, facing the line
	MAC       string
	Space     Namespace
	Addr4     netip.Addr
	Addr6     netip.Addr   // zero without IPv6
	Prefix6   netip.Prefix // delegated; zero without IPv6
	User      string       // RADIUS user; empty when DHCP names the line
}

// Lab is a running lab. Close it.
type Lab struct {
	Router   Namespace
	Internet Namespace
	Anna     Subscriber
	Bea      Subscriber
	Cas      Subscriber

	dir    string
	spaces []string
	procs  []*exec.Cmd
	meters map[string][]*meter // by subscriber
	frames map[string]Moved    // by subscriber: sent by raw socket
}

// New builds the lab. dir takes the files of its daemons. It needs root.
func New(ctx context.Context, dir string) (*Lab, error) {
	l := &Lab{dir: dir, meters: map[string][]*meter{}, frames: map[string]Moved{}}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	var err error
	space := func(role string) Namespace {
		if err != nil {
			return Namespace{}
		}
		name := "griffier-" + strconv.Itoa(os.Getpid()) + "-" + role
		var n Namespace
		n, err = addNamespace(ctx, name)
		l.spaces = append(l.spaces, name)
		return n
	}
	l.Router, l.Internet = space("router"), space("internet")
	l.Anna = Subscriber{Name: "anna", Interface: "acc1", MAC: "02:00:5e:00:00:01", Space: space("anna")}
	l.Bea = Subscriber{Name: "bea", Interface: "acc2", MAC: "02:00:5e:00:00:02", Space: space("bea"), User: "bea@isp.example",
		Addr4: netip.MustParseAddr("100.64.2.10"), Addr6: netip.MustParseAddr("2001:db8:2:200::10"), Prefix6: netip.MustParsePrefix("2001:db8:2:200::/56")}
	l.Cas = Subscriber{Name: "cas", Interface: "acc3", MAC: "02:00:5e:00:00:03", Space: space("cas"), User: "cas@isp.example",
		Addr4: netip.MustParseAddr("100.64.3.10"), Addr6: netip.MustParseAddr("2001:db8:3:300::10"), Prefix6: netip.MustParsePrefix("2001:db8:3:300::/56")}
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for _, s := range []Subscriber{l.Anna, l.Bea, l.Cas} {
		if err := l.wire(ctx, s.Space, "eth0", s.MAC, s.Interface); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	if err := l.wire(ctx, l.Internet, "eth0", "02:00:5e:00:00:fe", "core"); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	steps := []struct {
		in   Namespace
		args []string
	}{
		{l.Router, []string{"sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"}},
		{l.Router, []string{"ip", "addr", "add", "203.0.113.1/24", "dev", "core"}},
		{l.Router, []string{"ip", "addr", "add", "2001:db8:ffff::1/64", "dev", "core", "nodad"}},
		{l.Router, []string{"ip", "addr", "add", "100.64.1.1/24", "dev", "acc1"}},
		{l.Router, []string{"ip", "addr", "add", "100.64.2.1/24", "dev", "acc2"}},
		{l.Router, []string{"ip", "addr", "add", "2001:db8:2:200::1/64", "dev", "acc2", "nodad"}},
		{l.Internet, []string{"ip", "addr", "add", "203.0.113.2/24", "dev", "eth0"}},
		{l.Internet, []string{"ip", "addr", "add", "2001:db8:ffff::2/64", "dev", "eth0", "nodad"}},
		{l.Internet, []string{"ip", "route", "add", "default", "via", "203.0.113.1"}},
		{l.Internet, []string{"ip", "-6", "route", "add", "default", "via", "2001:db8:ffff::1"}},
	}
	for _, s := range steps {
		if err := s.in.Run(ctx, s.args[0], s.args[1:]...); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	return nil
}

// wire connects interface name in n to routerName in the router.
func (l *Lab) wire(ctx context.Context, n Namespace, name, mac, routerName string) error {
	if err := run(ctx, "ip", "link", "add", routerName, "netns", l.Router.name, "type", "veth",
		"peer", "name", name, "address", mac, "netns", n.name); err != nil {
		return err
	}
	if err := l.Router.Run(ctx, "ip", "link", "set", routerName, "up"); err != nil {
		return err
	}
	return n.Run(ctx, "ip", "link", "set", name, "up")
}

// Start starts a daemon of the lab; its output goes to a file of its name. Close
// ends it.
func (l *Lab) Start(cmd *exec.Cmd, name string) error {
	log, err := os.Create(filepath.Join(l.dir, name+".log"))
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("lab: start %s: %w", name, err)
	}
	l.procs = append(l.procs, cmd)
	return nil
}

// Close ends the lab's own processes and takes its namespaces away.
func (l *Lab) Close() error {
	for _, p := range l.procs {
		p.Cancel()
	}
	for _, p := range l.procs {
		p.Wait() // a daemon that was told to stop exits with its own code
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs []error
	for _, name := range l.spaces {
		if err := run(ctx, "ip", "netns", "del", name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
