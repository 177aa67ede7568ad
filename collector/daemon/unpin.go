package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/bpf"
	"griffier/collector/config"
	"griffier/collector/datapath"
)

// Unpin ends the kernel's counting for a collector that does not run, so that the next
// one may have another max_slots: what was counted is read a last time and stored in
// the spool, which the next run delivers, before the pins are removed. What passes
// until then is counted for nobody. With nothing pinned it does nothing.
func Unpin(ctx context.Context, c config.Config, o Options) error {
	if c.PinDir == "" {
		return errors.New("unpin: no pin_dir is configured")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	d := &daemon{cfg: c, log: o.Log, registry: prometheus.NewRegistry(), spoolOnly: true}
	defer d.close()
	if err := d.open(); err != nil {
		return err
	}
	var lines int
	err := datapath.Unpin(c.PinDir, time.Now(), func(r datapath.Report) error {
		lines = len(r.Slots) + len(r.Final)
		return d.loop.commit(ctx, d.loop.binding.Usage(r.At, readings(r), true))
	})
	if errors.Is(err, bpf.ErrNothingPinned) {
		d.log.Info("nothing was pinned")
		return nil
	}
	if err != nil {
		return err
	}
	d.log.Info("unpinned: nothing is counted until the collector starts", slog.Int("lines", lines))
	return nil
}
