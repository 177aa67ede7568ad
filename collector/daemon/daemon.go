// Package daemon is the collector as a process: sources, binding, spool,
// datapath and sink, put together so that nothing is acknowledged that is not
// durable and nothing durable is counted twice.
//
// One goroutine, the loop, owns the binding. Whatever comes in goes through it:
// it works out the effects and hands them in batches to another, the writer, which
// appends a batch's records and state to the spool in one piece, and only after the
// fsync performs the datapath changes and lets RADIUS answer. While the writer
// waits for the disk, the loop applies what goes into the next batch. Batches are
// written in the order in which they were applied, so that what a crash leaves is
// the state after one of them.
// Counters are read at every multiple of the drain interval, so also at the end
// of every 5-minute bucket: a bucket's error is what a line moved between the
// bucket's end and the reading, normally a few milliseconds. After a time in
// which the collector did not run, what was counted meanwhile goes into the
// bucket of the first reading, and the time is declared as a coverage gap.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/cgnat/natlog"
	"griffier/collector/config"
	"griffier/collector/datapath"
	"griffier/collector/lease"
	"griffier/collector/radius"
	"griffier/collector/sink"
	"griffier/collector/spool"
	"griffier/schema"
)

// Options are what is not configuration.
type Options struct {
	Log *slog.Logger
	// KeepCapabilities leaves the process its capabilities, for a process that
	// does more than collect.
	KeepCapabilities bool
	// Ready is called once, when everything listens and is attached.
	Ready func(Addresses)
	// Alive is called about once a second while the loop goes round, also while
	// it waits for a full spool, which a restart would not empty.
	Alive func()
	// Status is called now and then with a line on how it goes.
	Status func(line string)
	// Reload asks for the configuration to be read again, by ReadConfig: RADIUS
	// clients, their secrets and RadSec's certificates, static lines, ranges and the log
	// level change at once, anything else at the next start. Reloading is called before, and Reloaded
	// after, with an error if the old configuration still holds.
	Reload     <-chan struct{}
	ReadConfig func() (config.Config, error)
	Reloading  func()
	Reloaded   func(error)
	// Level, if there is one, follows the configuration's log level.
	Level *slog.LevelVar
}

// Addresses are where the collector listens; zero if it does not.
type Addresses struct {
	RADIUS  netip.AddrPort
	NATLog  netip.AddrPort
	Metrics netip.AddrPort
}

// maxSegmentBytes is how much of the log lies between two checkpoints at most.
const maxSegmentBytes = 128 << 20

// Grace periods at the end.
const (
	deliverGrace  = 5 * time.Second // for the store to take what is in the spool
	shutdownGrace = 2 * time.Second // for a metrics request
)

// Run collects until ctx ends, which is not an error. What still lives then
// stays open; kernel counters and programs stay in place for the next run.
func Run(ctx context.Context, c config.Config, o Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Level != nil {
		o.Level.Set(c.LogLevel.Level)
	}
	d := &daemon{cfg: c, log: o.Log, alive: o.Alive, registry: prometheus.NewRegistry()}
	defer d.close()
	if err := d.open(); err != nil {
		return err
	}
	if err := d.loop.resume(ctx, c.Static(), c.Blocks()); err != nil {
		return err
	}
	if !o.KeepCapabilities {
		var keep []int
		if d.flows != nil {
			keep = append(keep, unix.CAP_NET_ADMIN) // for a dump, after an overrun
		}
		err := datapath.DropCapabilities(keep...)
		if errors.Is(err, datapath.ErrCgo) {
			d.log.Warn("capabilities are kept: this program was built with cgo")
		} else if err != nil {
			return err
		}
	}
	return d.serve(ctx, o)
}

type daemon struct {
	cfg      config.Config
	log      *slog.Logger
	alive    func() // may be nil
	registry *prometheus.Registry
	spool    *spool.Spool
	datapath *datapath.Datapath // nil without interfaces
	flows    *cgnat.Listener    // nil without cgnat.conntrack
	natlog   *natlog.Receiver   // nil without cgnat.log
	radius   *radius.Server     // nil without radius.listen
	sink     *sink.Sink
	metrics  net.Listener // nil without metrics_listen
	where    schema.Config
	loop     *loop

	spoolOnly bool // open ends with the state that the spool holds
}

// open opens everything that can fail, durable state first.
func (d *daemon) open() (err error) {
	pseudonymiser, err := schema.ReadPseudonymKey(d.cfg.PseudonymKeyFile)
	if err != nil {
		return err
	}
	clients, err := d.cfg.RADIUSClients()
	if err != nil {
		return err
	}
	if d.where, err = d.cfg.Where(); err != nil {
		return err
	}
	if d.spool, err = openSpool(d.cfg); err != nil {
		return err
	}
	if torn := d.spool.Torn(); torn.Bytes > 0 {
		d.log.Warn("a write that a crash interrupted was cut off the spool", slog.Int64("bytes", torn.Bytes))
	}
	d.loop = newLoop(d.log, d.spool, segmentBytes(d.cfg), time.Duration(d.cfg.DrainInterval), d.registry)
	if d.alive != nil {
		d.loop.alive = d.alive
	}
	d.loop.ranges = d.cfg.Own()
	d.loop.leases = lease.NewFollower(d.cfg.Leases())
	d.loop.binding = binding.New(binding.Config{
		CollectorID: d.cfg.CollectorID, Pseudonymiser: pseudonymiser,
		ReemitInterval: time.Duration(d.cfg.ReemitInterval), FlushInterval: time.Duration(d.cfg.FlushInterval),
		DrainSlack: time.Duration(d.cfg.DrainInterval) / 2, Ranges: d.loop.ranges, StaleAfter: time.Duration(d.cfg.RADIUS.StaleAfter),
	})
	d.loop.blocks = cgnat.NewBlocks(cgnat.BlocksConfig{CollectorID: d.cfg.CollectorID, Pseudonymiser: pseudonymiser})
	tracker := radius.NewTracker(radius.TrackerConfig{StaleAfter: time.Duration(d.cfg.RADIUS.StaleAfter)})
	d.loop.radius = tracker.Snapshot
	if err := d.loop.recover(tracker); err != nil {
		return err
	}
	if d.spoolOnly {
		return nil
	}
	if err := d.attach(); err != nil {
		return err
	}
	if err := d.observeFlows(pseudonymiser); err != nil {
		return err
	}
	if err := d.receiveLog(); err != nil {
		return err
	}
	if d.cfg.RADIUS.Listen != "" {
		secure, err := d.cfg.RadSec()
		if err != nil {
			return err
		}
		d.radius, err = radius.NewServer(radius.Config{
			Listen: d.cfg.RADIUS.Listen, Clients: clients, RadSec: secure, Tracker: tracker, Registerer: d.registry,
		}, d.loop.handle)
		if err != nil {
			return err
		}
		d.loop.radius = d.radius.Snapshot
	}
	if d.cfg.MetricsListen != "" {
		if d.metrics, err = net.Listen("tcp", d.cfg.MetricsListen); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	d.loop.quarantine = quarantineDir(d.cfg)
	d.sink, err = sink.New(sink.Config{
		Spool: d.spool, Store: d.where, QuarantineDir: d.loop.quarantine,
		Registerer: d.registry, Logger: d.log,
	})
	return err
}

// punted are the control frames that the kernel copies to the collector.
const punted = bpf.PuntDHCPv4 | bpf.PuntDHCPv6 | bpf.PuntPPPoE

// attach takes the kernel's side over, or starts it.
func (d *daemon) attach() error {
	if len(d.cfg.Interfaces) == 0 {
		return nil
	}
	interfaces := make([]datapath.Interface, 0, len(d.cfg.Interfaces))
	for _, i := range d.cfg.Interfaces {
		interfaces = append(interfaces, datapath.Interface{Name: i.Name, VLANScoped: i.VLANScoped})
	}
	punts := punted
	if d.cfg.DHCP.PPPoEEchoes {
		punts |= bpf.PuntEcho
	}
	if d.cfg.PinDir != "" {
		// Which file system it is, and whether that will do, datapath.Open says.
		if err := bpf.MountBPFFS("/sys/fs/bpf"); err != nil {
			d.log.Debug("BPF file system not mounted", slog.Any("error", err))
		}
	}
	dp, err := datapath.Open(datapath.Config{
		Interfaces: interfaces, PinDir: d.cfg.PinDir, MaxSlots: d.cfg.MaxSlots, Punt: punts,
		MaxKeys: d.cfg.MaxKeys, MaxLongKeys: d.cfg.MaxLongKeys, CounterStripes: d.cfg.CounterStripes, Hook: d.cfg.Hook.Hook,
	}, time.Now)
	switch {
	case errors.Is(err, bpf.ErrKernelTooOld), errors.Is(err, bpf.ErrNotPermitted):
		return fmt.Errorf("%w; to see what a capture gives, without either, use griffier-collector -replay FILE -o json", err)
	case err != nil:
		return err
	}
	d.datapath, d.loop.datapath, d.loop.frames = dp, dp, dp.Punts()
	r := dp.Reconciled()
	d.log.Info("counting", slog.Int("interfaces", len(interfaces)), slog.Int("resumed", r.Resumed),
		slog.Int("retired", r.Retired), slog.Int("stray_keys", r.StrayKeys), slog.Bool("new_counters", r.NewCounters))
	return nil
}

// serve runs everything. The sink outlives the sources, to deliver what they
// left; an error of any one ends all.
func (d *daemon) serve(ctx context.Context, o Options) error {
	sources, sourcesCtx := errgroup.WithContext(ctx)
	sinkCtx, stopSink := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSink()
	sunk := make(chan error, 1)
	go func() { sunk <- d.sink.Run(sinkCtx) }()

	sources.Go(func() error { return d.loop.run(sourcesCtx) })
	sources.Go(func() error { return watchPolicy(sourcesCtx, d.where, d.log, d.loop.fresh) })
	renew := d.watchCertificate()
	sources.Go(func() error { renew(sourcesCtx); return nil })
	var a Addresses
	if d.flows != nil {
		sources.Go(func() error { return d.flows.Run(sourcesCtx) })
	}
	if d.natlog != nil {
		a.NATLog = d.natlog.Addr()
		sources.Go(func() error { return d.natlog.Run(sourcesCtx) })
	}
	if d.radius != nil {
		a.RADIUS = d.radius.Addr()
		sources.Go(func() error { return d.radius.Serve(sourcesCtx) })
	}
	if d.metrics != nil {
		a.Metrics = d.metrics.Addr().(*net.TCPAddr).AddrPort()
		sources.Go(func() error { return d.serveMetrics(sourcesCtx) })
	}
	// A sink that fails, which only a broken spool makes it do, ends the sources.
	sources.Go(func() error {
		select {
		case <-sourcesCtx.Done():
			return nil
		case err := <-sunk:
			sunk <- nil
			return fmt.Errorf("sink ended: %w", err)
		}
	})
	d.log.Info("collecting", slog.String("collector_id", d.cfg.CollectorID))
	if o.Status != nil { // before it is said to be ready: whoever waits for that sees a status
		f, _ := gatherFigures(d.registry, time.Now())
		o.Status(f.line(f))
	}
	if o.Ready != nil {
		o.Ready(a)
	}
	if o.Reload != nil {
		sources.Go(func() error { return d.watchReload(sourcesCtx, o) })
	}
	if o.Status != nil {
		sources.Go(func() error { return d.watchStatus(sourcesCtx, o.Status) })
	}
	err := sources.Wait()
	if err == nil {
		d.deliver()
	}
	stopSink()
	err = errors.Join(err, <-sunk)
	d.log.Info("stopped", slog.Uint64("rows_left_in_spool", d.spool.Stats().PendingRows))
	return err
}

// deliver waits a little for the store to take what is in the spool. What it
// does not take, the next run delivers.
func (d *daemon) deliver() {
	deadline := time.Now().Add(deliverGrace)
	for d.spool.Stats().PendingRows > 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
}

func (d *daemon) serveMetrics(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 1 << 14}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(d.metrics); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (d *daemon) close() {
	if d.metrics != nil {
		d.metrics.Close() // closed already, if it served
	}
	if d.flows != nil {
		if err := d.flows.Close(); err != nil {
			d.log.Error("conntrack did not close", slog.Any("error", err))
		}
	}
	if d.natlog != nil {
		if err := d.natlog.Close(); err != nil {
			d.log.Error("the log's socket did not close", slog.Any("error", err))
		}
	}
	if d.datapath != nil {
		if err := d.datapath.Close(); err != nil {
			d.log.Error("datapath did not close", slog.Any("error", err))
		}
	}
	if d.spool != nil {
		if err := d.spool.Close(); err != nil {
			d.log.Error("spool did not close", slog.Any("error", err))
		}
	}
}
