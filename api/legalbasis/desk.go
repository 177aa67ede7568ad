package legalbasis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// Desk takes the profile files from disk. It is safe for concurrent use.
type Desk struct {
	paths   []string
	trusted signedfile.Trusted
	keeper  *Keeper
	book    book
	log     *slog.Logger
}

// NewDesk returns the desk of the files at paths, whose keeper is a fold of book.
func NewDesk(paths []string, trusted signedfile.Trusted, k *Keeper, b book, reg prometheus.Registerer, log *slog.Logger) *Desk {
	d := &Desk{paths: paths, trusted: trusted, keeper: k, book: b, log: log}
	reg.MustRegister(generations{k}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "griffier_legal_basis_file_differs",
		Help: "1 while a profile file on disk is refused, or the files are not the profiles in force."}, func() float64 {
		if len(d.Problems()) > 0 {
			return 1
		}
		return 0
	}))
	return d
}

// generations tells those in force, a series a profile.
type generations struct{ keeper *Keeper }

var generation = prometheus.NewDesc("griffier_legal_basis_generation", "Generation of a legal-basis profile in force.", []string{"profile"}, nil)

// Describe implements [prometheus.Collector].
func (g generations) Describe(to chan<- *prometheus.Desc) { to <- generation }

// Collect implements [prometheus.Collector].
func (g generations) Collect(to chan<- prometheus.Metric) {
	for _, p := range g.keeper.Law() {
		to <- prometheus.MustNewConstMetric(generation, prometheus.GaugeValue, float64(p.Generation), p.Name)
	}
}

// File is a profile file that was taken.
type File struct {
	*warrant.Profile
	Path   string
	Signed []byte // as it was read
}

// ReadFiles reads, verifies and validates profile files that are to be in force
// together, and returns the nation's first. Its error is a [*signedfile.FileError],
// or several that are joined, unless a file could not be read at all.
func ReadFiles(paths []string, trusted signedfile.Trusted) ([]File, error) {
	var files []File
	var errs []error
	for _, path := range paths {
		f, err := readFile(path, trusted)
		files, errs = append(files, f), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(files, func(a, b File) int { return rank(a.Profile) - rank(b.Profile) })
	var profiles []*warrant.Profile
	for _, f := range files {
		profiles = append(profiles, f.Profile)
		// What is wrong with those before it was told.
		if problems := together(profiles); len(problems) > 0 {
			return nil, signedfile.Refuse(f.Path, problems...)
		}
	}
	return files, nil
}

// rank puts the profile of a nation before that of the Union.
func rank(p *warrant.Profile) int {
	if p.Name == warrant.Union {
		return 1
	}
	return 0
}

func readFile(path string, trusted signedfile.Trusted) (File, error) {
	signed, err := signedfile.Read("legal-basis profile", path)
	if err != nil {
		return File{}, err
	}
	p, err := warrant.OpenProfile(path, signed, trusted)
	return File{p, path, signed}, err
}

// Load reads the files. If the ledger has no profile yet it puts these in force;
// a file that is refused is then an error, for without one nothing could be
// decided. Otherwise the profiles in force stay whatever the files say, and the
// log, a metric and [Desk.Problems] tell what is the matter with the files; only
// one that is refused is an error.
func (d *Desk) Load(ctx context.Context) error {
	if len(d.keeper.Law()) == 0 {
		files, err := ReadFiles(d.paths, d.trusted)
		if err != nil {
			return err
		}
		return d.adopt(ctx, files)
	}
	problems, err := d.compare()
	for _, problem := range problems {
		d.log.LogAttrs(ctx, slog.LevelError, "a legal-basis file is not the profile in force, which stays", slog.String("error", problem))
	}
	return err
}

// Problems tells why the files that are on disk now are not the profiles in
// force; none when they are.
func (d *Desk) Problems() []string {
	problems, _ := d.compare()
	return problems
}

// compare reads the files and tells how they differ from what is in force, and
// which of them are refused.
func (d *Desk) compare() (problems []string, refused error) {
	found := map[string]bool{}
	for _, path := range d.paths {
		f, err := readFile(path, d.trusted)
		if err != nil {
			refused = errors.Join(refused, err)
			problems = append(problems, err.Error())
			continue
		}
		found[f.Name] = true
		switch inForce := d.keeper.Law().Profile(f.Name); {
		case inForce == nil:
			problems = append(problems, fmt.Sprintf("%s: profile %s is not in force; an addition is proposed (griffier legal-basis propose)", path, f.Name))
		case f.SHA256 != inForce.SHA256:
			problems = append(problems, fmt.Sprintf("%s: profile %s has generation %d there and is not what is in force, generation %d; a change is proposed (griffier legal-basis propose)",
				path, f.Name, f.Generation, inForce.Generation))
		}
	}
	if refused == nil {
		for _, p := range d.keeper.Law() {
			if !found[p.Name] {
				problems = append(problems, fmt.Sprintf("profile %s is in force, and no file of legal.basis_file is of it", p.Name))
			}
		}
	}
	return problems, refused
}

func (d *Desk) adopt(ctx context.Context, files []File) error {
	var hashes []string
	for _, f := range files {
		hashes = append(hashes, f.SHA256)
	}
	_, err := d.book.Decide(ctx, ledger.RequestID("", KindAdopt, strings.Join(hashes, ",")), func(time.Time) (ledger.Draft, error) {
		draft, refusal := d.keeper.Adopt(files)
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
	if len(d.keeper.Law()) > 0 && refused(err) {
		return nil
	}
	return err
}

// refused tells a file that is not taken from a ledger that failed.
func refused(err error) bool {
	var form *signedfile.FileError
	return errors.As(err, &form) || signedfile.NoFile(err)
}
