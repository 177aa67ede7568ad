package disclosure_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/server"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Scenario 15, wildcard, fishing, bulk: "192.0.2.0/24, %, name 'Jan*', 500 targets
// in one CSV […] -> refused or throttled, DPO alert, statistics line." Refused in a
// warrant and in a task, with an entry each, and nothing is read.
func TestScenario15Wildcards(t *testing.T) {
	l := newGatedLab(t)
	w := l.Approved(time.Hour)
	fishing := []string{
		"192.0.2.0/24", "192.0.2.17/32", "192.0.2.0-192.0.2.255", "192.0.2.*", "192.0.2", "0.0.0.0", "0.0.0.0/0", "::/0", "::", "2001:db8::/32", "2001:db8::/47",
		"%", "*", "_", "?", ".*", "192.0.2.17%", "192.0.2.17' OR '1'='1", "192.0.2.17; DROP TABLE traffic.assignment_slice", "192.0.2.17,192.0.2.18", "192.0.2.17\n192.0.2.18",
		"192.0.2.17 ", " 192.0.2.17", "192.0.2.17\x00", "192.0.2.17\u200b", "١٩٢.٠.٢.١٧", "１９２.0.2.17", "0300.0.2.17", "192.0.2.017", "3221225985", "0xC0000211", "192.0.529",
		"fe80::1%eth0", "192.0.2.17:0", "192.0.2.17:65536", "127.0.0.1", "::1", "224.0.0.1", "ff02::1", "255.255.255.255",
		"Jan*", "person:Jan*;1234 AB;1", "person:;1234 AB;1", "person:%;%;%", "address:1234*;1", "address:1234 AB;", "address:1234 AB;1-99", "line:", "line:*", "line:%", "line:line-a*",
		"radius:", "radius:*", "radius:*@isp.example", "circuit:", "circuit:*", "mac:", "mac:aa:bb:cc:*", "mac:aa:bb:cc", "", strings.Repeat("1", 70_000),
	}
	queries := l.Queries(func() {
		for _, target := range fishing {
			time.Sleep(100 * time.Millisecond) // two calls of one person, who has 20 a second
			size := l.Log.Size()
			content := l.Content(time.Hour)
			content.Targets = []string{target}
			_, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
			// A reason of its own, or that the form is wrong: never another answer.
			if got := reason.Of(err); got != reason.TargetNotSpecific && got != reason.WarrantIncomplete && got != reason.InvalidRequest {
				t.Errorf("a warrant over %.40q: %v", target, err)
			}
			_, err = l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: target, Instant: l.Noon.Format(time.RFC3339)})
			if got := reason.Of(err); got != reason.TargetNotSpecific && got != reason.InvalidRequest {
				t.Errorf("a task of %.40q: %v", target, err)
			}
			if entries := l.since(size); len(entries) != 2 || slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.Header.Kind != server.KindRefusal }) {
				t.Errorf("%.40q: entries %s", target, disclosuretest.JSON(entries))
			}
		}
		var many []string
		for i := range 500 {
			many = append(many, fmt.Sprintf("192.0.2.%d", i%256))
		}
		content := l.Content(time.Hour)
		content.Targets = many
		_, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
		if err == nil {
			t.Error("a warrant over 500 targets was made")
		}
	})
	if queries != 0 {
		t.Errorf("%d queries were issued", queries)
	}
}

// Scenario 15: "Response size, latency and error text must not leak candidate
// identity (oracle test)." Addresses whose sharers have nothing in common, not even
// the length of their names or whether anybody knows them, give the same answer: in as
// many questions to the store, and in a package of the same length, which that of a
// match has too.
func TestScenario15Oracle(t *testing.T) {
	l := newLab(t)
	long := strings.Repeat("van-den-", 10) + "berg"
	for _, name := range []string{"short", "q", long, long + "2"} {
		l.subscribe(name)
	}
	n := byte(0)
	held := func(name, address string, ports uint16, from, to time.Duration) schema.Record {
		n++
		a := &schema.Assignment{AssignmentID: schema.ID{15, n}, SessionID: schema.ID{15, n, 1}, Prefix: netip.MustParsePrefix(address + "/32"), PortEnd: 65535,
			AccessRef:           l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}),
			AssignmentStartedAt: l.Noon.Add(from), StartedAt: l.Noon.Add(from), EndedAt: l.Noon.Add(to), Version: 1, EndCause: schema.EndRelease,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		if ports != 0 {
			a.PortStart, a.PortEnd = ports, ports+899
		}
		return a
	}
	const hour = time.Hour
	err := schema.Insert(t.Context(), l.Conn, "scenario 15", []schema.Record{
		held("short", "192.0.2.50", 2000, -hour, hour), held("q", "192.0.2.50", 3000, -hour, hour),
		held(long, "192.0.2.51", 2000, -hour, hour), held(long+"2", "192.0.2.51", 3000, -hour, hour),
		held("short", "192.0.2.52", 0, -hour, 0), held("q", "192.0.2.52", 0, 0, hour),
		held(long, "192.0.2.53", 0, -hour, 0), held(long+"2", "192.0.2.53", 0, 0, hour),
		held("short", "192.0.2.54", 0, -hour, hour), held("q", "192.0.2.54", 0, -hour, hour),
		held(long, "192.0.2.55", 0, -hour, hour), held("stranger", "192.0.2.55", 0, -hour, hour),
		held("q", "192.0.2.56", 0, -hour, hour), held(long, "192.0.2.57", 0, -hour, hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	content := l.Content(time.Hour)
	content.Targets = []string{"192.0.2.50", "192.0.2.51", "192.0.2.52", "192.0.2.53", "192.0.2.54", "192.0.2.55", "192.0.2.56", "192.0.2.57", "192.0.2.22", "192.0.2.23"}
	w := l.Approve(content)
	lengths := map[int][]string{} // of packages
	for _, test := range []struct {
		want    reason.Reason
		targets []string
	}{
		{reason.PortRequired, []string{"192.0.2.50", "192.0.2.51"}},
		{reason.AmbiguousBoundary, []string{"192.0.2.52", "192.0.2.53"}},
		// Two who are known, one who is and one who is not, one who is not, and one who is
		// erased.
		{reason.DataConflict, []string{"192.0.2.54", "192.0.2.55", "192.0.2.22", "192.0.2.23"}},
		{reason.Match, []string{"192.0.2.56", "192.0.2.57"}},
	} {
		t.Run(string(test.want), func(t *testing.T) {
			questions, texts := map[uint64][]string{}, map[string][]string{}
			for _, target := range test.targets {
				task := l.Task(w, target, l.Noon)
				var done *griffierv1.Task
				var err error
				asked := l.Queries(func() { done, err = l.Execute(task) })
				if err != nil || done.Answer != string(test.want) {
					t.Fatalf("%s: %v, %v", target, done, err)
				}
				questions[asked] = append(questions[asked], target)
				sealed, receipt, err := l.Fetch(task)
				if err != nil {
					t.Fatal(err)
				}
				lengths[len(sealed)] = append(lengths[len(sealed)], target)
				if shown := fmt.Sprint(done); strings.Contains(shown, "berg") || reveals(shown) != nil {
					t.Errorf("the task says %s", shown)
				}
				if test.want == reason.Match {
					continue
				}
				plain := l.Plain(sealed)
				text := masked(plain, task.TaskId, target)
				texts[text] = append(texts[text], target)
				if found := reveals(plain + string(receipt)); found != nil || strings.Contains(disclosuretest.Legible(plain), "berg") {
					t.Errorf("%s says %v", target, found)
				}
			}
			if len(questions) != 1 {
				t.Errorf("the store is asked more of some than of others: %v", questions)
			}
			if len(texts) > 1 {
				t.Errorf("answers that differ: %q", texts)
			}
		})
	}
	if len(lengths) != 1 {
		t.Errorf("packages are as long as what is in them: %v", lengths)
	}
}

// What does not exist reads as what is somebody else's, or is not released.
func TestScenario15ErrorsAreNoOracle(t *testing.T) {
	l := newGatedLab(t)
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	unknown := &griffierv1.Task{TaskId: strings.Repeat("0", 32), Generation: 1}
	_, err := l.Execute(unknown)
	l.Want(err, reason.NotFound)
	_, _, unreleased := l.Fetch(task)
	_, _, absent := l.Fetch(unknown)
	l.Want(absent, reason.NotFound)
	l.Want(unreleased, reason.NotFound)
	for _, err := range []error{err, unreleased, absent} {
		if found := reveals(status.Convert(err).Message()); found != nil || strings.Contains(err.Error(), "192.0.2") {
			t.Errorf("%v says %v", err, found)
		}
	}
}

// masked is a package's text with what differs between any two left out: ids,
// hashes, times and the target itself.
func masked(plain, taskID, target string) string {
	lines := strings.Split(strings.NewReplacer(taskID, "ID", target, "TARGET").Replace(plain), "\n")
	kept := lines[:0]
	for _, line := range lines {
		if strings.ContainsAny(line, "0123456789") {
			continue // hashes, times, indexes: the counts of them are compared by the number of lines
		}
		kept = append(kept, line)
	}
	return fmt.Sprintf("%d lines\n%s", len(lines), strings.Join(kept, "\n"))
}
