// Package daemon is griffierd: it reads the configuration, starts the store,
// the ledger and the services in the order in which they need each other, and
// stops them in the reverse order.
package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/pki"
	"griffier/api/statistics"
	"griffier/api/strictyaml"
	"griffier/api/warrant/document"
	"griffier/schema"
)

// Config is griffierd's configuration file. Relative paths are relative to the
// file's own folder. Secrets are only ever named by file.
type Config struct {
	// Listen is where gRPC is served. Default 127.0.0.1:7443.
	Listen string `yaml:"listen"`
	// MetricsListen is where Prometheus metrics are served; loopback only.
	// Empty: not at all.
	MetricsListen string `yaml:"metrics_listen"`
	// ShutdownGrace is how long calls under way may take after a stop. Default 20s.
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`

	TLS           TLSConfig       `yaml:"tls"`
	OIDC          OIDCConfig      `yaml:"oidc"`
	Keys          KeysConfig      `yaml:"keys"`
	Store         StoreConfig     `yaml:"store"`
	Ledger        LedgerConfig    `yaml:"ledger"`
	Legal         LegalConfig     `yaml:"legal"`
	Clock         ClockConfig     `yaml:"clock"`
	Enrolment     EnrolmentConfig `yaml:"enrolment"`
	RetentionFile string          `yaml:"retention_policy_file"`
	// RetentionKeysFile holds public keys, one a line; one must have signed that file.
	RetentionKeysFile string `yaml:"retention_policy_keys_file"`

	Statistics StatisticsConfig `yaml:"statistics"`
	Backup     BackupConfig     `yaml:"backup"`
	Oversight  OversightConfig  `yaml:"oversight"`
}

// TLSConfig names the listener's certificate and the CA of machines.
type TLSConfig struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"`
}

// OIDCConfig names the identity provider of people.
type OIDCConfig struct {
	Issuer   string `yaml:"issuer"`
	Audience string `yaml:"audience"`
	CAFile   string `yaml:"ca_file"`
}

// KeysConfig names the key files: 32 bytes as 64 hexadecimal digits each,
// unless said otherwise.
type KeysConfig struct {
	Dir                string `yaml:"dir"`                  // of the keystore: case, class and person keys
	MasterFile         string `yaml:"master_file"`          // wraps them
	ActorFile          string `yaml:"actor_file"`           // pseudonyms of staff in the ledger
	PseudonymFile      string `yaml:"pseudonym_file"`       // access_ref; shared with the collectors
	BlindIndexFile     string `yaml:"blind_index_file"`     // exact look-up of persons under a warrant
	SupportCodeFile    string `yaml:"support_code_file"`    // support codes in the ledger
	ReferenceFile      string `yaml:"reference_file"`       // duplicate detection of warrants
	PackageSigningFile string `yaml:"package_signing_file"` // Ed25519 seed
}

// StoreConfig says where the traffic store is: the embedded engine, or a server.
type StoreConfig struct {
	DataDir string `yaml:"data_dir"` // of the embedded engine
	Socket  string `yaml:"socket"`   // that it serves, mode 0600; under 108 bytes
	DSN     string `yaml:"dsn_file"` // file with a clickhouse-go DSN, instead of the two

	// On a server with roles (griffierd -store-setup) dsn_file is the operator's,
	// and these the executor's and the portal's. Default: dsn_file for all.
	ExecutorDSN string `yaml:"executor_dsn_file"`
	PortalDSN   string `yaml:"portal_dsn_file"`
	// Cluster of the server, as its remote_servers name it, or a macro such as
	// "{cluster}". Empty: one server.
	Cluster string `yaml:"cluster"`
	// TLS to the server: who signed its certificate (default: whom the host
	// trusts), and our own, if it knows users by that.
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// LedgerConfig says where the ledger is.
type LedgerConfig struct {
	Dir         string `yaml:"dir"`
	WitnessFile string `yaml:"witness_file"` // on another disk than dir
	KeyFile     string `yaml:"key_file"`     // signs checkpoints
	// Limit is after which an entry that is not yet durable makes its call answer
	// UNKNOWN_OUTCOME. Default 2s.
	Limit time.Duration `yaml:"limit"`

	// Who has the ledger elsewhere: see LEDGER.md.
	Peers     PeersConfig     `yaml:"peers"`
	Witnesses []WitnessConfig `yaml:"witnesses"`
	Sink      SinkConfig      `yaml:"sink"`
	// Quorum is how many witnesses a package's release waits for, and how many of the
	// witnesses and the sink must answer when the ledger opens. Default 1.
	Quorum int `yaml:"quorum"`
	// ReleaseWait is how long a release waits for them. Default 5s.
	ReleaseWait time.Duration `yaml:"release_wait"`
	// ReleaseNeedsWitness refuses a release (LEDGER_UNAVAILABLE) that the quorum did
	// not sign in time. Default false; with a quorum above 1 it must be true.
	ReleaseNeedsWitness bool `yaml:"release_needs_witness"`
	// VerifyEvery is how often the whole ledger is checked from its files. Default 1h.
	VerifyEvery time.Duration `yaml:"verify_every"`
}

// StatisticsConfig is about the anonymised volumes that outlive the traffic data.
type StatisticsConfig struct {
	// MinLines is how many subscribers' lines a number is about at least. Default and least 10.
	MinLines uint64 `yaml:"min_lines"`
	// Delay is how long after its end (UTC) a day is published. Default 48h.
	Delay time.Duration `yaml:"delay"`
	// Segments are parts of the network. A collector in none is one by itself.
	Segments []statistics.Segment `yaml:"segments"`
}

// BackupConfig says where backups go. Without it none are made.
type BackupConfig struct {
	// Dir is for backups of the embedded store, the ledger, packages and holds. Put it
	// on another disk.
	Dir string `yaml:"dir"`
	// KeysDir is for copies of the keystore: never the same disk as dir, nor the same
	// hands.
	KeysDir string `yaml:"keys_dir"`
	// Every is how often one is made. Default 24h; 0s for only when asked.
	Every time.Duration `yaml:"every"`
}

func (b BackupConfig) validate() error {
	if b.Dir != "" && b.KeysDir == "" {
		return errors.New("backup.keys_dir is required with backup.dir: without its key no backup can be read")
	}
	if b.Dir != "" && (inside(b.Dir, b.KeysDir) || inside(b.KeysDir, b.Dir)) {
		return errors.New("backup.dir and backup.keys_dir must not be one inside the other: who has both can read everything")
	}
	if b.Every != 0 && (b.Every < time.Hour || b.Every > 7*24*time.Hour) {
		return errors.New("backup.every must be 0s, or between 1h and 168h")
	}
	return nil
}

// inside reports whether a folder is another or in it.
func inside(dir, of string) bool {
	below, err := filepath.Rel(of, dir)
	return err == nil && below != ".." && !strings.HasPrefix(below, ".."+string(filepath.Separator))
}

// ClockConfig is about this host's clock, by which warrants and instants are judged.
type ClockConfig struct {
	// RequireSync refuses disclosures (CLOCK_UNTRUSTED) while nothing keeps the
	// clock, and takes what a collector saw while nothing kept its clock for not seen
	// (COVERAGE_GAP). Default true; off is for laboratories.
	RequireSync bool `yaml:"require_sync"`
}

// LegalConfig is about warrants and packages.
type LegalConfig struct {
	// BasisFiles are the legal-basis profiles, of a nation and of the Union (eu), each
	// signed by a key of BasisKeysFile: one file, or a list. The first ones that
	// griffierd reads are in force; a change or an addition takes two people.
	BasisFiles    Files  `yaml:"basis_file"`
	BasisKeysFile string `yaml:"basis_keys_file"`
	PackagesDir   string `yaml:"packages_dir"` // sealed packages
	// Packages is about what leaves.
	Packages PackagesConfig `yaml:"packages"`
	HoldsDir string         `yaml:"holds_dir"` // what is preserved, sealed. Default: holds, beside packages_dir
	// DocumentsDir is for orders as they were received, sealed. Default: documents, beside
	// packages_dir.
	DocumentsDir string `yaml:"documents_dir"`
	// DocumentScanner is a program and its arguments that reads an order on its standard
	// input and exits with 0 if it found nothing, 1 if it did. Without one, documents are
	// recorded as not scanned.
	DocumentScanner []string `yaml:"document_scanner"`
	// DocumentScanLimit is how long it may take; without a verdict nothing is kept. Default 1m.
	DocumentScanLimit time.Duration `yaml:"document_scan_limit"`
	ClockMargin       time.Duration `yaml:"clock_margin"` // of our own records, added to the authority's uncertainty. Default 2s
	// LateArrivalGrace is how long after the last moment that a task is about it is not
	// run yet, since records may still arrive. Default 15m; 0s is for laboratories.
	LateArrivalGrace time.Duration `yaml:"late_arrival_grace"`
	// AccountingInterval is the longest interval of RADIUS interim updates: for as long
	// after a session fell silent nobody is said not to have had its address. Default 15m;
	// 0s: where every end is told.
	AccountingInterval time.Duration `yaml:"accounting_interval"`
	// NeighbourMargin is how far outside of a task's uncertainty interval another holder
	// of the address is warned of. Default 5m; 0s: never.
	NeighbourMargin time.Duration `yaml:"neighbour_margin"`
}

// EnrolmentConfig names the CA that issues the certificates of collectors, which
// is one of tls.client_ca_file. Without it collectors cannot be enrolled.
type EnrolmentConfig struct {
	CACertFile string `yaml:"ca_cert_file"`
	CAKeyFile  string `yaml:"ca_key_file"` // mode 0600
	// CertificateLife is how long they are good for; they are renewed when two
	// thirds of it are over. Default and maximum 2160h, which is 90 days.
	CertificateLife time.Duration `yaml:"certificate_life"`
}

// Defaults that Init writes too.
const (
	defaultGrace       = 20 * time.Second
	defaultClockMargin = 2 * time.Second
	defaultLedgerLimit = 2 * time.Second
	defaultBackup      = 24 * time.Hour
)

// minCertificateLife is short enough to watch a renewal.
const minCertificateLife = 10 * time.Second

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// ReadConfig reads a configuration file, fills in defaults and validates it. An
// unknown key is an error that names the file, line and column.
func ReadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	if len(text) > maxConfig {
		return Config{}, fmt.Errorf("config %s: longer than %d bytes", path, maxConfig)
	}
	c := Config{
		Listen: "127.0.0.1:7443", ShutdownGrace: defaultGrace, Ledger: defaultLedger(),
		Legal: LegalConfig{ClockMargin: defaultClockMargin, DocumentScanLimit: document.DefaultScanLimit,
			LateArrivalGrace: execute.DefaultGrace, NeighbourMargin: disclosure.DefaultNeighbourMargin,
			AccountingInterval: disclosure.DefaultAccountingInterval}, Clock: ClockConfig{RequireSync: true},
		Statistics: StatisticsConfig{MinLines: statistics.MinLines, Delay: statistics.DefaultDelay},
		Enrolment:  EnrolmentConfig{CertificateLife: pki.MaxCollectorLife},
		Backup:     BackupConfig{Every: defaultBackup},
		Oversight:  defaultOversight,
	}
	if err := strictyaml.Unmarshal(path, text, &c); err != nil {
		return Config{}, err
	}
	c.resolve(filepath.Dir(path))
	if err := c.validate(); err != nil {
		return Config{}, fmt.Errorf("config %s: %w", path, err)
	}
	return c, nil
}

func (c *Config) files() []*string {
	return append([]*string{
		&c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.ClientCAFile, &c.OIDC.CAFile,
		&c.Keys.Dir, &c.Keys.MasterFile, &c.Keys.ActorFile, &c.Keys.PseudonymFile, &c.Keys.BlindIndexFile,
		&c.Keys.SupportCodeFile, &c.Keys.ReferenceFile, &c.Keys.PackageSigningFile,
		&c.Store.DataDir, &c.Store.Socket, &c.Store.DSN, &c.Store.ExecutorDSN, &c.Store.PortalDSN,
		&c.Store.CAFile, &c.Store.CertFile, &c.Store.KeyFile,
		&c.Ledger.Dir, &c.Ledger.WitnessFile, &c.Ledger.KeyFile,
		&c.Legal.PackagesDir, &c.Legal.Packages.Timestamp.RootsFile, &c.Legal.HoldsDir, &c.Legal.DocumentsDir, &c.Legal.BasisKeysFile, &c.RetentionFile, &c.RetentionKeysFile,
		&c.Enrolment.CACertFile, &c.Enrolment.CAKeyFile, &c.Backup.Dir, &c.Backup.KeysDir,
	}, append(c.Legal.BasisFiles.each(), c.Ledger.files()...)...)
}

func (c *Config) resolve(dir string) {
	for _, f := range c.files() {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	if c.Legal.HoldsDir == "" && c.Legal.PackagesDir != "" {
		c.Legal.HoldsDir = filepath.Join(filepath.Dir(c.Legal.PackagesDir), "holds")
	}
	if c.Legal.DocumentsDir == "" && c.Legal.PackagesDir != "" {
		c.Legal.DocumentsDir = filepath.Join(filepath.Dir(c.Legal.PackagesDir), "documents")
	}
}

func (c *Config) validate() error {
	var errs []error
	need := func(key, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is required", key))
		}
	}
	need("keys.dir", c.Keys.Dir)
	need("keys.master_file", c.Keys.MasterFile)
	need("keys.actor_file", c.Keys.ActorFile)
	need("keys.pseudonym_file", c.Keys.PseudonymFile)
	need("keys.blind_index_file", c.Keys.BlindIndexFile)
	need("keys.support_code_file", c.Keys.SupportCodeFile)
	need("keys.reference_file", c.Keys.ReferenceFile)
	need("keys.package_signing_file", c.Keys.PackageSigningFile)
	need("oidc.issuer", c.OIDC.Issuer)
	need("oidc.audience", c.OIDC.Audience)
	need("ledger.dir", c.Ledger.Dir)
	need("ledger.witness_file", c.Ledger.WitnessFile)
	need("ledger.key_file", c.Ledger.KeyFile)
	need("legal.packages_dir", c.Legal.PackagesDir)
	need("legal.basis_file", strings.Join(c.Legal.BasisFiles, ""))
	need("legal.basis_keys_file", c.Legal.BasisKeysFile)
	need("retention_policy_file", c.RetentionFile)
	need("retention_policy_keys_file", c.RetentionKeysFile)
	embedded, partly := c.Store.DataDir != "" && c.Store.Socket != "", c.Store.DataDir != "" || c.Store.Socket != ""
	if server := c.Store.DSN != ""; embedded == server || partly && server {
		errs = append(errs, errors.New("store needs either data_dir and socket, or dsn_file"))
	}
	if c.Store.DSN == "" && c.Store.ExecutorDSN+c.Store.PortalDSN+c.Store.Cluster+c.Store.CAFile+c.Store.CertFile+c.Store.KeyFile != "" {
		errs = append(errs, errors.New("store.executor_dsn_file, portal_dsn_file, cluster, ca_file, cert_file and key_file are about a server, which dsn_file names"))
	}
	if err := schema.Cluster(c.Store.Cluster).Validate(); err != nil {
		errs = append(errs, fmt.Errorf("store.%w", err))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		errs = append(errs, errors.New("tls.cert_file and tls.key_file go together"))
	}
	if (c.Enrolment.CACertFile == "") != (c.Enrolment.CAKeyFile == "") {
		errs = append(errs, errors.New("enrolment.ca_cert_file and enrolment.ca_key_file go together"))
	} else if c.Enrolment.CACertFile != "" && (c.TLS.CertFile == "" || c.TLS.ClientCAFile == "") {
		errs = append(errs, errors.New("enrolment needs tls.cert_file, tls.key_file and tls.client_ca_file"))
	}
	if c.Enrolment.CertificateLife < minCertificateLife || c.Enrolment.CertificateLife > pki.MaxCollectorLife {
		errs = append(errs, errors.New("enrolment.certificate_life must be between 10s and 2160h"))
	}
	host, err := hostOf(c.Listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("listen %q: want HOST:PORT", c.Listen))
	} else if (c.TLS.CertFile == "" || c.TLS.KeyFile == "") && !net.ParseIP(host).IsLoopback() {
		errs = append(errs, errors.New("tls.cert_file and tls.key_file are required when listen is not on loopback"))
	}
	if c.MetricsListen != "" {
		host, err := hostOf(c.MetricsListen)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			errs = append(errs, fmt.Errorf("metrics_listen %q: want a loopback address and port", c.MetricsListen))
		}
	}
	if c.ShutdownGrace < 0 || c.ShutdownGrace > 10*time.Minute {
		errs = append(errs, errors.New("shutdown_grace must be between 0s and 10m"))
	}
	if err := c.Legal.validateScanner(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Legal.Packages.validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Oversight.validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Backup.validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Ledger.validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Ledger.Limit < 100*time.Millisecond || c.Ledger.Limit > time.Minute {
		errs = append(errs, errors.New("ledger.limit must be between 100ms and 1m"))
	}
	if c.Statistics.MinLines < statistics.MinLines {
		errs = append(errs, fmt.Errorf("statistics.min_lines must be at least %d", statistics.MinLines))
	}
	if c.Statistics.Delay < 0 || c.Statistics.Delay > 7*24*time.Hour {
		errs = append(errs, errors.New("statistics.delay must be between 0s and 168h"))
	}
	if _, err := statistics.NewSegments(c.Statistics.Segments); err != nil {
		errs = append(errs, err)
	}
	if c.Legal.ClockMargin < 0 || c.Legal.ClockMargin > time.Minute {
		errs = append(errs, errors.New("legal.clock_margin must be between 0s and 1m"))
	}
	if c.Legal.LateArrivalGrace < 0 || c.Legal.LateArrivalGrace > 24*time.Hour {
		errs = append(errs, errors.New("legal.late_arrival_grace must be between 0s and 24h"))
	}
	if c.Legal.AccountingInterval < 0 || c.Legal.AccountingInterval > 24*time.Hour {
		errs = append(errs, errors.New("legal.accounting_interval must be between 0s and 24h"))
	}
	if c.Legal.NeighbourMargin < 0 || c.Legal.NeighbourMargin > time.Hour {
		errs = append(errs, errors.New("legal.neighbour_margin must be between 0s and 1h"))
	}
	return errors.Join(errs...)
}

// hostOf returns the host of HOST:PORT, with a port in numbers.
func hostOf(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return host, err
}

// YAML returns the effective configuration, defaults included.
func (c Config) YAML() ([]byte, error) { return yaml.Marshal(c) }
