package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
)

const (
	ledgerAlone   = 300   // appends by one writer, and decisions
	ledgerWriters = 64    // at once
	ledgerTotal   = 12800 // appends by all writers together
)

// benchLedger measures appends and decisions, each durable, folded and witnessed
// when it counts, against the floor: the same bytes appended to a plain file
// that is synced for each append (one writer), or once for as many entries as
// there are writers (all writers).
func benchLedger(emit func(result)) error {
	dir, err := os.MkdirTemp("", "griffier-bench-ledger-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, reopen, err := openBenchLedger(dir)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // the success path closes it and looks
	ctx := context.Background()
	entry, err := l.Append(ctx, benchDraft(0))
	if err != nil {
		return err
	}
	leaf, err := entry.Encode()
	if err != nil {
		return err
	}

	// Floor and ledger in turns, so that a noisy neighbour disturbs both.
	var floor, alone, decided []time.Duration
	for i := range ledgerAlone {
		for _, m := range []struct {
			into *[]time.Duration
			do   func() error
		}{
			{&floor, func() error { return appendAndSync(filepath.Join(dir, "floor"), leaf) }},
			{&alone, func() error { _, err := l.Append(ctx, benchDraft(i)); return err }},
			{&decided, func() error {
				_, err := l.Decide(ctx, fmt.Sprintf("request-%d", i), func(time.Time) (ledger.Draft, error) { return benchDraft(i), nil })
				return err
			}},
		} {
			start := time.Now()
			if err := m.do(); err != nil {
				return err
			}
			*m.into = append(*m.into, time.Since(start))
		}
	}
	against := func(name, unit string, value float64, baseline string, floor float64) {
		emit(result{Name: name, Value: value, Unit: unit, Baseline: baseline, BaselineValue: floor, Ratio: value / floor})
	}
	const plain = "append+fsync of a plain file"
	millis := func(d []time.Duration, q int) float64 {
		slices.Sort(d)
		return float64(d[len(d)*q/100]) / float64(time.Millisecond)
	}
	against("ledger_append_1_writer_p50", "ms", millis(alone, 50), plain, millis(floor, 50))
	against("ledger_append_1_writer_p99", "ms", millis(alone, 99), plain, millis(floor, 99))
	against("ledger_decide_p50", "ms", millis(decided, 50), plain, millis(floor, 50))

	took, err := appendByMany(ctx, l)
	if err != nil {
		return err
	}
	group := []byte(strings.Repeat(string(leaf), ledgerWriters))
	start := time.Now()
	for range ledgerTotal / ledgerWriters {
		if err := appendAndSync(filepath.Join(dir, "group"), group); err != nil {
			return err
		}
	}
	against(fmt.Sprintf("ledger_append_%d_writers", ledgerWriters), "entries/s", ledgerTotal/took.Seconds(),
		fmt.Sprintf("append+fsync of a plain file, %d entries at a time", ledgerWriters), ledgerTotal/time.Since(start).Seconds())

	if err := l.Close(); err != nil {
		return err
	}
	start = time.Now()
	again, err := reopen()
	if err != nil {
		return err
	}
	opened := time.Since(start)
	size := float64(again.Size())
	if err := again.Close(); err != nil {
		return err
	}
	start = time.Now()
	for range int(size) {
		sha256.Sum256(leaf)
	}
	against("ledger_start_check_and_fold", "entries/s", size/opened.Seconds(), "SHA-256 of each entry", size/time.Since(start).Seconds())
	return nil
}

// openBenchLedger makes a ledger with its keys in dir.
func openBenchLedger(dir string, folds ...ledger.Fold) (*ledger.Log, func() (*ledger.Log, error), error) {
	key, err := ledger.GenerateKey(filepath.Join(dir, "signing.key"), "bench.example/ledger")
	if err != nil {
		return nil, nil, err
	}
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		return nil, nil, err
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		return nil, nil, err
	}
	if err := keys.Create("class:bench"); err != nil {
		return nil, nil, err
	}
	open := func() (*ledger.Log, error) {
		return ledger.Open(context.Background(), ledger.Config{
			Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: keys,
			Folds: folds,
			Limit: 30 * time.Second, // a stall of the disk belongs in the p99, not in an error
		})
	}
	l, err := open()
	return l, open, err
}

// benchDraft is an entry as a look-up by support makes it: about 700 bytes.
func benchDraft(n int) ledger.Draft {
	return ledger.Draft{
		Kind: "support.looked_up", Actor: "0123456789abcdef0123456789abcdef", Role: "support", TaskID: fmt.Sprintf("ticket-%d", n),
		KeyID: "class:bench", Facts: map[string]any{"records": n, "purpose": "complaint"},
		Body: map[string]string{"line": "line-1234567890", "window": "2026-11-01T00:00:00Z/2026-11-14T00:00:00Z"},
	}
}

// appendByMany has all writers append at once, and gives how long all took.
func appendByMany(ctx context.Context, l *ledger.Log) (time.Duration, error) {
	var wg sync.WaitGroup
	failed := make(chan error, ledgerWriters)
	start := time.Now()
	for range ledgerWriters {
		wg.Go(func() {
			for i := range ledgerTotal / ledgerWriters {
				if _, err := l.Append(ctx, benchDraft(i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return time.Since(start), <-failed // nil from the closed channel
}

// appendAndSync is the floor: what must reach the disk, and nothing else.
func appendAndSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
