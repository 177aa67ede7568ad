package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"griffier/collector/binding"
)

// live are the configuration's keys that a reload applies. Whatever else has
// changed waits for a restart: radius.stale_after, because what has ended by it is
// told apart from what has not by this one limit, in the binding and in the RADIUS
// tracker, which would have to judge all silent sessions anew at the same moment.
var live = map[string]bool{"radius.clients": true, "static_lines": true, "ranges": true, "log_level": true}

// watchReload applies the configuration anew whenever it is asked to. One that
// cannot be read, or not be applied, leaves everything as it was.
func (d *daemon) watchReload(ctx context.Context, o Options) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-o.Reload:
			if !ok {
				return nil
			}
		}
		if o.Reloading != nil {
			o.Reloading()
		}
		err := d.reload(ctx, o)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			d.log.Error("the configuration was not reloaded; the old one holds", slog.Any("error", err))
			d.loop.metrics.reloadOK.Set(0)
		default:
			d.loop.metrics.reloadOK.Set(1)
			d.loop.metrics.reloadedAt.SetToCurrentTime()
		}
		if o.Reloaded != nil {
			o.Reloaded(err)
		}
	}
}

// reload reads everything before it changes anything.
func (d *daemon) reload(ctx context.Context, o Options) error {
	c, err := o.ReadConfig()
	if err != nil {
		return err
	}
	clients, err := c.RADIUSClients() // secrets may have changed where the file has not
	if err != nil {
		return err
	}
	if d.radius != nil && len(clients) == 0 {
		return fmt.Errorf("radius.clients is empty: nobody could send")
	}
	secure, err := c.RadSec() // and so may certificates
	if err != nil {
		return err
	}
	if err := d.loop.provision(ctx, c.Static(), c.Own()); err != nil {
		return fmt.Errorf("static_lines, ranges: %w", err)
	}
	if d.radius != nil {
		if err := d.radius.SetClients(clients); err != nil {
			return err
		}
		if secure != nil && d.cfg.RADIUS.RadSec.Listen != "" {
			if err := d.radius.SetIdentity(*secure); err != nil {
				return err
			}
		}
	}
	if o.Level != nil {
		o.Level.Set(c.LogLevel.Level)
	}
	var waiting []string
	for _, key := range changed("", reflect.ValueOf(d.cfg), reflect.ValueOf(c)) {
		if !live[key] {
			waiting = append(waiting, key)
		}
	}
	d.log.Info("configuration reloaded", slog.Int("radius_clients", len(clients)), slog.Int("static_lines", len(c.StaticLines)),
		slog.String("log_level", c.LogLevel.String()))
	if len(waiting) > 0 {
		d.log.Warn("changes that wait for a restart", slog.Any("keys", waiting))
	}
	return nil
}

// changed returns the keys of two configurations that differ, each as far up as
// the key's section is a struct.
func changed(path string, before, after reflect.Value) (keys []string) {
	for i := range before.NumField() {
		name, _, _ := strings.Cut(before.Type().Field(i).Tag.Get("yaml"), ",")
		a, b := before.Field(i), after.Field(i)
		if path == "" && a.Kind() == reflect.Struct && a.NumField() > 0 && a.Type().Field(0).Tag.Get("yaml") != "" {
			keys = append(keys, changed(name+".", a, b)...)
		} else if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			keys = append(keys, path+name)
		}
	}
	return keys
}

// lines is a request to have the configured lines and ranges be these.
type lines struct {
	lines  []binding.StaticLine
	ranges []binding.Range
	done   chan error // has room for one
}

// provision makes the configured lines and ranges these, durably. Only lines that
// differ start or end.
func (l *loop) provision(ctx context.Context, configured []binding.StaticLine, ranges []binding.Range) error {
	r := lines{configured, ranges, make(chan error, 1)}
	select {
	case l.lines <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// provisioned carries provision out, on the loop.
func (l *loop) provisioned(ctx context.Context, r lines) error {
	err := l.ranged(ctx, r.ranges)
	if err == nil {
		err = l.commit(ctx, l.configured(r.lines, time.Now()))
	}
	r.done <- err
	return err
}

// ranged makes the ranges these. The log does not tell of it: what is in it has to
// be repeated under the ranges that were in force, so a checkpoint comes between.
func (l *loop) ranged(ctx context.Context, ranges []binding.Range) error {
	if reflect.DeepEqual(l.ranges, ranges) {
		return nil
	}
	// What was applied under the old ones comes first.
	if err := l.commit(ctx, binding.Effects{}); err != nil {
		return err
	}
	l.ranges = ranges
	e := l.binding.SetRanges(ranges)
	if err := l.commit(ctx, e); err != nil {
		return err
	}
	l.checkpoint(ctx)
	return nil
}

// configured makes the sessions of configured lines what they should be now.
func (l *loop) configured(lines []binding.StaticLine, now time.Time) (e binding.Effects) {
	l.static, l.nextStatic = lines, binding.NextStatic(lines, l.ranges, now)
	for _, o := range l.binding.Configured(lines, now) {
		e.Add(l.binding.Apply(now, o))
	}
	return e
}
