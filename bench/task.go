package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"filippo.io/age"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/schema/engine"
)

// How many tasks are executed, and before them to warm the caches.
var taskQuestions, taskWarmUp = 400, 20

const (
	taskTarget    = 500 // ms, p99
	taskDecisions = 3   // intent, result, release
)

// asked is one task, and who of the made-up network may be its answer.
type asked struct {
	address netip.Addr
	port    uint16 // 0: of a delegated prefix, which nobody shares
	instant time.Time
	lines   []int // of a port those who had it on that day, at one time or another
}

// benchTask executes approved tasks against a store of storeScale assignment rows
// and a register of all lines in them: from the call to the released package,
// sealed to its recipient and on disk. The floor, in turns with it, is what no
// implementation can leave out: as many decisions of the same ledger as a task
// needs, and the one query that names the holder.
func benchTask(emit func(result)) error {
	return withStoreIn(func(ctx context.Context, conn driver.Conn, _ *engine.Engine, _ string) error {
		f := assignmentFill(storeScale)
		if err := f.fill(ctx, conn); err != nil {
			return err
		}
		return executeTasks(ctx, conn, f, storeScale, emit)
	})
}

func executeTasks(ctx context.Context, conn driver.Conn, f storeFill, scale float64, emit func(result)) error {
	dir, err := os.MkdirTemp("", "griffier-bench-task-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o, err := newOffice(ctx, conn, f.lines, dir)
	if err != nil {
		return err
	}
	defer func() { _ = o.log.Close() }()

	questions := make([]asked, taskQuestions+taskWarmUp)
	for i := range questions {
		questions[i] = anyQuestion(f.lines, i%2 == 0)
	}
	if err := o.subscribe(ctx, questions); err != nil {
		return err
	}
	tasks, err := o.approved(ctx, questions)
	if err != nil {
		return err
	}
	var total, floor, decisions, query []time.Duration
	var parts clocked
	ambiguous := 0
	for i, q := range questions {
		o.clocked = clocked{}
		began := time.Now()
		if err := o.executor.Execute(ctx, officer, tasks[i], 1); err != nil {
			return fmt.Errorf("execute task %d: %w", i, err)
		}
		took := time.Since(began)
		here := o.clocked
		boundary, err := o.check(ctx, tasks[i], q)
		if err != nil {
			return fmt.Errorf("task %d: %w", i, err)
		}
		if boundary {
			ambiguous++
		}
		began = time.Now()
		for n := range taskDecisions {
			id := fmt.Sprintf("floor-%d-%d", i, n)
			if _, err := o.log.Decide(ctx, id, func(time.Time) (ledger.Draft, error) { return benchDraft(n), nil }); err != nil {
				return err
			}
		}
		decided := time.Since(began)
		began = time.Now()
		plan := disclosure.NewPlan(disclosure.Question{Address: q.address, Port: q.port, Instant: q.instant}, disclosure.DefaultClockMargin)
		if _, err := o.traffic.Traffic.Assignments(ctx, plan); err != nil {
			return err
		}
		queried := time.Since(began)
		if i < taskWarmUp {
			continue
		}
		total, floor = append(total, took), append(floor, decided+queried)
		decisions, query = append(decisions, decided), append(query, queried)
		parts.add(here, took)
	}
	if most := 2 + taskQuestions/100; ambiguous > most { // a change of hands within seconds of the instant
		return fmt.Errorf("%d tasks of %d were ambiguous, want at most %d", ambiguous, len(questions), most)
	}
	at := scaleName(scale)
	const plain = "3 decisions of the ledger and the holder's query, alone"
	for _, p := range []float64{0.5, 0.99} {
		emit(against(fmt.Sprintf("task/sealed_p%g_%s", p*100, at), quantile(total, p), "ms", plain, quantile(floor, p)))
	}
	emit(against("task/sealed_p99_"+at+"_target", quantile(total, 0.99), "ms", "target", taskTarget))
	for _, part := range []struct {
		name     string
		took     []time.Duration
		baseline string
		floor    []time.Duration
	}{
		{"ledger", parts.ledgers, "3 decisions alone", decisions},
		{"query", parts.queries, "the holder's query alone", query},
		{"register", parts.registers, "", nil},
		{"seal", parts.seals, "", nil}, // and all else: judging, packing, two files made durable
	} {
		for _, p := range []float64{0.5, 0.99} {
			r := against(fmt.Sprintf("task/%s_p%g_%s", part.name, p*100, at), quantile(part.took, p), "ms", part.baseline, 0)
			if part.floor != nil {
				r = against(r.Name, r.Value, r.Unit, r.Baseline, quantile(part.floor, p))
			}
			emit(r)
		}
	}
	return nil
}

// anyQuestion asks about any line at any time of the filled days.
func anyQuestion(lines int, shared bool) asked {
	q := asked{instant: anyInstant().Truncate(time.Second)}
	slot := rand.IntN(lines)
	if !shared {
		q.address, q.lines = delegatedAddress(slot, rand.Uint64()), []int{slot}
		return q
	}
	q.address, q.port = publicAddress(slot)
	q.port += uint16(rand.IntN(fillPorts))
	day := int(time.Now().UTC().Truncate(24*time.Hour).Sub(q.instant.Truncate(24*time.Hour)) / (24 * time.Hour))
	for third := range 3 { // as assignmentFill has it
		q.lines = append(q.lines, (slot+(day*3+third)*7919)%lines)
	}
	return q
}

// check fetches a task's package, verifies it as its recipient would, and looks
// that it names the line. boundary says that the answer was, rightly or not,
// AMBIGUOUS_BOUNDARY.
func (o *office) check(ctx context.Context, taskID string, q asked) (boundary bool, err error) {
	sealed, receipt, err := o.executor.Fetch(ctx, officer, taskID)
	if err != nil {
		return false, err
	}
	report := disclosure.Verify(sealed, receipt, o.trust, seal.AgeIdentity(o.identity))
	if !report.Verified() {
		return false, fmt.Errorf("the package does not verify: %+v", report)
	}
	switch report.Manifest.Answer.Reason {
	case reason.AmbiguousBoundary:
		return true, nil
	case reason.Match:
	default:
		return false, fmt.Errorf("the answer is %s", report.Manifest.Answer.Reason)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), o.identity)
	if err != nil {
		return false, err
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return false, err
	}
	for _, line := range q.lines {
		if bytes.Contains(plain, []byte(lineName(line)+",")) {
			return false, nil
		}
	}
	return false, fmt.Errorf("the package names none of the lines %v", q.lines)
}
