package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/demo/lab"
	griffierv1 "griffier/proto/griffier/v1"
)

// collectorID is what the demo's collector calls itself.
const collectorID = "demo-router"

// lines of the demo, by customer.
var lines = []struct{ person, name, identifier, house string }{
	{"anna", "A. de Vries", "mac:acc1/0.0/02:00:5e:00:00:01", "1"},
	{"bea", "B. Jansen", "radius-user:bea@isp.example", "2"},
	{"cas", "C. Peeters", "radius-user:cas@isp.example", "3"},
}

// identifier is how the network names a line. The client of the bundled capture
// has a MAC of its own.
func (d *demo) identifier(person, identifier string) string {
	if person == "anna" && !d.live {
		return "mac:acc1/0.0/02:11:22:33:44:55"
	}
	return identifier
}

func (d *demo) provision(ctx context.Context) error {
	client := griffierv1.NewRegisterServiceClient(d.machine)
	since := timestamppb.New(time.Now().AddDate(-2, 0, 0))
	for _, l := range lines {
		_, err := client.PutLine(ctx, &griffierv1.PutLineRequest{
			LineId: "L-" + l.person, AccountId: "acc-" + l.person, TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: since,
			Identifiers: []*griffierv1.AccessIdentifier{{Identifier: d.identifier(l.person, l.identifier), ValidFrom: since}},
			Person: &griffierv1.Person{
				Name:                l.name,
				InstallationAddress: &griffierv1.PostalAddress{Street: "Voorbeeldstraat", HouseNumber: l.house, Postcode: "3542 AW", Town: "Utrecht", Country: "NL"},
				BillingAddress:      &griffierv1.PostalAddress{Street: "Postbus", HouseNumber: "99", Postcode: "1000 AA", Town: "Amsterdam", Country: "NL"},
			},
		})
		if err != nil {
			return fmt.Errorf("line of %s: %w", l.person, err)
		}
	}
	for _, prefix := range []string{"100.64.0.0/10", "2001:db8::/32"} {
		_, err := client.PutRange(ctx, &griffierv1.PutRangeRequest{Prefix: prefix, ValidFrom: since, CollectorIds: []string{collectorID}})
		if err != nil {
			return fmt.Errorf("range %s: %w", prefix, err)
		}
	}
	d.say("A machine with a client certificate did this; persons are encrypted, each under a key of their own.")
	return nil
}

func (d *demo) buildLab(ctx context.Context) error {
	dir := filepath.Join(d.dir, "lab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	if d.lab, err = lab.New(ctx, dir); err != nil {
		return err
	}
	path, err := program("griffier-collector")
	if err != nil {
		return err
	}
	config, err := d.collectorConfig()
	if err != nil {
		return err
	}
	cmd := d.lab.Router.Command(context.WithoutCancel(ctx), path, "-config", config)
	if d.collector, err = startChild(cmd, d.dir, "collector"); err != nil {
		return err
	}
	// It is there when its coverage is in the store.
	err = d.untilStored(ctx, "SELECT count() > 0 FROM traffic.coverage WHERE collector_id = {id:String} AND state = 'covered'")
	if err != nil {
		return fmt.Errorf("the collector did not start: %w%s", err, d.collector.tail())
	}
	d.say("Five network namespaces; the collector counts in the kernel on acc1, acc2 and acc3.")
	return nil
}

// collectorConfig writes the configuration of the lab's collector: that of a
// real router, but storing every second so that nobody has to wait.
func (d *demo) collectorConfig() (string, error) {
	secret := filepath.Join(d.dir, "radius.secret")
	if err := os.WriteFile(secret, []byte(lab.RADIUSSecret+"\n"), 0o600); err != nil {
		return "", err
	}
	config := filepath.Join(d.dir, "collector.yaml")
	return config, os.WriteFile(config, fmt.Appendf(nil, `collector_id: %s
pseudonym_key_file: %s
interfaces:
  - {name: acc1}
  - {name: acc2}
  - {name: acc3}
pin_dir: ""
max_slots: 4096
drain_interval: 1s
flush_interval: 1s
reemit_interval: 1s
radius:
  listen: %s
  clients:
    - {prefix: 127.0.0.1/32, secret_file: %s, name: lab-bng}
spool: {dir: %s, max_bytes: 256MiB}
store: {socket: %s}
metrics_listen: ""
`, collectorID, d.config.Keys.PseudonymFile, lab.RADIUSListen, secret, filepath.Join(d.dir, "spool"), d.config.Store.Socket), 0o600)
}

func (d *demo) subscribersAppear(ctx context.Context) error {
	for _, connect := range []func(context.Context) error{d.lab.ConnectAnna, d.lab.ConnectBea, d.lab.ConnectCas} {
		if err := connect(ctx); err != nil {
			return fmt.Errorf("%w%s", err, d.collector.tail())
		}
	}
	d.say("Anna got %s from Kea; the collector saw the lease in the kernel's punt ring.", d.lab.Anna.Addr4)
	d.say("Bea got %s and %s, Cas %s and %s; each RADIUS Start was on disk before it was acknowledged.",
		d.lab.Bea.Addr4, d.lab.Bea.Prefix6, d.lab.Cas.Addr4, d.lab.Cas.Prefix6)
	for _, s := range d.subscribers() {
		err := until(ctx, 30*time.Second, 200*time.Millisecond, func() (bool, error) {
			sessions, err := d.sessions(ctx, s.Name)
			return len(sessions) == 1 && len(sessions[0].GetAddresses()) > 0, err
		})
		if err != nil {
			return fmt.Errorf("session of %s: %w%s", s.Name, err, d.collector.tail())
		}
	}
	return nil
}

func (d *demo) subscribers() []lab.Subscriber {
	return []lab.Subscriber{d.lab.Anna, d.lab.Bea, d.lab.Cas}
}

// today is a window that holds everything that the story does.
func today() *griffierv1.Window {
	now := time.Now()
	return &griffierv1.Window{Start: timestamppb.New(now.Add(-time.Hour)), End: timestamppb.New(now.Add(time.Hour))}
}

func (d *demo) sessions(ctx context.Context, who string) ([]*griffierv1.Session, error) {
	ctx, err := d.idp.as(ctx, who)
	if err != nil {
		return nil, err
	}
	resp, err := griffierv1.NewUsageServiceClient(d.people).ListSessions(ctx, &griffierv1.ListSessionsRequest{LineId: "L-" + who, Window: today()})
	return resp.GetSessions(), err
}

func (d *demo) counted(ctx context.Context, who string) (*griffierv1.Volume, error) {
	ctx, err := d.idp.as(ctx, who)
	if err != nil {
		return nil, err
	}
	resp, err := griffierv1.NewUsageServiceClient(d.people).GetTotals(ctx, &griffierv1.GetTotalsRequest{LineId: "L-" + who, Window: today()})
	return resp.GetTotal(), err
}

func (d *demo) trafficFlows(ctx context.Context) error {
	for _, s := range []lab.Subscriber{d.lab.Anna, d.lab.Bea} {
		if err := d.lab.Traffic(ctx, s); err != nil {
			return err
		}
	}
	if err := d.lab.Frames(ctx, 2000); err != nil {
		return err
	}
	for _, s := range d.subscribers() {
		var sent lab.Moved
		var counted *griffierv1.Volume
		// What was counted reaches the store within a drain and an insert.
		err := until(ctx, 15*time.Second, 500*time.Millisecond, func() (equal bool, err error) {
			if sent, err = d.lab.Moved(ctx, s); err != nil {
				return false, err
			}
			counted, err = d.counted(ctx, s.Name)
			return counted.GetBytesUp() == sent.Up().Bytes && counted.GetBytesDown() == sent.Down().Bytes &&
				counted.GetPacketsUp() == sent.Up().Packets && counted.GetPacketsDown() == sent.Down().Packets, err
		})
		if err != nil && err != errTooLate { // a difference is for the report to show
			return err
		}
		d.say("%-5s sent %9d bytes up, %9d down; sees %9d up, %9d down", s.Name,
			sent.Up().Bytes, sent.Down().Bytes, counted.GetBytesUp(), counted.GetBytesDown())
		d.report.Subscribers = append(d.report.Subscribers, Subscriber{
			s.Name, sent.Up().Bytes + sent.Down().Bytes, counted.GetBytesUp() + counted.GetBytesDown()})
	}
	if !slices.ContainsFunc(d.report.Subscribers, func(s Subscriber) bool { return s.SentBytes != s.CountedBytes }) {
		d.say("Equal to the byte: TCP with segmentation offload, UDP, pings, IPv4 and IPv6, QinQ and PPPoE.")
	}
	return nil
}
