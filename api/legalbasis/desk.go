package legalbasis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/ledger"
	"griffier/api/signedfile"
	"griffier/api/warrant"
)

// book is the part of the ledger that the desk needs ([ledger.Log]).
type book interface {
	Decide(ctx context.Context, requestID string, fn func(now time.Time) (ledger.Draft, error)) (ledger.Entry, error)
}

// Desk takes the profile file from disk. It is safe for concurrent use.
type Desk struct {
	path    string
	trusted signedfile.Trusted
	keeper  *Keeper
	book    book
	log     *slog.Logger
}

// NewDesk returns the desk of the file at path, whose keeper is a fold of book.
func NewDesk(path string, trusted signedfile.Trusted, k *Keeper, b book, reg prometheus.Registerer, log *slog.Logger) *Desk {
	d := &Desk{path: path, trusted: trusted, keeper: k, book: b, log: log}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("griffier_legal_basis_generation", "Generation of the legal-basis profile in force.", func() float64 { return float64(k.Generation()) })
	gauge("griffier_legal_basis_file_differs", "1 while the profile file on disk is refused or is not the profile in force.", func() float64 {
		if d.Problem() != "" {
			return 1
		}
		return 0
	})
	return d
}

// ReadFile reads, verifies and validates the profile file at path. Its error is a
// [*signedfile.FileError] unless the file could not be read at all.
func ReadFile(path string, trusted signedfile.Trusted) (*warrant.Profile, []byte, error) {
	signed, err := signedfile.Read("legal-basis profile", path)
	if err != nil {
		return nil, nil, err
	}
	p, err := warrant.OpenProfile(path, signed, trusted)
	return p, signed, err
}

// Load reads the file. If the ledger has no profile yet it puts this one in force;
// a file that is refused is then an error, for without one nothing could be
// decided. Otherwise the profile in force stays whatever the file says, and the
// log, a metric and [Desk.Problem] tell what is the matter with the file; only one
// that is refused is an error.
func (d *Desk) Load(ctx context.Context) error {
	p, signed, err := ReadFile(d.path, d.trusted)
	if _, ok := d.keeper.InForce(); !ok {
		if err != nil {
			return err
		}
		if err := d.adopt(ctx, p, signed); err != nil {
			return err
		}
	}
	if problem := d.problem(p, err); problem != "" {
		d.log.LogAttrs(ctx, slog.LevelError, "legal-basis file is not the profile in force, which stays",
			slog.Uint64("generation_in_force", d.keeper.Generation()), slog.String("error", problem))
	}
	return err
}

// problem tells why what was read of the file is not the profile in force, or "".
func (d *Desk) problem(p *warrant.Profile, err error) string {
	switch inForce := d.keeper.Profile(); {
	case err != nil:
		return err.Error()
	case p.SHA256 != inForce.SHA256:
		return fmt.Sprintf("it has generation %d and is not what is in force, generation %d; a change is proposed (griffier legal-basis propose)", p.Generation, inForce.Generation)
	}
	return ""
}

// Problem tells why the file that is on disk now is not the profile in force; ""
// when it is.
func (d *Desk) Problem() string {
	p, _, err := ReadFile(d.path, d.trusted)
	return d.problem(p, err)
}

func (d *Desk) adopt(ctx context.Context, p *warrant.Profile, signed []byte) error {
	_, err := d.book.Decide(ctx, ledger.RequestID("", "legal_basis.adopt", p.SHA256), func(time.Time) (ledger.Draft, error) {
		draft, refusal := d.keeper.Adopt(p, signed)
		if refusal != nil {
			return ledger.Draft{}, refusal
		}
		return draft, nil
	})
	if err != nil {
		return fmt.Errorf("legal-basis profile: adopt: %w", err)
	}
	return nil
}

// Start is [Desk.Load] for the start: a file that is refused is an error only if no
// profile is in force.
func (d *Desk) Start(ctx context.Context) error {
	err := d.Load(ctx)
	if _, ok := d.keeper.InForce(); ok && refused(err) {
		return nil
	}
	return err
}

// refused tells a file that is not taken from a ledger that failed.
func refused(err error) bool {
	var form *signedfile.FileError
	return errors.As(err, &form) || signedfile.NoFile(err)
}
