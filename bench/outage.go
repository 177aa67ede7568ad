package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"griffier/schema"
	"griffier/schema/engine"
)

// outageLength is how long the store is away, set by -outage. The figure of
// record is 1h, which needs 5 GB in the temporary folder.
var outageLength = time.Minute

// outageRate is how many events come a second: the target, and fewer in the test,
// which has to keep up on a machine that does other things too.
var outageRate uint64 = 10_000

const (
	outageKills = 2 // kill -9 of the collector while the store is away
	// batchInterval is how often the generator sends what is due; a collector that
	// was away is sent at most batchMost at a time.
	batchInterval = 10 * time.Millisecond
	batchMost     = 5000
)

// caughtUp is how many rows wait at most when the store is not behind: the sink lets
// them gather for a second, and an insert takes its time.
func caughtUp() uint64 { return 2 * outageRate }

// outageReport is what an outage came to.
type outageReport struct {
	Events         uint64
	Rate           float64 // events a second made durable while the store was away
	BytesPerEvent  float64 // of spool
	AckP99         float64 // ms until a batch was durable, the store being away
	Backlog        uint64  // rows in the spool when the store was back
	CatchUpSeconds float64 // from then until it was not behind any more, events still coming
	CatchUpRate    float64 // rows a second from the first that the store took
	RSSBytes       float64 // the most that the collector had
}

// benchOutage measures a store that is killed and stays away while 10,000 events
// a second go on coming and the collector is killed twice. Then every row of the
// store is compared with the generator's own ledger; any that is missing, double
// or changed is an error and there is no figure.
func benchOutage(emit func(result)) error {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	before := min(outageLength/10, 10*time.Second)
	r, err := runOutage(context.Background(), dir, before, outageLength)
	if err != nil {
		return err
	}
	asJSON := 0.0
	const sample = 10_000
	for n := range uint64(sample) {
		text, err := json.Marshal(event(n, yesterday()))
		if err != nil {
			return err
		}
		asJSON += float64(len(text)+1) / sample
	}
	events := float64(r.Events)
	emit(result{"outage_rows_stored_once", events, "rows", "the generator's ledger, row by row: equal, after " + outageLength.String() + " without the store and 2 kill -9", events, 1})
	emit(result{"outage_events", r.Rate, "events/s", "the target: 10,000 events/s while the store is away", float64(outageRate), r.Rate / float64(outageRate)})
	emit(result{"outage_spool", r.BytesPerEvent, "B/event", "the same rows as JSON lines", asJSON, r.BytesPerEvent / asJSON})
	emit(result{"outage_ack_p99", r.AckP99, "ms", "the target of an acknowledgement: 20 ms (T9)", 20, r.AckP99 / 20})
	emit(result{"outage_catch_up", r.CatchUpRate, "rows/s", "the rate at which events go on coming", float64(outageRate), r.CatchUpRate / float64(outageRate)})
	emit(result{"outage_catch_up_time", r.CatchUpSeconds, "s", "the outage's length", outageLength.Seconds(), r.CatchUpSeconds / outageLength.Seconds()})
	emit(result{"outage_rss", r.RSSBytes, "B", "the limit: 250 MB (T11)", 250e6, r.RSSBytes / 250e6})
	return nil
}

// yesterday is the UTC day that the events are of.
func yesterday() time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1) }

// runOutage runs engine and collector as processes in dir: the store is there for
// the time before, then killed, and back after outage.
func runOutage(ctx context.Context, dir string, before, outage time.Duration) (r outageReport, err error) {
	g := &generator{dir: dir, ledger: generatorLedger{day: yesterday(), tallies: map[schema.Kind]tally{}}}
	defer g.close()
	if _, err := engine.Fetch(ctx, os.Stderr); err != nil {
		return r, err
	}
	if err := g.startEngine(); err != nil {
		return r, err
	}
	if err := prepareStore(ctx, dir); err != nil {
		return r, err
	}
	if err := g.startCollector(); err != nil {
		return r, err
	}
	g.began = time.Now()
	if err := g.generate(func() bool { return time.Since(g.began) >= before }); err != nil {
		return r, err
	}

	g.engine.kill()
	g.acks = nil
	start, startEvent, startBytes := time.Now(), g.ledger.next, g.last.SpoolBytes
	for n := range outageKills {
		// At any moment of a third of the outage, with a batch under way.
		at := start.Add(outage * time.Duration(n) / outageKills).Add(time.Duration((0.3 + 0.4*rand.Float64()) * float64(outage) / outageKills))
		if err := g.generate(func() bool { return !time.Now().Before(at) }); err != nil {
			return r, err
		}
		if err := g.killCollector(); err != nil {
			return r, err
		}
	}
	if err := g.generate(func() bool { return time.Since(start) >= outage }); err != nil {
		return r, err
	}
	r.Rate = float64(g.ledger.next-startEvent) / time.Since(start).Seconds()
	r.BytesPerEvent = float64(g.last.SpoolBytes-startBytes) / float64(g.ledger.next-startEvent)
	r.AckP99 = quantile(g.acks, 0.99)

	if err := g.startEngine(); err != nil {
		return r, err
	}
	back := time.Now()
	r.Backlog = g.last.PendingRows
	moving, rows, event := back, r.Backlog, g.ledger.next
	err = g.generate(func() bool {
		if g.last.PendingRows >= rows { // the sink does not know yet
			moving, rows, event = time.Now(), g.last.PendingRows, g.ledger.next
		}
		return g.last.PendingRows < caughtUp() || time.Since(back) > outage+10*time.Minute
	})
	if err != nil {
		return r, err
	}
	if g.last.PendingRows >= caughtUp() {
		return r, fmt.Errorf("%d rows are still in the spool %v after the store is back", g.last.PendingRows, time.Since(back))
	}
	r.CatchUpSeconds = time.Since(back).Seconds()
	r.CatchUpRate = float64(rows+g.ledger.next-event-g.last.PendingRows) / time.Since(moving).Seconds()
	if err := g.drain(); err != nil {
		return r, err
	}
	r.Events, r.RSSBytes = g.ledger.next, g.rss
	conn, err := schema.Open(ctx, schema.Config{Socket: filepath.Join(dir, "s")})
	if err != nil {
		return r, err
	}
	defer conn.Close()
	if _, err := os.Stat(filepath.Join(dir, "quarantine")); !errors.Is(err, os.ErrNotExist) {
		return r, errors.New("rows were quarantined")
	}
	return r, g.ledger.compare(ctx, conn)
}

// prepareStore makes the tables and has no part ever merged, which would hide a
// row that is there twice.
func prepareStore(ctx context.Context, dir string) error {
	conn, err := schema.Open(ctx, schema.Config{Socket: filepath.Join(dir, "s")})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		return err
	}
	for _, x := range rowSQL {
		if err := conn.Exec(ctx, "ALTER TABLE traffic."+x.table+" MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1"); err != nil {
			return err
		}
	}
	return nil
}

// generator sends events to a collector and keeps the ledger.
type generator struct {
	dir       string
	ledger    generatorLedger
	began     time.Time
	engine    *child
	collector *child
	last      message // of the collector
	acks      []time.Duration
	rss       float64
}

// generate sends what is due until done says so.
func (g *generator) generate(done func() bool) error {
	for !done() {
		due := uint64(time.Since(g.began).Seconds() * float64(outageRate))
		if due <= g.ledger.next {
			time.Sleep(batchInterval)
			continue
		}
		sent := time.Now()
		if err := g.send(min(due, g.ledger.next+batchMost)); err != nil {
			return err
		}
		if err := g.receive(); err != nil {
			return err
		}
		g.acks = append(g.acks, time.Since(sent))
		time.Sleep(time.Until(sent.Add(batchInterval)))
	}
	return nil
}

func (g *generator) send(upTo uint64) error {
	if err := binary.Write(g.collector.stdin, binary.LittleEndian, upTo); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	return nil
}

// receive waits for an acknowledgement and enters what it covers in the ledger.
func (g *generator) receive() error {
	var m message
	if err := binary.Read(g.collector.stdout, binary.LittleEndian, &m); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	if m.Next < g.ledger.next {
		return fmt.Errorf("the collector is at event %d after it had acknowledged all before %d", m.Next, g.ledger.next)
	}
	g.last = m
	g.ledger.advance(m.Next)
	return nil
}

// killCollector kills it while it works on a batch, and starts it again.
func (g *generator) killCollector() error {
	g.noteRSS()
	if err := g.send(g.ledger.next + outageRate/100); err != nil {
		return err
	}
	time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Millisecond))))
	g.collector.kill()
	return g.startCollector()
}

// drain waits until the store has every row.
func (g *generator) drain() error {
	for deadline := time.Now().Add(10 * time.Minute); g.last.PendingRows > 0; time.Sleep(batchInterval) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d rows are still in the spool", g.last.PendingRows)
		}
		if err := errors.Join(g.send(g.ledger.next), g.receive()); err != nil {
			return err
		}
	}
	g.noteRSS()
	return nil
}

// noteRSS notes the most memory that the collector had so far (VmHWM of proc(5)).
func (g *generator) noteRSS() {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.collector.cmd.Process.Pid))
	if err != nil {
		return
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	line, _, _ := strings.Cut(rest, " kB")
	if kib, err := strconv.ParseFloat(strings.TrimSpace(line), 64); err == nil {
		g.rss = max(g.rss, kib*1024)
	}
}

func (g *generator) startCollector() (err error) {
	if g.collector, err = startChild(roleCollector, g.dir, g.ledger.day); err != nil {
		return err
	}
	return g.receive()
}

func (g *generator) startEngine() (err error) {
	if g.engine, err = startChild(roleEngine, g.dir, g.ledger.day); err != nil {
		return err
	}
	if line, err := g.engine.stdout.ReadString('\n'); line != "serving\n" {
		return fmt.Errorf("engine said %q: %w", line, err)
	}
	return nil
}

// close ends what still runs.
func (g *generator) close() {
	for _, c := range []*child{g.collector, g.engine} {
		if c != nil {
			c.kill()
		}
	}
}

// child is this program in a role.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

func startChild(role, dir string, day time.Time) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, folderEnv+"="+dir, dayEnv+"="+strconv.FormatInt(day.Unix(), 10))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return &child{cmd, stdin, bufio.NewReader(stdout)}, nil
}

// kill is SIGKILL. It waits for the end, and may be called twice.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.stdin.Close()
	c.cmd.Wait()
}
