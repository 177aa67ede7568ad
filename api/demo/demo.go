// Package demo is `griffier demo`: the whole product on one machine, on real
// input, told step by step in plain words. As root it makes its own access
// network in namespaces; without root it replays bundled captures and says so.
// griffierd and griffier-collector run as processes of their own, as on a real
// installation; this package only talks to them through their public faces.
package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"griffier/api/daemon"
	"griffier/api/demo/lab"
	griffierv1 "griffier/proto/griffier/v1"
)

// Options of a demo.
type Options struct {
	Once   bool   // tell the story and stop, instead of serving on
	JSON   bool   // print the report on stdout; the story goes to stderr
	Dir    string // where everything is kept; empty: a new temporary folder
	Stdout io.Writer
	Stderr io.Writer
}

// Run tells the story. It returns an error if anything differs from what it
// should be; the report is printed all the same.
func Run(ctx context.Context, o Options) (err error) {
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "griffier-demo-"); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d := &demo{dir: dir, live: os.Geteuid() == 0, report: &Report{Mode: "replay"}}
	d.teller = teller{o.Stdout, &d.report.Steps}
	if o.JSON {
		d.teller.out = o.Stderr
	}
	if d.live {
		d.report.Mode = "live"
	}
	interrupted := false
	defer func() {
		// What a failed story left is for finding out why; one told once leaves its
		// package. Else a temporary folder goes with its keys.
		told := err == nil || interrupted
		err = errors.Join(err, d.close(o.Once && told))
		if o.Dir == "" && told && (interrupted || !o.Once) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()

	err = d.story(ctx)
	if err == nil {
		err = d.report.check()
	} else if ctx.Err() != nil {
		interrupted, err = true, errors.New("interrupted") // and so was whatever ran
	}
	if o.JSON {
		text, jsonErr := d.report.json()
		if jsonErr != nil {
			return errors.Join(err, jsonErr)
		}
		fmt.Fprintln(o.Stdout, string(text))
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if o.Once {
		d.say("Everything was as it should be.")
		return nil
	}
	if err := d.howToTry(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	<-ctx.Done()
	return nil
}

// demo is a story being told.
type demo struct {
	teller
	dir    string
	live   bool
	report *Report

	config    daemon.Config // of griffierd
	idp       *provider
	griffierd *child
	collector *child
	lab       *lab.Lab
	people    *grpc.ClientConn // a person's token goes with each call
	machine   *grpc.ClientConn // with the provisioner's certificate
	leasesEnd time.Time        // of the replayed leases, without root
	warrant   *griffierv1.Warrant
	task      *griffierv1.Task
}

func (d *demo) griffierdDir() string { return filepath.Join(d.dir, "griffierd") }
func (d *demo) out(name string) string {
	return filepath.Join(d.dir, "out", name)
}

// story runs its parts in order.
func (d *demo) story(ctx context.Context) error {
	parts := []struct {
		name string
		f    func(context.Context) error
	}{
		{"Start griffierd, with a store, a ledger and an identity provider of its own", d.start},
		{"Register three lines with their owners, and the provider's ranges", d.provision},
	}
	if d.live {
		parts = append(parts, []struct {
			name string
			f    func(context.Context) error
		}{
			{"Build an access network and attach the collector to its router", d.buildLab},
			{"Subscribers appear: Anna by DHCP, Bea and Cas by RADIUS", d.subscribersAppear},
			{"Real traffic flows, and each customer sees exactly what was sent", d.trafficFlows},
		}...)
	} else {
		parts = append(parts, struct {
			name string
			f    func(context.Context) error
		}{"Replay bundled captures (not root: no kernel counting on this machine)", d.replayCaptures})
	}
	parts = append(parts, []struct {
		name string
		f    func(context.Context) error
	}{
		{"Support looks up one line for one ticket", d.supportLooksUp},
		{"A warrant: the authority and its key, intake, and two people in two roles approve it", d.warrantApproved},
		{"The one question that it allows is asked, and the answer is sealed", d.disclose},
		{"Over-broad questions are refused", d.overBroad},
		{"An expired warrant is refused", d.expiredWarrant},
		{"A row expires before our eyes", d.expiry},
		{"A shorter period: planned, signed, and in force at once", d.shortening},
		{"The overseer has it proved that nothing is kept too long", d.proof},
		{"The overseer verifies the ledger", d.verifyLedger},
	}...)
	for _, p := range parts {
		if err := d.step(p.name, func() error { return p.f(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// start makes griffierd's folder, starts it, and connects.
func (d *demo) start(ctx context.Context) error {
	if err := os.MkdirAll(d.out(""), 0o700); err != nil {
		return err
	}
	path, err := program("griffierd")
	if err != nil {
		return err
	}
	if _, err := program("griffier-collector"); err != nil {
		return err
	}
	if d.idp, err = startProvider(d.dir); err != nil {
		return err
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	config, err := daemon.Init(d.griffierdDir(), daemon.InitOptions{
		Profile: "nl", Origin: "demo.example/griffier", Issuer: d.idp.issuer,
		IssuerCAFile: d.idp.caFile, Listen: listen, Hosts: []string{"127.0.0.1", "localhost"},
		LedgerLimit: 10 * time.Second, // a demo may share its disk with anything
		Laboratory:  true,             // and its machine may have no time service
	})
	if err != nil {
		return err
	}
	if d.config, err = daemon.ReadConfig(config); err != nil {
		return err
	}
	d.griffierd, err = startChild(exec.CommandContext(context.WithoutCancel(ctx), path, "-config", config), d.dir, "griffierd")
	if err != nil {
		return err
	}
	ca := d.config.TLS.ClientCAFile
	if d.people, err = connect(ctx, d.griffierd, listen, ca, nil); err != nil {
		return err
	}
	tlsDir := filepath.Dir(ca)
	cert, err := tls.LoadX509KeyPair(filepath.Join(tlsDir, "provisioner.pem"), filepath.Join(tlsDir, "provisioner.key"))
	if err != nil {
		return err
	}
	if d.machine, err = connect(ctx, d.griffierd, listen, ca, &cert); err != nil {
		return err
	}
	d.say("griffierd serves gRPC on %s (TLS 1.3); the store's socket and all keys are in %s.", listen, d.dir)
	return d.idp.homes(d.dir, listen, tlsDir)
}

// close stops everything that was started, in the reverse order. tidy removes
// all but the folder out.
func (d *demo) close(tidy bool) error {
	var errs []error
	if d.collector != nil {
		errs = append(errs, d.collector.stop())
	}
	if d.lab != nil {
		errs = append(errs, d.lab.Close())
	}
	for _, conn := range []*grpc.ClientConn{d.people, d.machine} {
		if conn != nil {
			conn.Close()
		}
	}
	errs = append(errs, d.griffierd.stop())
	if d.idp != nil {
		errs = append(errs, d.idp.Close())
	}
	if !tidy {
		return errors.Join(errs...)
	}
	entries, err := os.ReadDir(d.dir)
	errs = append(errs, err)
	for _, e := range entries {
		if e.Name() != "out" {
			errs = append(errs, os.RemoveAll(filepath.Join(d.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
