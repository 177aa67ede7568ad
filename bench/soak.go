package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/usage"
	"griffier/schema"
	"griffier/schema/engine"
)

// soakLength is how long the bench soak goes on; a release is soaked for 24h, which
// takes some 4 GB of temporary disk.
var soakLength = 2 * time.Minute

const (
	soakRows    = 2_000 // of a block
	soakPause   = time.Second
	soakLines   = soakRows / 4
	soakSamples = 24
	soakLeast   = 4 // however slow the machine is
)

// benchSoak leaves the store to itself under a steady load: two writers that insert
// half of what they send twice, readers, readers that give up, and look-ups of what
// there is not. It reports what must not grow: resident memory, open files and parts
// in the last quarter against the quarter before, and errors, of which there must be
// none. Every sum is checked at the end.
func benchSoak(emit func(result)) error {
	return withStoreIn(func(ctx context.Context, conn driver.Conn, _ *engine.Engine, _ string) error {
		ctx, cancel := context.WithTimeout(ctx, soakLength)
		defer cancel()
		s := &soak{conn: conn, reader: usage.NewReader(conn), began: time.Now().UTC()}
		var work sync.WaitGroup
		for writer := range 2 {
			work.Go(func() { s.write(ctx, writer) })
		}
		for range 2 {
			work.Go(func() { s.read(ctx) })
		}
		work.Go(func() { s.giveUp(ctx) })
		samples := s.watch(ctx)
		work.Wait()
		return s.report(context.WithoutCancel(ctx), samples, emit)
	})
}

type soak struct {
	conn              driver.Conn
	reader            *usage.Reader
	began             time.Time
	rows, bytes       atomic.Uint64 // inserted, each once
	answers, given    atomic.Uint64
	errors            atomic.Uint64
	firstError        sync.Once
	firstErrorMessage string
}

func (s *soak) fail(err error) {
	s.errors.Add(1)
	s.firstError.Do(func() { s.firstErrorMessage = err.Error() })
}

// bucketAt is the bucket of the n-th block of a writer: forward through the days that
// a policy of months keeps, one bucket a block.
func (s *soak) bucketAt(n int) time.Time {
	return s.began.Truncate(24*time.Hour).AddDate(0, 0, -30).Add(time.Duration(n%(30*288)) * schema.BucketLength)
}

func (s *soak) write(ctx context.Context, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		records := usageRecords(s.bucketAt(n), soakRows)
		var bytes uint64
		for _, r := range records {
			u := r.(*schema.Usage)
			u.CounterID[0], u.SampledAt = byte(writer), u.SampledAt.Add(time.Duration(n)*time.Millisecond)
			bytes += u.Bytes
		}
		for range 1 + n%2 {
			if err := schema.Insert(context.WithoutCancel(ctx), s.conn, fmt.Sprintf("soak-%d-%d", writer, n), records); err != nil {
				s.fail(err)
			}
		}
		s.rows.Add(soakRows)
		s.bytes.Add(bytes)
		wait(ctx, soakPause)
	}
}

func (s *soak) read(ctx context.Context) {
	for ctx.Err() == nil {
		var n uint64
		err := s.conn.QueryRow(context.WithoutCancel(ctx), "SELECT count() FROM traffic.usage WHERE access_ref = toFixedString(unhex(?), 16)", lineRef(rand.IntN(soakLines)).String()).Scan(&n)
		if err != nil {
			s.fail(err)
		}
		s.answers.Add(1)
		wait(ctx, 50*time.Millisecond)
	}
}

// giveUp cancels questions that would take long.
func (s *soak) giveUp(ctx context.Context) {
	for ctx.Err() == nil {
		impatient, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(1+rand.IntN(30))*time.Millisecond)
		err := s.conn.Exec(impatient, "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1")
		if err == nil || !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "imeout") {
			s.fail(fmt.Errorf("a question that was given up ended with %w", err))
		}
		cancel()
		s.given.Add(1)
		wait(ctx, time.Second)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// soakSample is what must not grow.
type soakSample struct{ resident, files, parts float64 }

func (s *soak) watch(ctx context.Context) (samples []soakSample) {
	for n := 0; ctx.Err() == nil || n < soakLeast; n++ {
		wait(ctx, soakLength/soakSamples)
		var sample soakSample
		var parts uint64
		if err := s.conn.QueryRow(context.WithoutCancel(ctx), "SELECT count() FROM system.parts WHERE active AND database = 'traffic'").Scan(&parts); err != nil {
			s.fail(err)
			continue
		}
		sample.parts = float64(parts)
		if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
			sample.files = float64(len(fds))
		}
		sample.resident = residentMB()
		samples = append(samples, sample)
		fmt.Fprintf(os.Stderr, "bench: soak: %s, %.0f MB resident, %.0f files, %.0f parts, %d rows, %d errors\n",
			time.Since(s.began).Round(time.Second), sample.resident, sample.files, sample.parts, s.rows.Load(), s.errors.Load())
	}
	return samples
}

// residentMB is this process's memory, the engine's with it.
func residentMB() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize()) / 1e6
}

func (s *soak) report(ctx context.Context, samples []soakSample, emit func(result)) error {
	var rows, bytes uint64
	if err := s.conn.QueryRow(ctx, "SELECT count(), sum(bytes) FROM traffic.usage").Scan(&rows, &bytes); err != nil {
		return err
	}
	if rows != s.rows.Load() || bytes != s.bytes.Load() {
		return fmt.Errorf("soak: the store has %d rows and %d bytes of traffic, want %d and %d", rows, bytes, s.rows.Load(), s.bytes.Load())
	}
	if n := s.errors.Load(); n > 0 {
		return fmt.Errorf("soak: %d errors, the first: %s", n, s.firstErrorMessage)
	}
	if len(samples) < soakLeast {
		return errors.New("soak: too short to say anything")
	}
	quarter := len(samples) / 4
	most := func(of []soakSample, get func(soakSample) float64) (top float64) {
		for _, sample := range of {
			top = max(top, get(sample))
		}
		return top
	}
	last, before := samples[len(samples)-quarter:], samples[len(samples)-2*quarter:len(samples)-quarter]
	for _, x := range []struct {
		name, unit string
		get        func(soakSample) float64
	}{
		{"soak/resident", "MB", func(x soakSample) float64 { return x.resident }},
		{"soak/open_files", "files", func(x soakSample) float64 { return x.files }},
		{"soak/parts", "parts", func(x soakSample) float64 { return x.parts }},
	} {
		emit(against(x.name, most(last, x.get), x.unit, "the quarter before the last, of "+soakLength.String(), most(before, x.get)))
	}
	emit(result{Name: "soak/rows", Value: float64(rows), Unit: "rows, each once, half of them sent twice"})
	emit(result{Name: "soak/questions", Value: float64(s.answers.Load()), Unit: "questions answered"})
	emit(result{Name: "soak/given_up", Value: float64(s.given.Load()), Unit: "questions given up"})
	return nil
}
