package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
)

const (
	ledgerAlone   = 300     // appends against the floor, and decisions
	ledgerRounds  = 3       // of the ledger and its peers in turns
	ledgerEntries = 100_000 // that a start checks and folds, and a verification verifies
)

// ledgerWriters are how many append at once, and how many entries in a round.
var ledgerWriters = []struct{ writers, entries int }{{1, 200}, {16, 3200}, {64, 12800}}

// benchLedger measures appends and decisions, each durable, folded and witnessed
// when it counts: against the floor, the same bytes appended to a plain file that is
// synced each time; against the syncs of its batches alone; and against PostgreSQL with
// synchronous commit, as a table of which each row has the hash of the one before, and
// as a plain table, which proves nothing. Then the start and the verification of a
// ledger of 100,000 entries.
func benchLedger(emit func(result)) (err error) {
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
	leaf, err := ledgerFloor(dir, l, emit)
	if err != nil {
		return err
	}
	floor, err := syncsAlone(dir, leaf)
	if err != nil {
		return err
	}
	peers, stop, err := startLedgerPeers(leaf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := ledgerAgainstPeers(l, append([]ledgerPeer{floor}, peers...), emit); err != nil {
		return err
	}
	if err := ledgerCheckpoints(dir, l, emit); err != nil {
		return err
	}
	return ledgerWhole(dir, l, reopen, peers, leaf, emit)
}

// ledgerFloor holds one writer against append and fsync, in turns, so that a noisy
// neighbour disturbs both. It gives an entry as it is stored.
func ledgerFloor(dir string, l *ledger.Log, emit func(result)) ([]byte, error) {
	ctx := context.Background()
	entry, err := l.Append(ctx, benchDraft(0))
	if err != nil {
		return nil, err
	}
	leaf, err := entry.Encode()
	if err != nil {
		return nil, err
	}
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
				return nil, err
			}
			*m.into = append(*m.into, time.Since(start))
		}
	}
	const plain = "append+fsync of a plain file"
	emit(against("ledger_append_1_writer_p50", quantile(alone, 0.5), "ms", plain, quantile(floor, 0.5)))
	emit(against("ledger_append_1_writer_p99", quantile(alone, 0.99), "ms", plain, quantile(floor, 0.99)))
	emit(against("ledger_decide_p50", quantile(decided, 0.5), "ms", plain, quantile(floor, 0.5)))
	return leaf, nil
}

// ledgerAgainstPeers has every number of writers append to each in turns.
func ledgerAgainstPeers(l *ledger.Log, peers []ledgerPeer, emit func(result)) error {
	all := append([]ledgerPeer{{name: "griffier", append: func(writers, entries int) ([]time.Duration, time.Duration, error) {
		return appendByMany(context.Background(), l, writers, entries)
	}}}, peers...)
	for _, w := range ledgerWriters {
		latencies, took := make([][]time.Duration, len(all)), make([]time.Duration, len(all))
		for range ledgerRounds {
			for i, peer := range all {
				got, t, err := peer.append(w.writers, w.entries)
				if err != nil {
					return fmt.Errorf("%s: %w", peer.name, err)
				}
				latencies[i], took[i] = append(latencies[i], got...), took[i]+t
			}
		}
		rate := func(i int) float64 { return float64(len(latencies[i])) / took[i].Seconds() }
		for i, peer := range all[1:] {
			name := func(what string) string { return fmt.Sprintf("ledger/append_%d_writers%s", w.writers, what) }
			emit(against(name(""), rate(0), "entries/s", peer.name, rate(i+1)))
			for _, q := range []float64{0.5, 0.99} {
				emit(against(name(fmt.Sprintf("_p%g", q*100)), quantile(latencies[0], q), "ms", peer.name, quantile(latencies[i+1], q)))
			}
		}
	}
	return nil
}

// ledgerCheckpoints measures how long after an entry counts the published
// checkpoint covers it.
func ledgerCheckpoints(dir string, l *ledger.Log, emit func(result)) error {
	var waits []time.Duration
	for i := range 30 {
		entry, err := l.Append(context.Background(), benchDraft(i))
		if err != nil {
			return err
		}
		for start := time.Now(); ; time.Sleep(time.Millisecond) {
			text, err := os.ReadFile(filepath.Join(dir, "log", "checkpoint"))
			if err != nil {
				return err
			}
			h, err := ledger.OpenCheckpoint(string(text), l.PublicKey())
			if err != nil {
				return err
			}
			if h.Size > entry.Index {
				waits = append(waits, time.Since(start))
				break
			}
		}
	}
	emit(against("ledger/checkpoint_published_after_p50", quantile(waits, 0.5), "ms", "the interval between publications", 100))
	return nil
}

// ledgerWhole measures the start and the verification of a whole ledger.
func ledgerWhole(dir string, l *ledger.Log, reopen func() (*ledger.Log, error), peers []ledgerPeer, leaf []byte, emit func(result)) error {
	if missing := ledgerEntries - int(l.Size()); missing > 0 {
		if _, _, err := appendByMany(context.Background(), l, 64, missing); err != nil {
			return err
		}
	}
	public := l.PublicKey()
	if err := l.Close(); err != nil {
		return err
	}
	runtime.GC() // what the appends left behind is not the start's to collect
	start := time.Now()
	again, err := reopen()
	if err != nil {
		return err
	}
	opened, size := time.Since(start), float64(again.Size())
	if err := again.Close(); err != nil {
		return err
	}
	start = time.Now()
	for range int(size) {
		sha256.Sum256(leaf)
	}
	hashed := size / time.Since(start).Seconds()
	emit(against("ledger_start_check_and_fold", size/opened.Seconds(), "entries/s", "SHA-256 of each entry", hashed))
	emit(against("ledger/start_of_100k_entries", opened.Seconds()*ledgerEntries/size, "s", "", 0))
	runtime.GC()
	start = time.Now()
	report, err := ledger.Verify(context.Background(), ledger.VerifyConfig{Dir: filepath.Join(dir, "log"), PublicKey: public, WitnessFile: filepath.Join(dir, "witness")})
	if err != nil {
		return err
	}
	verified := float64(report.Size) / time.Since(start).Seconds()
	emit(against("ledger/verify", verified, "entries/s", "SHA-256 of each entry", hashed))
	for _, peer := range peers {
		if peer.verify == nil {
			continue
		}
		rate, err := peer.verify()
		if err != nil {
			return fmt.Errorf("%s: %w", peer.name, err)
		}
		emit(against("ledger/verify", verified, "entries/s", peer.name+", its chain checked by one query", rate))
	}
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

// appendByMany has all writers append at once, and gives how long each append and
// all together took.
func appendByMany(ctx context.Context, l *ledger.Log, writers, entries int) ([]time.Duration, time.Duration, error) {
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	latencies := make([][]time.Duration, writers)
	start := time.Now()
	for w := range writers {
		wg.Go(func() {
			for i := w; i < entries; i += writers {
				began := time.Now()
				if _, err := l.Append(ctx, benchDraft(i)); err != nil {
					failed <- err
					return
				}
				latencies[w] = append(latencies[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	close(failed)
	var all []time.Duration
	for _, l := range latencies {
		all = append(all, l...)
	}
	return all, took, <-failed // nil from the closed channel
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

// ledgerText is an entry's header and body as hexadecimal bytea of PostgreSQL, in
// which pgbench finds no variables.
func ledgerText(leaf []byte) (header, body string) {
	text := string(leaf)
	cut := strings.Index(text, `,"body":`)
	return fmt.Sprintf(`\x%x`, text[:cut]+"}"), fmt.Sprintf(`\x%x`, text[cut+len(`,"body":"`):len(text)-2])
}
