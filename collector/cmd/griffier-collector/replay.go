package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"griffier/collector/config"
	"griffier/collector/replay"
	"griffier/schema"
)

// replayCapture prints or stores the records of a capture.
func replayCapture(ctx context.Context, f flags, c *config.Config, endsAt time.Time, stdout, stderr io.Writer) error {
	shown := newProgress(stderr, time.Now)
	o := replay.Options{
		Path: f.replay, CollectorID: "replay", Interface: f.iface, EndsAt: endsAt, Progress: shown.update,
	}
	if c == nil {
		if f.output != "json" {
			return errors.New("storing a capture needs -config; -o json prints it without one")
		}
		key := make([]byte, schema.KeyLength)
		rand.Read(key)
		var err error
		if o.Pseudonymiser, err = schema.NewPseudonymiser(key); err != nil {
			return err
		}
		fmt.Fprintln(stderr, "no -config: the pseudonym key is random, references of this run match no other's; RADIUS secrets are not checked")
	} else if err := configure(&o, *c); err != nil {
		return err
	}
	if f.iface != "" {
		o.Access = []string{f.iface}
	}
	o.CollectorID = cmp.Or(f.collector, o.CollectorID)
	if f.output == "json" {
		out := replay.NewJSON(stdout)
		summary, err := replay.Run(ctx, o, out.Write)
		err = errors.Join(err, out.Flush())
		shown.end()
		if summary.Packets > 0 {
			summary.Write(stderr)
		}
		return err
	}
	where, err := c.Where()
	if err != nil {
		return err
	}
	conn, err := schema.Open(ctx, where)
	if err != nil {
		return err
	}
	defer conn.Close()
	store := replay.NewStore(ctx, conn)
	summary, err := replay.Run(ctx, o, store.Write)
	if err == nil {
		err = store.Flush()
	}
	shown.end()
	if summary.Packets > 0 {
		summary.Write(stderr)
	}
	return err
}

// configure fills in the options that a configuration has.
func configure(o *replay.Options, c config.Config) (err error) {
	if o.Pseudonymiser, err = schema.ReadPseudonymKey(c.PseudonymKeyFile); err != nil {
		return err
	}
	if o.Clients, err = c.RADIUSClients(); err != nil {
		return err
	}
	o.CollectorID, o.StaticLines = c.CollectorID, c.Static()
	o.ReemitInterval = time.Duration(c.ReemitInterval)
	o.Ranges, o.Leases = c.Own(), c.Leases()
	o.VLANScoped = o.Leases.VLANScoped
	for _, i := range c.Interfaces {
		o.Access = append(o.Access, i.Name)
	}
	if o.Interface == "" && len(c.Interfaces) == 1 {
		o.Interface = c.Interfaces[0].Name
	}
	if _, port, err := net.SplitHostPort(c.RADIUS.Listen); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			o.RADIUSPort = uint16(n)
		}
	}
	return nil
}
