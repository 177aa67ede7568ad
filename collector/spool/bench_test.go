package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkAppend measures durable appends of one row and 64 bytes of state.
// The floor is a plain loop of write and fdatasync of as many bytes, without
// any log, in the same run on the same disk.
func BenchmarkAppend(b *testing.B) {
	batch := Batch{State: make([]byte, 64), Records: rows(1, 2)}
	body, err := appendBatch(nil, batch)
	if err != nil {
		b.Fatal(err)
	}
	frame := make([]byte, frameOverhead+frameHeadBytes+len(body))
	b.Run("floor", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		for b.Loop() {
			if _, err := f.Write(frame); err != nil {
				b.Fatal(err)
			}
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	})
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := mustOpen(b, Config{Dir: b.TempDir(), MaxBytes: 8 << 30})
			defer s.Close()
			first := s.segments[0].endFrame
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.Append(b.Context(), batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s.mu.Lock()
			groups := s.segments[len(s.segments)-1].endFrame - first
			s.mu.Unlock()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			b.ReportMetric(float64(b.N)/float64(groups), "appends/fsync")
		})
	}
}

// BenchmarkRead measures delivery, including decoding and the cursor's fsync.
func BenchmarkRead(b *testing.B) {
	s := mustOpen(b, Config{Dir: b.TempDir(), MaxBytes: 8 << 30})
	const perBatch = 10_000
	for n := 0; n < b.N; n += perBatch {
		mustAppend(b, s, Batch{Records: rows(uint64(n), uint64(n+perBatch))})
	}
	b.ResetTimer()
	for s.Stats().PendingRows > 0 {
		mustAck(b, s, mustNext(b, s))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
