package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/sink"
	"griffier/collector/spool"
	"griffier/schema"
	"griffier/schema/engine"
)

// The program runs itself in these roles, so that each can be killed.
const (
	roleEnv   = "GRIFFIER_BENCH_ROLE"
	folderEnv = "GRIFFIER_BENCH_FOLDER"
	dayEnv    = "GRIFFIER_BENCH_DAY" // Unix seconds

	roleEngine    = "engine"
	roleCollector = "collector"
)

// playRole is the child's main; it returns the exit status.
func playRole(role string) int {
	play := map[string]func(dir string) error{roleEngine: serveEngine, roleCollector: collectEvents}[role]
	if play == nil {
		fmt.Fprintf(os.Stderr, "bench: no role %q\n", role)
		return 2
	}
	if err := play(os.Getenv(folderEnv)); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", role, err)
		return 1
	}
	return 0
}

// serveEngine serves the store until it is killed or its standard input ends.
func serveEngine(dir string) error {
	ctx := context.Background()
	lib, err := engine.Fetch(ctx, os.Stderr)
	if err != nil {
		return err
	}
	e, err := engine.Start(ctx, engine.Config{DataDir: filepath.Join(dir, "data"), SocketPath: filepath.Join(dir, "s"), LibPath: lib})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	io.Copy(io.Discard, os.Stdin)
	return e.Close(ctx)
}

// checkpointBytes is the log between two checkpoints, as in the daemon.
const checkpointBytes = 128 << 20

// message is what the collector answers: once at start, and after each batch
// that is durable.
type message struct {
	Next        uint64 // the first event that is not durable here
	PendingRows uint64 // that the store does not have
	SpoolBytes  uint64
}

// collectEvents is what griffier-collector does with events, less their making: the
// spool, whose state says which event is next, and the sink. It reads numbers of
// events, up to which it is to go, from standard input.
func collectEvents(dir string) error {
	seconds, err := strconv.ParseInt(os.Getenv(dayEnv), 10, 64)
	if err != nil {
		return err
	}
	day := time.Unix(seconds, 0).UTC()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), MaxBytes: 1 << 40, SegmentBytes: checkpointBytes})
	if err != nil {
		return err
	}
	defer s.Close()
	next, err := recoverNext(s)
	if err != nil {
		return err
	}
	k, err := sink.New(sink.Config{
		Spool: s, Store: schema.Config{Socket: filepath.Join(dir, "s")}, QuarantineDir: filepath.Join(dir, "quarantine"),
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	sunk := make(chan error, 1)
	go func() { sunk <- k.Run(ctx) }()
	defer func() { stop(); <-sunk }()
	for {
		st := s.Stats()
		if err := binary.Write(os.Stdout, binary.LittleEndian, message{Next: next, PendingRows: st.PendingRows, SpoolBytes: uint64(st.Bytes)}); err != nil {
			return err
		}
		var upTo uint64
		if err := binary.Read(os.Stdin, binary.LittleEndian, &upTo); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var records []schema.Record
		for ; next < upTo; next++ {
			records = append(records, event(next, day))
		}
		state := binary.LittleEndian.AppendUint64(nil, next)
		if len(records) > 0 {
			if err := s.Append(ctx, spool.Batch{State: state, Records: records}); err != nil {
				return err
			}
		}
		if s.Stats().SinceCheckpoint >= checkpointBytes {
			if err := s.Checkpoint(ctx, state); err != nil {
				return err
			}
		}
	}
}

// recoverNext is what the last durable batch or checkpoint says.
func recoverNext(s *spool.Spool) (uint64, error) {
	state, deltas, err := s.Recover()
	if err != nil {
		return 0, err
	}
	if len(deltas) > 0 {
		state = deltas[len(deltas)-1]
	}
	if len(state) == 0 {
		return 0, nil
	}
	return binary.LittleEndian.Uint64(state), nil
}
