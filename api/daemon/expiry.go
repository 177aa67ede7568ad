package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/backup"
	"griffier/api/ledger"
	"griffier/api/retention/expiry"
	"griffier/api/subject"
	"griffier/schema"
)

// newExpiry makes what drops expired days, and what proves that they are gone.
func (s *services) newExpiry(book *ledger.Log) (*expiry.Dropper, *expiry.Verifier) {
	policy := func() (generation uint64, sha256 string) {
		f, _ := s.keeper.InForce()
		return f.Generation, f.SHA256
	}
	dropper := &expiry.Dropper{Conn: s.conn, Book: book, Record: s.record, LastAt: book.LastAt, Policy: policy, Clock: s.leap, Now: time.Now, Log: s.log}
	if s.cfg.Store.DataDir != "" {
		dropper.Ballast = s.ballast()
	}
	verifier := &expiry.Verifier{Conn: s.conn, Book: book, Record: s.record, Policy: policy, DataDir: s.cfg.Store.DataDir, Settle: dropper.Settle, Now: time.Now, Log: s.log,
		Agrees: func(ctx context.Context) (bool, error) { return s.keeper.Agrees(ctx, s.conn) }}
	s.keeper.Changed = dropper.PolicyChanged
	verifier.Places = append(verifier.Places, subject.Place{State: s.rights})
	if s.cfg.Backup.KeysDir != "" {
		place := backup.Place{KeysDir: s.cfg.Backup.KeysDir, Keys: s.keys, Record: s.copies}
		if s.cfg.Store.DataDir != "" {
			place.Dir = s.cfg.Backup.Dir
		}
		verifier.Places = append(verifier.Places, place)
	}
	return dropper, verifier
}

func (s *services) ballast() *expiry.Ballast {
	return &expiry.Ballast{Path: filepath.Join(s.cfg.Store.DataDir, "ballast")}
}

// makeRoom gives up the ballast if the disk of the embedded store is full.
func (s *services) makeRoom() bool {
	if s.cfg.Store.DataDir == "" || !s.ballast().Scarce() {
		return false
	}
	shed, err := s.ballast().Shed()
	return shed && err == nil
}

// raiseFloor tells the store what time it is at least. A full disk must not keep
// griffierd from starting: it is what drops expired days.
func (s *services) raiseFloor(ctx context.Context, book *ledger.Log) error {
	err := schema.RaiseClockFloor(ctx, s.conn, floorOf(book))
	if !errors.Is(err, schema.ErrNoSpace) || s.cfg.Store.DataDir == "" {
		return err
	}
	if shed, e := s.ballast().Shed(); !shed || e != nil {
		return errors.Join(err, e)
	}
	return schema.RaiseClockFloor(ctx, s.conn, floorOf(book))
}

// watchClock says at once if this host's clock cannot be believed, and keeps
// saying it in a metric.
func (s *services) watchClock(ctx context.Context, book *ledger.Log) {
	j := s.judge(book)
	if err := j.Check(); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "disclosures are refused: the clock cannot be believed", slog.String("error", err.Error()))
	}
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "griffier_clock_trusted", Help: "1 if the host's clock can be believed, else 0: disclosures are then refused.",
	}, func() float64 {
		if j.Check() != nil {
			return 0
		}
		return 1
	}))
}
