package daemon

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"griffier/api/authority/authorityrpc"
	"griffier/api/disclosure/execute"
	"griffier/api/disclosure/letter"
	"griffier/api/disclosure/stamp"
	"griffier/api/ledger"
	"griffier/api/warrant"
)

// PackagesConfig is about what leaves: packages and their letters.
type PackagesConfig struct {
	// Provider is the provider's name, as letters and response.xml have it. Default: the
	// ledger's origin.
	Provider string `yaml:"provider"`
	// Language is that of letters: nl or en. Default: nl under a profile of the
	// Netherlands, else en.
	Language string `yaml:"language"`
	// DownloadFor is how long a download stays open, at most and by default 72h;
	// AcknowledgedFor how long a package is kept that the authority acknowledged.
	// Default 720h.
	DownloadFor     time.Duration   `yaml:"download_for"`
	AcknowledgedFor time.Duration   `yaml:"acknowledged_for"`
	Timestamp       TimestampConfig `yaml:"timestamp"`
}

// TimestampConfig names a time-stamping authority (RFC 3161). Without a URL nothing is
// stamped, and receipts say so.
type TimestampConfig struct {
	URL       string `yaml:"url"`
	RootsFile string `yaml:"roots_file"` // PEM, what its certificate must lead to
	// Limit is how long one token may take. Default 10s.
	Limit time.Duration `yaml:"limit"`
	// Optional releases a package whose token did not come, without one. Otherwise
	// nothing is released (TIMESTAMP_UNAVAILABLE).
	Optional bool `yaml:"optional"`
}

func (c PackagesConfig) validate() error {
	var errs []error
	if c.Language != "" && !letter.Known(letter.Language(c.Language)) {
		errs = append(errs, errors.New("legal.packages.language must be nl or en"))
	}
	if c.DownloadFor < 0 || c.DownloadFor > warrant.MaxDownload {
		errs = append(errs, fmt.Errorf("legal.packages.download_for must be between 0s and %v", warrant.MaxDownload))
	}
	if c.AcknowledgedFor < 0 || c.AcknowledgedFor > 366*24*time.Hour {
		errs = append(errs, errors.New("legal.packages.acknowledged_for must be between 0s and 8784h"))
	}
	if t := c.Timestamp; t.URL != "" {
		if u, err := url.Parse(t.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			errs = append(errs, errors.New("legal.packages.timestamp.url must be an http or https address"))
		}
		if t.RootsFile == "" {
			errs = append(errs, errors.New("legal.packages.timestamp.roots_file is required with a url"))
		}
		if t.Limit < 0 || t.Limit > 30*time.Second {
			errs = append(errs, errors.New("legal.packages.timestamp.limit must be between 0s and 30s"))
		}
	}
	return errors.Join(errs...)
}

// packing returns what packages look like and whom they are sealed to.
func (s *services) packing(book *ledger.Log) (execute.Packing, error) {
	c := s.cfg.Legal.Packages
	recipients := authorityrpc.NewRecipients(book, s.known, time.Now)
	p := execute.Packing{Provider: c.Provider, Language: letter.Language(c.Language), StampOptional: c.Timestamp.Optional,
		Recipients: func(ctx context.Context, authority, fingerprint string) (string, error) {
			key, err := recipients.Recipient(ctx, authority, fingerprint)
			if err != nil {
				return "", err
			}
			return key.Text(), nil
		}}
	if p.Provider == "" {
		p.Provider = book.Origin()
	}
	if c.Timestamp.URL == "" {
		return p, nil
	}
	text, err := os.ReadFile(c.Timestamp.RootsFile)
	if err != nil {
		return p, fmt.Errorf("roots of time stamps: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return p, fmt.Errorf("roots of time stamps: %s has no PEM certificate", c.Timestamp.RootsFile)
	}
	p.Stamper = &stamp.Client{URL: c.Timestamp.URL, Roots: roots, Limit: c.Timestamp.Limit, Rand: rand.Reader}
	return p, nil
}
