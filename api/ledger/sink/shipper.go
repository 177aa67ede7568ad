package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"griffier/api/ledger"
)

// Book is the part of a ledger that is shipped ([ledger.Log]).
type Book interface {
	Size() uint64
	PublicKey() string
	RootAt(size uint64) ([]byte, error)
	CheckpointAt(size uint64) (string, error)
	Leaves(ctx context.Context, from, to uint64, visit func(index uint64, leaf []byte) error) error
	Read(ctx context.Context, start uint64, n int) ([]ledger.Entry, error)
	Distrust(why error)
}

// ShipperConfig says where to, and what is late.
type ShipperConfig struct {
	Book   Book
	Client *Client
	// Every is how often the ledger is looked at; what is new then goes at once.
	Every time.Duration
	// AlarmAfter is how old an entry that the sink does not have becomes before it
	// is said, and RefuseAfter before new legal acts are refused ([Shipper.Refuses]).
	AlarmAfter, RefuseAfter time.Duration
	Now                     func() time.Time
	Metrics                 *Metrics
	Log                     *slog.Logger
}

// Shipper keeps the second sink up to date. It goes on from what the sink says
// that it has, so it may be stopped at any time, and sends nothing twice in vain.
type Shipper struct {
	cfg     ShipperConfig
	started time.Time

	mu      sync.Mutex
	known   bool      // shipped is what the sink said
	shipped uint64    // entries that the sink has
	oldest  time.Time // of the first entry that it has not; zero if it has all
	at      time.Time // when the sink last had all
	alarmed bool
	err     error
}

// callLimit bounds one call, so that a sink that hangs is known to be late in time.
const callLimit = 15 * time.Second

// NewShipper returns a shipper that has sent nothing yet.
func NewShipper(cfg ShipperConfig) *Shipper { return &Shipper{cfg: cfg, started: cfg.Now()} }

// Run ships until ctx ends.
func (s *Shipper) Run(ctx context.Context) {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	defer s.cfg.Client.Close()
	for {
		err := s.ship(ctx)
		if ctx.Err() != nil {
			return
		}
		s.note(ctx, err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ship sends all that the sink has not.
func (s *Shipper) ship(ctx context.Context) error {
	for {
		s.mu.Lock()
		known, shipped := s.known, s.shipped
		s.mu.Unlock()
		if !known {
			var err error
			if shipped, err = s.ask(ctx); err != nil {
				return err
			}
		}
		if shipped >= s.cfg.Book.Size() {
			return nil
		}
		if err := s.send(ctx, shipped); err != nil {
			return err
		}
	}
}

// ask finds out what the sink has, and that it is the beginning of this ledger.
func (s *Shipper) ask(ctx context.Context) (uint64, error) {
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	text, err := s.cfg.Client.Head(call)
	if err != nil {
		return 0, err
	}
	var h ledger.Head
	if text != "" {
		if h, err = ledger.OpenCheckpoint(text, s.cfg.Book.PublicKey()); err != nil {
			return 0, err
		}
		differs := &ledger.WitnessError{LogSize: s.cfg.Book.Size(), WitnessSize: h.Size, Remote: s.cfg.Client.Name()}
		if h.Size > differs.LogSize {
			differs.Cause = ledger.WitnessRegress
		} else if root, err := s.cfg.Book.RootAt(h.Size); err != nil {
			return 0, err
		} else if !bytes.Equal(root, h.Root) {
			differs.Cause = ledger.WitnessMismatch
		}
		if differs.Cause != "" {
			s.cfg.Book.Distrust(differs)
			return 0, differs
		}
	}
	s.has(h.Size)
	return h.Size, nil
}

// send sends one batch.
func (s *Shipper) send(ctx context.Context, from uint64) error {
	var leaves [][]byte
	bytes := 0
	full := errors.New("full")
	err := s.cfg.Book.Leaves(ctx, from, from+maxBatchEntries, func(_ uint64, leaf []byte) error {
		if bytes += 2 + len(leaf); bytes > maxBatchBytes && len(leaves) > 0 {
			return full
		}
		leaves = append(leaves, leaf)
		return nil
	})
	if err != nil && !errors.Is(err, full) {
		return err
	}
	to := from + uint64(len(leaves))
	checkpoint, err := s.cfg.Book.CheckpointAt(to)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if err := s.cfg.Client.Append(call, from, leaves, checkpoint); err != nil {
		s.mu.Lock()
		s.known = false // whatever happened, the next attempt begins with asking
		s.mu.Unlock()
		return err
	}
	s.has(to)
	return nil
}

func (s *Shipper) has(size uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.shipped = true, size
}

// note keeps how far the sink is behind, and tells once when that becomes too far.
func (s *Shipper) note(ctx context.Context, shipErr error) {
	s.mu.Lock()
	known, shipped := s.known || s.shipped > 0, s.shipped
	s.mu.Unlock()
	now := s.cfg.Now()
	oldest := time.Time{}
	switch {
	case shipErr == nil && known && shipped >= s.cfg.Book.Size():
	case !known: // since when it is behind is not known, unless from the beginning
		oldest = s.started
	default:
		entries, err := s.cfg.Book.Read(ctx, shipped, 1)
		switch {
		case err != nil:
			oldest, shipErr = s.started, errors.Join(shipErr, err)
		case len(entries) == 1:
			oldest = entries[0].Header.At
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest, s.err = oldest, shipErr
	if oldest.IsZero() {
		s.at = now
	}
	late := s.lag(now) > s.cfg.AlarmAfter
	switch {
	case late && !s.alarmed:
		why := ""
		if shipErr != nil {
			why = shipErr.Error()
		}
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger not shipped", slog.String("to", s.cfg.Client.Name()), slog.Duration("for", s.lag(now)), slog.String("error", why))
	case !late && s.alarmed:
		s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "ledger shipped again", slog.String("to", s.cfg.Client.Name()))
	}
	s.alarmed = late
	s.cfg.Metrics.observe(s.lag(now), s.cfg.Book.Size(), s.shipped, late)
}

// lag is how old the oldest entry is that the sink has not.
func (s *Shipper) lag(now time.Time) time.Duration {
	if s.oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.oldest))
}

// Refuses says why no new legal act may begin: the sink has been behind for longer
// than the configured limit. nil if it has not. The error is ledger.ErrUnavailable.
func (s *Shipper) Refuses() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lag := s.lag(s.cfg.Now())
	if lag <= s.cfg.RefuseAfter {
		return nil
	}
	return fmt.Errorf("%w: %s has not had its entries for %v, and %v is the limit; bring it back, it catches up by itself",
		ledger.ErrUnavailable, s.cfg.Client.Name(), lag.Round(time.Second), s.cfg.RefuseAfter)
}

// Status is what is known of the second sink.
type Status struct {
	Name     string
	Size     uint64    // entries that it has
	Complete time.Time // when it last had all; zero if never since the start
	Lag      time.Duration
	Alarm    bool
	Error    string // of the last attempt
}

// Status gives it.
func (s *Shipper) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{Name: s.cfg.Client.Name(), Size: s.shipped, Complete: s.at, Lag: s.lag(s.cfg.Now()), Alarm: s.alarmed}
	if s.err != nil {
		out.Error = s.err.Error()
	}
	return out
}
