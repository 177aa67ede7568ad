package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/ledger"
	"griffier/api/register"
	"griffier/api/retention/expiry"
	"griffier/api/usage"
	"griffier/schema"
	"griffier/schema/engine"
)

// storeScale is how many rows the bench store grows to.
var storeScale = 1e6

// How many questions of a kind are asked, and before them to warm the caches.
var storeQuestions, storeWarmUp = 500, 30

const (
	portalTime    = 30 * time.Second
	portalRate    = 50      // questions a second
	portalReaders = 6       // at once
	portalInserts = 100_000 // rows a second
	holdTarget    = 10      // ms, p99 of who held
	monthTarget   = 25      // ms, p99 of a line's month
	verifyTarget  = 60      // s
)

// benchStore asks what the product asks, with the product's own queries, of a
// store that grows tenfold from 1e6 rows to storeScale: who held an address, first
// of the store and then of PostgreSQL with the same rows, while those can be
// held; then, at the last scale, what a line had in a window, a day's drop, the
// proof of retention, a line's month of usage, and both under a load of inserts.
func benchStore(emit func(result)) error {
	return withStoreIn(func(ctx context.Context, conn driver.Conn, e *engine.Engine, dir string) error {
		for scale := 1e6; scale <= storeScale*1.001; scale *= 10 {
			f := assignmentFill(scale)
			if err := conn.Exec(ctx, "TRUNCATE TABLE "+f.table); err != nil {
				return err
			}
			if err := f.fill(ctx, conn); err != nil {
				return err
			}
			if err := whoHeld(ctx, conn, f, scale, emit); err != nil {
				return err
			}
			if scale <= postgresScale*1.001 {
				if err := postgresHolders(e.SocketPath(), f, scale, emit); err != nil {
					return err
				}
			}
		}
		last := assignmentFill(storeScale)
		for _, do := range []func(context.Context, driver.Conn, storeFill, func(result)) error{addressesOfLine, dropDay} {
			if err := do(ctx, conn, last, emit); err != nil {
				return err
			}
		}
		if err := proveRetention(ctx, conn, dir, emit); err != nil {
			return err
		}
		if err := conn.Exec(ctx, "TRUNCATE TABLE "+last.table); err != nil {
			return err
		}
		u := usageFill(storeScale)
		if err := u.fill(ctx, conn); err != nil {
			return err
		}
		if err := monthOfLine(ctx, conn, u, emit); err != nil {
			return err
		}
		return portal(ctx, conn, u, emit)
	})
}

// timed times questions, after some that warm the caches. Each says whether its
// answer was the right one.
func timed(warmUp, n int, question func(n int) error) ([]time.Duration, error) {
	var took []time.Duration
	for i := range n + warmUp {
		began := time.Now()
		if err := question(i); err != nil {
			return nil, err
		}
		if i >= warmUp {
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}

// anyInstant is within the days that are filled, but not within the first, whose
// day before is not.
func anyInstant() time.Time {
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	return midnight.Add(-time.Duration(rand.Int64N(int64((fillDays - 1) * 24 * time.Hour)))).Truncate(time.Millisecond)
}

// whoHeld asks by turns for a port of a shared address and for an address in a
// delegated prefix.
func whoHeld(ctx context.Context, conn driver.Conn, f storeFill, scale float64, emit func(result)) error {
	traffic := execute.NewTraffic(conn)
	empty, err := timed(storeWarmUp, storeQuestions, func(int) error { return conn.Exec(ctx, "SELECT 1") })
	if err != nil {
		return err
	}
	took, err := timed(storeWarmUp, storeQuestions, func(n int) error {
		q := disclosure.Question{Instant: anyInstant()}
		line := rand.IntN(f.lines)
		if n%2 == 0 {
			q.Address, q.Port = publicAddress(line)
			q.Port += uint16(rand.IntN(fillPorts))
			q.Protocol = 6
		} else {
			q.Address = delegatedAddress(line, rand.Uint64())
		}
		rows, err := traffic.Assignments(ctx, disclosure.NewPlan(q, disclosure.DefaultClockMargin))
		if err == nil && (len(rows) < 1 || len(rows) > 2) {
			err = fmt.Errorf("%d rows held an address at an instant, want 1, or 2 around a change", len(rows))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, q := range []float64{0.5, 0.99} {
		emit(against(fmt.Sprintf("store/who_held_p%g_%s", q*100, scaleName(scale)), quantile(took, q), "ms", "SELECT 1 of the same connection", quantile(empty, q)))
	}
	emit(against("store/who_held_p99_"+scaleName(scale)+"_target", quantile(took, 0.99), "ms", "target", holdTarget))
	rows, bytes, err := onDisk(ctx, conn, f.table)
	if err != nil {
		return err
	}
	emit(against("store/assignment_bytes_"+scaleName(scale), float64(bytes)/float64(rows), "B/row on disk", "target", 24))
	return nil
}

// refOf is the reference of a line, as the engine made it.
func refOf(ctx context.Context, conn driver.Conn, line int) (ref schema.AccessRef, err error) {
	err = conn.QueryRow(ctx, "SELECT sipHash128(toUInt64(?))", line).Scan(&ref)
	return ref, err
}

// refs are those of n lines by chance.
func refs(ctx context.Context, conn driver.Conn, lines, n int) ([]schema.AccessRef, error) {
	out := make([]schema.AccessRef, n)
	for i := range out {
		var err error
		if out[i], err = refOf(ctx, conn, rand.IntN(lines)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addressesOfLine asks for all that a line held in a week and in a month, which no
// sort key helps with.
func addressesOfLine(ctx context.Context, conn driver.Conn, f storeFill, emit func(result)) error {
	questions := max(5, storeQuestions/50)
	lines, err := refs(ctx, conn, f.lines, questions+1)
	if err != nil {
		return err
	}
	end := time.Now().UTC().Truncate(24 * time.Hour)
	for _, days := range []int{7, 30} {
		took, err := timed(1, questions, func(n int) error {
			var rows uint64
			err := conn.QueryRow(ctx, `SELECT count() FROM traffic.assignment WHERE access_ref = toFixedString(unhex(?), 16) AND started_at >= ? AND started_at < ?
				SETTINGS optimize_move_to_prewhere_if_final = 1`,
				lines[n].String(), end.AddDate(0, 0, -days), end).Scan(&rows)
			if err == nil && rows != uint64(4*days) {
				err = fmt.Errorf("a line held %d addresses in %d days, want %d", rows, days, 4*days)
			}
			return err
		})
		if err != nil {
			return err
		}
		emit(against(fmt.Sprintf("store/addresses_of_line_%dd_p50_%s", days, scaleName(storeScale)), quantile(took, 0.5), "ms", "", 0))
	}
	return nil
}

// dropDay drops the oldest day, which the policy has due in half a year.
func dropDay(ctx context.Context, conn driver.Conn, f storeFill, emit func(result)) error {
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -fillDays)
	began := time.Now()
	left, err := schema.DropDay(ctx, conn, schema.ClassAssignment, day, day.AddDate(0, 7, 0))
	took := time.Since(began)
	if err != nil || left.Rows != 0 {
		return fmt.Errorf("drop a day: %d rows are left: %w", left.Rows, err)
	}
	emit(against("store/drop_day_"+scaleName(storeScale), took.Seconds()*1e3, "ms", "target", 1000))
	return nil
}

// proveRetention lets the product prove that nothing is there past its limit.
func proveRetention(ctx context.Context, conn driver.Conn, dir string, emit func(result)) error {
	ledgerDir, err := os.MkdirTemp("", "griffier-bench-ledger-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(ledgerDir)
	record := &expiry.Record{}
	l, err := openProofLedger(ledgerDir, record)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	v := &expiry.Verifier{Conn: conn, Book: l, Record: record, Policy: func() (uint64, string) { return 1, "bench" }, DataDir: dir + "/data", Now: time.Now}
	for _, whole := range []bool{false, true} {
		began := time.Now()
		proof, err := v.Verify(ctx, expiry.Options{Whole: whole})
		if err != nil {
			return err
		}
		if proof.Failed != 0 {
			return fmt.Errorf("retention proof failed: %+v", proof.Findings)
		}
		name := "store/verify_" + scaleName(storeScale)
		if whole {
			name = "store/verify_whole_" + scaleName(storeScale)
		}
		emit(against(name, time.Since(began).Seconds(), "s", "target", verifyTarget))
	}
	return nil
}

// rollUp stores the day rows of all lines, as the product's roll-up would, but by
// the engine itself: a row of the register for each line is not what is measured.
func rollUp(ctx context.Context, conn driver.Conn, f storeFill) error {
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	var marks []schema.UsageDayMark
	for n := 1; n <= fillDays; n++ {
		day := midnight.AddDate(0, 0, -n)
		err := conn.Exec(ctx, `INSERT INTO traffic.usage_day_part (access_ref, day, zone, started_at, ended_at, direction, ip_version, source, collector_id,
				bytes, packets, gap_seconds, withdrawn, version, class)
			SELECT access_ref, toDate(toStartOfDay(bucket_started_at, 'UTC')) AS day, 'UTC', toDateTime64(day, 3, 'UTC'), addDays(toDateTime64(day, 3, 'UTC'), 1),
				direction, ip_version, source, collector_id, sum(bytes), sum(packets), 0, false, 1, 'usage_day'
			FROM traffic.usage_bucket WHERE bucket_started_at >= ? AND bucket_started_at < ?
			GROUP BY access_ref, day, direction, ip_version, source, collector_id`, day, day.AddDate(0, 0, 1))
		if err != nil {
			return fmt.Errorf("roll up: %w", err)
		}
		marks = append(marks, schema.UsageDayMark{UTCDay: day, Through: midnight.AddDate(0, 0, 1), BucketRows: uint64(f.rows)})
	}
	return schema.WriteUsageDayMarks(ctx, conn, 1, marks)
}

// monthOfLine asks what a line moved in 30 days, and what in each of their buckets.
func monthOfLine(ctx context.Context, conn driver.Conn, f storeFill, emit func(result)) error {
	if err := rollUp(ctx, conn, f); err != nil {
		return err
	}
	questions := storeQuestions * 2 / 5
	lines, err := refs(ctx, conn, f.lines, questions+storeWarmUp)
	if err != nil {
		return err
	}
	reader := usage.NewReader(conn)
	end := time.Now().UTC().Truncate(24 * time.Hour)
	for _, q := range []struct {
		name string
		ask  func(n int) error
	}{
		{"usage_month", func(n int) error { return lineMonth(ctx, reader, lines[n], end) }},
		{"usage_month_series", func(n int) error { return lineWindow(ctx, reader, lines[n], end.AddDate(0, 0, -30), end) }},
	} {
		took, err := timed(storeWarmUp, questions, q.ask)
		if err != nil {
			return err
		}
		for _, p := range []float64{0.5, 0.99} {
			emit(against(fmt.Sprintf("store/%s_p%g_%s", q.name, p*100, scaleName(storeScale)), quantile(took, p), "ms", "target (p99)", monthTarget))
		}
	}
	rows, bytes, err := onDisk(ctx, conn, f.table)
	if err != nil {
		return err
	}
	emit(against("store/usage_bytes_"+scaleName(storeScale), float64(bytes)/float64(rows), "B/row on disk", "target", 8))
	return nil
}

// lineMonth reads what a line moved in the 30 days up to end, all of it from day
// rows.
func lineMonth(ctx context.Context, reader *usage.Reader, ref schema.AccessRef, end time.Time) error {
	start := end.AddDate(0, 0, -30)
	totals, err := reader.Totals(ctx, []register.Held{held(ref, start, end)}, time.UTC, []usage.Window{{Start: start, End: end}})
	if err == nil && (totals[0].Basis != usage.BasisDays || len(totals[0].Elapsed) > 0 || totals[0].Volume().BytesDown == 0) {
		err = fmt.Errorf("a line's month is %+v, want all of it from day rows", totals[0])
	}
	return err
}

// held is a reference that was a line's since long before a window.
func held(ref schema.AccessRef, start, end time.Time) register.Held {
	return register.Held{Ref: ref, ValidFrom: start.AddDate(-1, 0, 0), ValidTo: end.AddDate(1, 0, 0)}
}

// lineWindow reads what a line moved, and that every bucket of both IP versions
// is there.
func lineWindow(ctx context.Context, reader *usage.Reader, ref schema.AccessRef, start, end time.Time) error {
	buckets, err := reader.Buckets(ctx, []register.Held{held(ref, start, end)}, usage.Window{Start: start, End: end})
	if want := 2 * int(end.Sub(start)/schema.BucketLength); err == nil && len(buckets) != want {
		err = fmt.Errorf("%d buckets of a line, want %d", len(buckets), want)
	}
	return err
}

// portal asks 50 times a second for a line's month while 100,000 rows a second are
// inserted, and merged. A question is asked when it is due, however late the one
// before it is, and its wait counts.
func portal(ctx context.Context, conn driver.Conn, f storeFill, emit func(result)) error {
	lines, err := refs(ctx, conn, f.lines, 1000)
	if err != nil {
		return err
	}
	// New parts are merged as ever; the filled days stay as they are.
	for _, statement := range []string{"ALTER TABLE " + f.table + " MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 67108864", "SYSTEM START MERGES " + f.table} {
		if err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, portalTime)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var failure error
	note := func(began time.Time, err error) {
		mu.Lock()
		defer mu.Unlock()
		if took = append(took, time.Since(began)); err != nil && failure == nil {
			failure = err
		}
	}
	reader := usage.NewReader(conn)
	end := time.Now().UTC().Truncate(24 * time.Hour)
	var inserted atomic.Int64
	var work sync.WaitGroup
	began := time.Now()
	work.Go(func() {
		const rows = portalInserts / 2
		for n := 0; ctx.Err() == nil; n++ {
			records := usageRecords(end.Add(-time.Duration(n%288+1)*schema.BucketLength), rows)
			if err := schema.Insert(context.WithoutCancel(ctx), conn, fmt.Sprint("portal", n), records); err != nil {
				note(time.Now(), err)
				return
			}
			inserted.Add(rows)
			time.Sleep(time.Until(began.Add(time.Duration(n+1) * time.Second / 2)))
		}
	})
	due := make(chan int, portalRate*int(portalTime/time.Second))
	var questions sync.WaitGroup
	for range portalReaders {
		questions.Go(func() {
			for n := range due {
				at := began.Add(time.Duration(n) * time.Second / portalRate)
				note(at, lineMonth(context.WithoutCancel(ctx), reader, lines[n%len(lines)], end))
			}
		})
	}
	for n := range cap(due) {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / portalRate)))
		due <- n
	}
	close(due)
	questions.Wait()
	seconds := time.Since(began).Seconds()
	cancel()
	work.Wait()
	if failure != nil {
		return failure
	}
	slices.Sort(took)
	emit(against("store/portal_questions_"+scaleName(storeScale), float64(len(took))/seconds, "questions/s", "target, sustained", portalRate))
	emit(against("store/portal_inserts_"+scaleName(storeScale), float64(inserted.Load())/seconds, "rows/s", "target, meanwhile", portalInserts))
	for _, q := range []float64{0.5, 0.99} {
		emit(against(fmt.Sprintf("store/portal_p%g_%s", q*100, scaleName(storeScale)), quantile(took, q), "ms", "", 0))
	}
	return nil
}

// openProofLedger opens a ledger that record is a fold of.
func openProofLedger(dir string, record *expiry.Record) (*ledger.Log, error) {
	l, _, err := openBenchLedger(dir, record)
	return l, err
}
