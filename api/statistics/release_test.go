package statistics

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/clock"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/schema"
	"griffier/schema/schematest"
)

// network is a store with lines in it, and a ledger.
type network struct {
	t         *testing.T
	conn      driver.Conn
	book      *ledger.Log
	publisher *Publisher
	day       time.Time
	inserts   int
}

func newNetwork(t *testing.T, segments ...Segment) *network {
	t.Helper()
	database := schematest.Spared(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	err = schema.WritePolicy(t.Context(), conn, "nl", []schema.Policy{{Class: schema.ClassUsage5m, Period: "P14D", Zone: "Europe/Amsterdam",
		Purpose: "faults and complaints", Basis: "test", Source: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSegments(segments)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, conn: conn, day: time.Now().UTC().Truncate(day).Add(-5 * day)}
	n.publisher = &Publisher{Store: NewStore(conn, s), Releases: &Releases{}, Now: func() time.Time { return n.day.Add(4 * day) }, Log: slog.New(slog.DiscardHandler)}
	n.openLedger()
	return n
}

func (n *network) openLedger() {
	n.t.Helper()
	dir := n.t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		n.t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		n.t.Fatal(err)
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/statistics")
	if err != nil {
		n.t.Fatal(err)
	}
	n.book, err = ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"),
		Key: key, Keys: keys, Folds: []ledger.Fold{n.publisher.Releases}, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { n.book.Close() })
	n.publisher.Book = n.book
}

// released returns the headers of the ledger's entries about published days.
func (n *network) released() (out []ledger.Header) {
	n.t.Helper()
	all, err := n.book.Read(n.t.Context(), 0, int(n.book.Size()))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range all {
		if e.Header.Kind == KindReleased {
			out = append(out, e.Header)
		}
	}
	return out
}

func ref(line int) (r schema.AccessRef) {
	binary.BigEndian.PutUint64(r[8:], uint64(line)+1)
	return r
}

// register gives a line its reference.
func (n *network) register(lines ...int) {
	n.t.Helper()
	batch, err := n.conn.PrepareBatch(n.t.Context(), "INSERT INTO register.line_access (line_id, access_ref, valid_from, valid_to, version)")
	if err != nil {
		n.t.Fatal(err)
	}
	defer batch.Close()
	for _, line := range lines {
		r := ref(line)
		if err := batch.Append(fmt.Sprintf("L-%d", line), string(r[:]), n.day.Add(-30*day), schema.Forever, uint64(1)); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		n.t.Fatal(err)
	}
}

// moved stores what a line received in the first bucket of an hour.
func (n *network) moved(line int, collector string, hour int, bytes uint64, source schema.UsageSource) {
	n.t.Helper()
	at := n.day.Add(time.Duration(hour) * time.Hour)
	n.inserts++
	var counter schema.ID
	binary.BigEndian.PutUint64(counter[:], uint64(n.inserts))
	u := &schema.Usage{AccessRef: ref(line), BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength), SampledAt: at.Add(time.Second), Direction: schema.Down,
		IPVersion: 4, Bytes: bytes, Packets: 1, CumulativeBytes: bytes, CumulativePackets: 1, CounterID: counter, CollectorID: collector, Source: source}
	if source == schema.UsageRADIUS {
		u.IPVersion = 0
	}
	if err := schema.Insert(n.t.Context(), n.conn, fmt.Sprint(n.inserts), []schema.Record{u}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) publish() []Hour {
	n.t.Helper()
	if err := n.publisher.Once(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	hours, err := n.publisher.Store.Hours(n.t.Context(), n.day, n.day.Add(day), maxCells)
	if err != nil {
		n.t.Fatal(err)
	}
	return hours
}

func lines(from, to int) (out []int) {
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// TestAttacks mounts the attacks that the form of the statistics is made against.
func TestAttacks(t *testing.T) {
	n := newNetwork(t)
	n.register(lines(0, 40)...)
	for line := range 20 {
		n.moved(line, "c1", 0, 1000, schema.UsageKernel)
	}
	for line := 20; line < 32; line++ {
		n.moved(line, "c2", 0, 1000, schema.UsageKernel)
	}
	n.moved(32, "c3", 0, 1000, schema.UsageKernel) // a segment with one line
	n.moved(33, "c1", 1, 777_000, schema.UsageKernel)
	for line := range 10 { // two companies move nearly all of an hour; of the next each moves as much
		n.moved(line, "c1", 2, []uint64{1000, 500_000}[max(1-line/2, 0)], schema.UsageKernel)
		n.moved(line, "c1", 3, 1000, schema.UsageKernel)
	}
	first := n.publish()

	t.Run("all at once", func(t *testing.T) {
		cells := uint64(1) // the day itself
		for _, h := range first {
			cells += uint64(len(h.Cells))
		}
		for most, want := range map[uint64]error{cells: nil, cells - 1: ErrTooMany} {
			if _, err := n.publisher.Store.Hours(t.Context(), n.day, n.day.Add(day), most); !errors.Is(err, want) {
				t.Errorf("at most %d of %d cells: %v, want %v", most, cells, err, want)
			}
		}
	})
	t.Run("a segment with one line", func(t *testing.T) {
		for _, h := range first {
			for _, c := range h.Cells {
				if slices.Contains(c.Segments, "c3") && (len(c.Segments) == 1 || c.Lines < 10) {
					t.Errorf("the lone line of c3 is told apart: %+v", c)
				}
			}
		}
	})
	t.Run("one of two large ones", func(t *testing.T) {
		// Either takes its own volume off the hour's, and would have the other's.
		var hours []int
		for _, h := range first {
			hours = append(hours, int(h.StartedAt.Sub(n.day)/time.Hour))
		}
		if !slices.Equal(hours, []int{0, 3}) {
			t.Errorf("hours %v are published, want 0 and 3", hours)
		}
	})
	t.Run("a known total", func(t *testing.T) {
		// Somebody measures the whole network's hour at its uplink, and knows what
		// the segments publish: what remains must not be the lone line.
		var published uint64
		for _, c := range first[0].Cells {
			published += c.BytesDown
		}
		if published != 33_000 {
			t.Errorf("the cells hold %d of 33,000 bytes: the rest is somebody", published)
		}
		// The hour of one line: its total is known too, and says nothing published.
		for _, h := range first {
			if h.StartedAt.Equal(n.day.Add(time.Hour)) {
				t.Errorf("an hour of one line is published: %+v", h)
			}
		}
	})
	t.Run("differencing two releases", func(t *testing.T) {
		// A line's rows come late, another's are erased, and the segments are cut
		// anew: whatever is asked again must be what was published before.
		n.moved(34, "c2", 0, 123_456, schema.UsageKernel)
		r := ref(0)
		if err := n.conn.Exec(t.Context(), "ALTER TABLE traffic.usage_bucket DELETE WHERE access_ref = toFixedString(unhex('"+r.String()+"'), 16) SETTINGS mutations_sync = 2"); err != nil {
			t.Fatal(err)
		}
		s, err := NewSegments([]Segment{{Name: "north", Collectors: []string{"c1", "c2"}}})
		if err != nil {
			t.Fatal(err)
		}
		n.publisher.Store.segments = s
		again := n.publish()
		if fmt.Sprint(again) != fmt.Sprint(first) {
			t.Errorf("published %+v after %+v: the difference is a line", again, first)
		}
		if entries := n.released(); len(entries) != 1 {
			t.Errorf("a day was entered %d times", len(entries))
		}
		// Not even when a crash kept the ledger's entry from being made.
		before := n.released()[0].Facts
		n.publisher.Releases = &Releases{}
		n.openLedger()
		if again := n.publish(); fmt.Sprint(again) != fmt.Sprint(first) {
			t.Errorf("published anew after a crash: %+v", again)
		}
		sum := func(facts json.RawMessage) string {
			var f releasedFacts
			if err := json.Unmarshal(facts, &f); err != nil {
				t.Fatal(err)
			}
			return f.SHA256
		}
		if entries := n.released(); len(entries) != 1 || sum(entries[0].Facts) != sum(before) {
			t.Error("the entry that a crash prevented was not made up for, or is about other rows")
		}
	})
	t.Run("joining back", func(t *testing.T) {
		for _, entry := range n.released() {
			if strings.Contains(string(entry.Facts), "L-") || entry.BodySHA256 != "" {
				t.Errorf("the ledger's entry names more than a day: %s", entry.Facts)
			}
		}
		rows, err := n.conn.Query(t.Context(), "SELECT name FROM system.columns WHERE database = 'statistics' AND (name LIKE '%ref%' OR name LIKE '%line_id%' OR name LIKE '%counter%')")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if rows.Next() {
			t.Error("a column refers to a line")
		}
	})
}

// TestVolumes compares what is published with an oracle that adds up itself.
func TestVolumes(t *testing.T) {
	n := newNetwork(t, Segment{Name: "north", Collectors: []string{"c1", "c2"}}, Segment{Name: "south", Collectors: []string{"c3", "c4"}})
	n.register(lines(0, 60)...)
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]uint64{}
	for line := range 30 { // a kernel counts; some move through both routers of the segment
		a, b := 100+random.Uint64N(900), 100+random.Uint64N(90)
		n.moved(line, "c1", 2, a, schema.UsageKernel)
		n.moved(line, "c2", 2, b, schema.UsageKernel)
		want["north"] += a + b
	}
	for line := 30; line < 50; line++ { // a BNG counts, and tells both routers
		v := 100 + random.Uint64N(900)
		n.moved(line, "c3", 2, v, schema.UsageRADIUS)
		n.moved(line, "c4", 2, v, schema.UsageRADIUS)
		want["south"] += v
	}
	for line := 50; line < 60; line++ { // both count: only the kernel's counts
		v := 100 + random.Uint64N(900)
		n.moved(line, "c3", 2, v, schema.UsageKernel)
		n.moved(line, "c3", 2, 5*v, schema.UsageRADIUS)
		n.moved(line, "c3", 7, 5*v, schema.UsageRADIUS)
		want["south"] += v
	}
	n.moved(99, "c1", 2, 1e9, schema.UsageKernel) // not a line of ours
	hours := n.publish()
	if len(hours) != 1 || !hours[0].StartedAt.Equal(n.day.Add(2*time.Hour)) {
		t.Fatalf("published %+v, want hour 2 alone", hours)
	}
	got := map[string]uint64{}
	for _, c := range hours[0].Cells {
		if c.Lines != 30 || c.BytesUp != 0 {
			t.Errorf("%+v, want 30 lines that received", c)
		}
		got[strings.Join(c.Segments, "+")] += c.BytesDown
	}
	if got["north"] != significant(want["north"]) || got["south"] != significant(want["south"]) {
		t.Errorf("published %v, want %v rounded", got, want)
	}
}

// TestOnlyWhatIsDue publishes neither a day that may still change nor one that
// has begun to expire, and no day twice.
func TestOnlyWhatIsDue(t *testing.T) {
	n := newNetwork(t)
	n.register(lines(0, 20)...)
	for line := range 20 {
		n.moved(line, "c1", 0, 1000, schema.UsageKernel)
	}
	for after, entries := range map[time.Duration]int{day + DefaultDelay - time.Second: 0, 16 * day: 0} {
		n.publisher.Now = func() time.Time { return n.day.Add(after) }
		n.publish()
		if len(n.released()) != entries {
			t.Errorf("%v after its start the day was published", after)
		}
	}
	n.publisher.Now = func() time.Time { return n.day.Add(day + DefaultDelay) }
	n.publisher.Clock = clock.NewLeap(n.day.Add(-30*day), func() (clock.Reading, error) { return clock.Reading{}, nil })
	if err := n.publisher.Once(t.Context()); reason.Of(err) != reason.ClockUntrusted || len(n.released()) != 0 {
		t.Errorf("by a clock that leapt: %v, %d entries", err, len(n.released()))
	}
	n.publisher.Clock = nil
	if hours := n.publish(); len(hours) != 1 || len(n.released()) != 1 {
		t.Errorf("published %+v with %d entries when due", hours, len(n.released()))
	}
}

// TestTheOnlySenderIsNotPublished: thirty lines fetch, one of them sends, and what
// is sent is little beside what is fetched. Its sum is that one line's.
func TestTheOnlySenderIsNotPublished(t *testing.T) {
	n := newNetwork(t)
	for line := range 30 {
		n.register(line)
		n.moved(line, "c1", 3, 1_000_000, schema.UsageKernel)
		n.moved(line, "c1", 4, 1_000_000, schema.UsageKernel)
	}
	at := n.day.Add(3 * time.Hour)
	err := schema.Insert(t.Context(), n.conn, "sent", []schema.Record{&schema.Usage{AccessRef: ref(7), BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength),
		SampledAt: at.Add(time.Second), Direction: schema.Up, IPVersion: 4, Bytes: 4711, Packets: 3, CumulativeBytes: 4711, CumulativePackets: 3,
		CounterID: schema.ID{9}, CollectorID: "c1", Source: schema.UsageKernel}})
	if err != nil {
		t.Fatal(err)
	}
	hours := n.publish()
	if len(hours) != 1 || !hours[0].StartedAt.Equal(n.day.Add(4*time.Hour)) || hours[0].Cells[0].Lines != 30 {
		t.Errorf("published %+v, want the hour in which nobody sent, and not the other", hours)
	}
}

// TestADayThatExpiredInPartIsNotPublished: the policy was shortened and lengthened
// again; what had expired stays expired, so a day of which some is gone is no day.
func TestADayThatExpiredInPartIsNotPublished(t *testing.T) {
	n := newNetwork(t)
	for line := range 30 {
		n.register(line)
		n.moved(line, "c1", 23, 1_000_000, schema.UsageKernel)
	}
	age := time.Since(n.day.Add(12 * time.Hour)) // the day's noon has expired, its last hour has not
	for _, period := range []string{fmt.Sprintf("PT%dM", int(age/time.Minute)), "P14D"} {
		err := schema.WritePolicy(t.Context(), n.conn, "nl", []schema.Policy{{Class: schema.ClassUsage5m, Period: period, Zone: "Europe/Amsterdam",
			Purpose: "faults and complaints", Basis: "test", Source: "test"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if hours := n.publish(); len(hours) != 0 {
		t.Errorf("published %+v of a day whose first half is gone", hours)
	}
}

// TestOneSubscriberOfManyLines: a company with a dozen lines is one subscriber, and
// a segment of those and eight others is about nine.
func TestOneSubscriberOfManyLines(t *testing.T) {
	n := newNetwork(t)
	batch, err := n.conn.PrepareBatch(t.Context(), "INSERT INTO register.line (line_id, account_id, time_zone, billing_day, contract_start, contract_end, version)")
	if err != nil {
		t.Fatal(err)
	}
	for line := range 24 {
		n.register(line)
		account := fmt.Sprintf("other %d", line)
		if line < 12 {
			account = "company"
		}
		if err := batch.Append(fmt.Sprintf("L-%d", line), account, "Europe/Amsterdam", uint8(1), n.day.Add(-30*day), schema.Forever, uint64(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	for line := range 20 { // the company's in two segments, and eight
		n.moved(line, fmt.Sprintf("c%d", line%2), 3, 1000, schema.UsageKernel)
	}
	for line := range 24 { // and twelve: the company moves half, and is one of thirteen
		n.moved(line, fmt.Sprintf("c%d", line%2), 4, 1000, schema.UsageKernel)
	}
	hours := n.publish()
	if len(hours) != 1 || !hours[0].StartedAt.Equal(n.day.Add(4*time.Hour)) || len(hours[0].Cells) != 1 || hours[0].Cells[0].Lines != 20 || hours[0].Cells[0].BytesDown != 24_000 {
		t.Errorf("published %+v, want one cell of the hour of thirteen subscribers", hours)
	}
}
