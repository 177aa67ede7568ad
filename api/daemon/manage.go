package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"griffier/api/ledger"
	"griffier/api/server"
)

// Manager is told how griffierd is doing; the service manager's view of it. Any
// of its functions may be nil.
type Manager struct {
	// Reload asks for the listener's certificate, key and client CA, and for the
	// files of the retention policy and the legal bases, to be read again. Anything else in the configuration
	// waits for a restart.
	Reload <-chan struct{}
	// Reloading is called before, and Reloaded after, with an error if the old
	// ones still hold.
	Reloading func()
	Reloaded  func(error)
	// Alive is called every AliveEvery, each time after the ledger answered.
	Alive      func()
	AliveEvery time.Duration
	// Status is called now and then with a line on how it goes.
	Status func(line string)
}

// statusInterval is how often the status line is renewed.
const statusInterval = 5 * time.Second

func (m Manager) status(book *ledger.Log) {
	if m.Status != nil {
		m.Status(statusLine(book.Size(), book.LastAt(), time.Now()))
	}
}

// manage serves the manager until ctx ends.
func manage(ctx context.Context, m Manager, identity *server.Identity, policy policyDesk, book *ledger.Log, log *slog.Logger) {
	call := func(f func()) {
		if f != nil {
			f()
		}
	}
	statuses := time.NewTicker(statusInterval)
	defer statuses.Stop()
	var alive <-chan time.Time // never, without a watchdog
	if m.AliveEvery > 0 {
		t := time.NewTicker(m.AliveEvery)
		defer t.Stop()
		alive = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-statuses.C:
			m.status(book)
		case <-alive:
			book.Size() // waits for the ledger's lock: a ledger that hangs starves the watchdog
			call(m.Alive)
		case <-m.Reload:
			call(m.Reloading)
			err := reload(identity)
			if err != nil {
				log.LogAttrs(ctx, slog.LevelError, "the certificates were not reloaded; the old ones hold", slog.Any("error", err))
			} else {
				log.LogAttrs(ctx, slog.LevelInfo, "certificates reloaded")
			}
			// The desk says itself what is wrong with the file; either may fail alone.
			err = errors.Join(err, policy.Load(ctx))
			if m.Reloaded != nil {
				m.Reloaded(err)
			}
		}
	}
}

// policyDesk takes a policy file ([retention.Desk], [legalbasis.Desk]).
type policyDesk interface {
	Load(ctx context.Context) error
}

// policies are read again together; either may fail alone.
type policies []policyDesk

// Load implements policyDesk.
func (p policies) Load(ctx context.Context) error {
	var errs []error
	for _, desk := range p {
		errs = append(errs, desk.Load(ctx))
	}
	return errors.Join(errs...)
}

func reload(identity *server.Identity) error {
	if identity == nil {
		return nil // no TLS, on loopback
	}
	return identity.Reload()
}

func statusLine(entries uint64, last, now time.Time) string {
	if last.IsZero() {
		return fmt.Sprintf("serving, %d ledger entries", entries)
	}
	return fmt.Sprintf("serving, %d ledger entries, the last %v ago", entries, now.Sub(last).Round(time.Second))
}
