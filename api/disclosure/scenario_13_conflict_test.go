package disclosure_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Scenario 13, duplicated or conflicting session rows: "RADIUS Stop retransmitted,
// Start lost, Interim out of order, two BNGs report same IP for overlapping time ->
// merged when equal, DATA_CONFLICT when not; volume never double counted (exactly-
// once property test over shuffled input)." What is stored of the same packets in
// whatever order they came must be answered the same.
func TestScenario13ConflictingRows(t *testing.T) {
	l := newLab(t)
	content := l.Content(time.Hour)
	content.Targets = nil
	const hour = time.Hour
	n := 0
	row := func(name, address string, from, to time.Duration, change ...func(*schema.Assignment)) *schema.Assignment {
		n++
		a := &schema.Assignment{AssignmentID: schema.ID{13, byte(n)}, SessionID: schema.ID{13, byte(n), 1}, Prefix: netip.MustParsePrefix(address + "/32"), PortEnd: 65535,
			AccessRef:           l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}),
			AssignmentStartedAt: l.Noon.Add(from), StartedAt: l.Noon.Add(from), EndedAt: l.Noon.Add(to), Version: 1, EndCause: schema.EndRelease,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		for _, c := range change {
			c(a)
		}
		return a
	}
	version := func(v uint64, open bool) func(*schema.Assignment) {
		return func(a *schema.Assignment) { a.Version, a.Open = v, open }
	}
	of := func(collector string) func(*schema.Assignment) {
		return func(a *schema.Assignment) { a.CollectorID = collector }
	}
	// The same slice, emitted while it was open, at its end, and at a Stop that was
	// sent again.
	again := func(a *schema.Assignment, to time.Duration, v uint64, open bool) *schema.Assignment {
		b := *a
		b.EndedAt, b.Version, b.Open = l.Noon.Add(to), v, open
		return &b
	}
	started := row("alice", "192.0.2.40", -hour, -30*time.Minute, version(1, true))
	inferred := func(a *schema.Assignment) { a.Certainty = schema.CertaintyInferred }
	type question struct {
		address string
		at      time.Duration
		want    reason.Reason
		says    string
	}
	rows := []schema.Record{
		started, again(started, 0, 2, true), again(started, 30*time.Minute, 3, false), again(started, 30*time.Minute, 3, false),
		// Only the end came: what is known begins with it.
		row("alice", "192.0.2.41", -hour, hour, inferred),
		// Its Stop was lost: until a while after it was last heard of nobody is said not to
		// have had the address.
		row("alice", "192.0.2.45", -hour, 0, inferred),
		// Two routers saw one line: the same answer from both.
		row("alice", "192.0.2.42", -hour, hour), row("alice", "192.0.2.42", -30*time.Minute, 2*hour, of("edge2")),
		// Two routers saw two lines at once.
		row("alice", "192.0.2.43", -hour, hour), row("bob", "192.0.2.43", -30*time.Minute, 2*hour, of("edge2")),
		// One router says so of two lines, for one second.
		row("alice", "192.0.2.44", -hour, time.Second), row("bob", "192.0.2.44", 0, hour),
	}
	questions := []question{
		{"192.0.2.40", 0, reason.Match, "line-alice"},
		{"192.0.2.40", 29 * time.Minute, reason.Match, "line-alice"},
		{"192.0.2.40", 31 * time.Minute, reason.NoMatch, ""},
		{"192.0.2.41", 0, reason.Match, "inferred"},
		{"192.0.2.45", 10 * time.Minute, reason.AmbiguousBoundary, ""},
		{"192.0.2.45", 16 * time.Minute, reason.NoMatch, ""},
		{"192.0.2.42", 0, reason.Match, "line-alice"},
		{"192.0.2.43", 0, reason.DataConflict, ""},
		{"192.0.2.43", -45 * time.Minute, reason.Match, "line-alice"},
		{"192.0.2.44", 500 * time.Millisecond, reason.DataConflict, ""},
		{"192.0.2.44", -10 * time.Second, reason.Match, "line-alice"},
		{"192.0.2.44", 10 * time.Second, reason.Match, "line-bob"},
	}
	for _, q := range questions {
		if len(content.Targets) == 0 || content.Targets[len(content.Targets)-1] != q.address {
			content.Targets = append(content.Targets, q.address)
		}
	}
	w := l.Approve(content)
	for round := range 3 {
		if err := l.Conn.Exec(t.Context(), "TRUNCATE TABLE traffic.assignment_slice"); err != nil {
			t.Fatal(err)
		}
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for i := 0; i < len(rows); { // in blocks of any size, some of them sent twice
			some := rows[i:min(i+1+rand.IntN(3), len(rows))]
			for sent := range 1 + rand.IntN(2) {
				if err := schema.Insert(t.Context(), l.Conn, fmt.Sprintf("scenario 13, %d, %d, %d", round, i, sent), some); err != nil {
					t.Fatal(err)
				}
			}
			i += len(some)
		}
		for _, q := range questions {
			_, plain := l.MustExecute(l.Task(w, q.address, l.Noon.Add(q.at)), q.want)
			if !strings.Contains(plain, q.says) {
				t.Errorf("%s at %v: the package does not say %q", q.address, q.at, q.says)
			}
			if found := reveals(plain); q.want != reason.Match && found != nil {
				t.Errorf("%s at %v: %s says %v", q.address, q.at, q.want, found)
			}
		}
	}
}

// Scenario 13, "volume never double counted (exactly-once property test over
// shuffled input)": counters read every five minutes, in blocks of any size that come
// in any order and twice, and the same bytes as a BNG counted them.
func TestScenario13Volume(t *testing.T) {
	l := newLab(t)
	ref := l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "alice@isp.example"})
	want := map[string]uint64{} // by bucket and direction
	var rows []schema.Record
	for at := -time.Hour; at < time.Hour; at += schema.BucketLength {
		for n, direction := range []schema.Direction{schema.Down, schema.Up} {
			for ip := range 2 { // two counters of each direction
				u := &schema.Usage{AccessRef: ref, BucketStartedAt: l.Noon.Add(at), EndedAt: l.Noon.Add(at + schema.BucketLength), SampledAt: l.Noon.Add(at + time.Minute),
					Direction: direction, IPVersion: uint8(4 + 2*ip), Bytes: rand.Uint64N(1 << 40), CounterID: schema.ID{13, byte(n), byte(ip)}, CollectorID: "edge1", Source: schema.UsageKernel}
				u.Packets = u.Bytes / 1000
				u.CumulativeBytes, u.CumulativePackets = u.Bytes, u.Packets
				want[fmt.Sprintf("%v %s", at, direction)] += u.Bytes
				told := *u // by RADIUS
				told.Source, told.CounterID = schema.UsageRADIUS, schema.ID{13, byte(n), byte(ip), 1}
				rows = append(rows, u, &told)
			}
		}
	}
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	type block struct {
		token string
		rows  []schema.Record
	}
	var blocks []block
	for i := 0; i < len(rows); {
		b := block{fmt.Sprintf("usage %d", i), rows[i:min(i+1+rand.IntN(20), len(rows))]}
		i += len(b.rows)
		for range 1 + rand.IntN(2) { // what was not acknowledged is sent again
			blocks = append(blocks, b)
		}
		blocks = append(blocks, block{b.token + " otherwise", b.rows[:1+rand.IntN(len(b.rows))]}) // and after a crash, cut differently
	}
	rand.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
	for _, b := range blocks {
		if err := schema.Insert(t.Context(), l.Conn, b.token, b.rows); err != nil {
			t.Fatal(err)
		}
	}
	_, told, _ := l.MustAsk(l.Everything("line:line-alice"), reason.Match, griffierv1.Category_CATEGORY_VOLUME, "line:line-alice", -time.Hour, time.Hour)
	got := map[string]uint64{}
	for _, row := range told {
		var line, from, to, direction, source string
		var bytes, packets uint64
		if _, err := fmt.Sscan(row, &line, &from, &to, &direction, &bytes, &packets, &source); err != nil || line != "line-alice" || source != "kernel" {
			t.Errorf("row %q: %v", row, err)
		}
		got[from+" "+direction] += bytes
	}
	if len(told) != len(want) {
		t.Errorf("%d rows of %d buckets", len(told), len(want))
	}
	for bucket, bytes := range want {
		if got[bucket] != bytes {
			t.Errorf("%s: %d bytes, want %d", bucket, got[bucket], bytes)
		}
	}
}
