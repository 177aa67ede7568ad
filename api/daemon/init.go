package daemon

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/pki"
	"griffier/api/retention"
	"griffier/api/statistics"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/schema"
)

// InitOptions are what [Init] cannot make up.
type InitOptions struct {
	Profile string // nl or be; the Union's legal bases come with it
	Origin  string // of the ledger: a schema-less URL such as isp.example/griffier
	Issuer  string // of the identity provider
	// IssuerCAFile is copied when set; else the issuer's CA is the system's.
	IssuerCAFile string
	Listen       string
	Hosts        []string      // names and addresses in the server's certificate
	LedgerLimit  time.Duration // zero: the default
	Laboratory   bool          // a clock that nothing keeps will do
}

// Init makes a folder that griffierd can start from: keys, a private CA with a
// server, a provisioner and an operator certificate, the retention policy of a nation,
// the legal bases of it and of the Union, and griffierd.yaml, and in trust/ what is handed out to those who verify: the
// ledger's public key, and a trust file for packages. It never replaces a file,
// and when it fails in a folder that was empty, it leaves it empty.
func Init(dir string, o InitOptions) (configPath string, err error) {
	if o.Profile == warrant.Union {
		return "", errors.New("init: profile eu is an addition to a nation's and has no retention policy: -profile nl or -profile be writes the legal bases of the nation and, beside them, those of the Union")
	}
	configPath = filepath.Join(dir, "griffierd.yaml")
	if _, err := os.Stat(configPath); err == nil {
		return "", fmt.Errorf("init: %s is there already", configPath)
	}
	if before, _ := os.ReadDir(dir); len(before) == 0 {
		defer func() {
			if err != nil {
				removeContent(dir)
			}
		}()
	}
	for _, sub := range []string{"", "secret", "tls", "ledger-witness", "trust"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return "", fmt.Errorf("init: %w", err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"actor", "pseudonym", "blind-index", "support-code", "reference"} {
		if err := writeHex(in("secret/"+name+".key"), schema.KeyLength); err != nil {
			return "", err
		}
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	if err := writeNew(in("secret/package-signing.key"), []byte(hex.EncodeToString(seed)+"\n")); err != nil {
		return "", err
	}
	if err := keystore.GenerateMasterKey(in("secret/master.key")); err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	key, err := ledger.GenerateKey(in("secret/ledger.key"), o.Origin)
	if err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	if err := writeNew(in("trust/ledger.pub"), []byte(key.Public+"\n")); err != nil {
		return "", err
	}
	trust := disclosure.Trust{
		PackageKey:   ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey),
		LedgerOrigin: o.Origin, LedgerKey: key.Public,
	}
	if err := writeNew(in("trust/trust.yaml"), disclosure.FormatTrust(trust)); err != nil {
		return "", err
	}
	if err := pki.Init(in("tls"), o.Hosts); err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	policy, err := retention.Profile(o.Profile)
	if err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	policyKey, err := ledger.GenerateKey(in("secret/retention-signing.key"), o.Origin+"/retention")
	if err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	if err := writeNew(in("trust/retention.pub"), []byte(policyKey.Public+"\n")); err != nil {
		return "", err
	}
	if policy, err = retention.Sign(policy, policyKey.Signer); err != nil {
		return "", fmt.Errorf("init: retention policy: %w", err)
	}
	if err := writeNew(in("retention.yaml"), policy); err != nil {
		return "", err
	}
	bases, err := initLegalBasis(dir, o)
	if err != nil {
		return "", err
	}
	issuerCA := ""
	if o.IssuerCAFile != "" {
		pem, err := os.ReadFile(o.IssuerCAFile)
		if err != nil {
			return "", fmt.Errorf("init: %w", err)
		}
		if err := writeNew(in("tls/issuer-ca.pem"), pem); err != nil {
			return "", err
		}
		issuerCA = "tls/issuer-ca.pem"
	}
	c := Config{
		Listen: o.Listen,
		TLS:    TLSConfig{"tls/server.pem", "tls/server.key", "tls/ca.pem"},
		OIDC:   OIDCConfig{o.Issuer, "griffier", issuerCA},
		Keys: KeysConfig{
			Dir: "keystore", MasterFile: "secret/master.key", ActorFile: "secret/actor.key",
			PseudonymFile: "secret/pseudonym.key", BlindIndexFile: "secret/blind-index.key",
			SupportCodeFile: "secret/support-code.key", ReferenceFile: "secret/reference.key",
			PackageSigningFile: "secret/package-signing.key",
		},
		Store:             StoreConfig{DataDir: "store", Socket: "store.sock"},
		Ledger:            initialLedger(cmp.Or(o.LedgerLimit, defaultLedgerLimit)),
		Clock:             ClockConfig{RequireSync: !o.Laboratory},
		Legal:             LegalConfig{BasisFiles: bases, BasisKeysFile: "trust/legal-basis.pub", PackagesDir: "packages", HoldsDir: "holds", DocumentsDir: "documents", DocumentScanLimit: document.DefaultScanLimit, ClockMargin: defaultClockMargin},
		Statistics:        StatisticsConfig{MinLines: statistics.MinLines, Delay: statistics.DefaultDelay},
		Backup:            BackupConfig{Every: defaultBackup},
		Oversight:         defaultOversight,
		Enrolment:         EnrolmentConfig{"tls/ca.pem", "tls/ca.key", pki.MaxCollectorLife},
		RetentionFile:     "retention.yaml",
		RetentionKeysFile: "trust/retention.pub",
		ShutdownGrace:     defaultGrace,
	}
	c.Legal.LateArrivalGrace, c.Legal.NeighbourMargin, c.Legal.AccountingInterval = execute.DefaultGrace, disclosure.DefaultNeighbourMargin, disclosure.DefaultAccountingInterval
	if o.Laboratory { // where instants are seconds ago
		c.Legal.LateArrivalGrace = 0
	}
	text, err := c.YAML()
	if err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	return configPath, writeNew(configPath, text)
}

// removeContent empties a folder that Init filled.
func removeContent(dir string) {
	made, _ := os.ReadDir(dir)
	for _, entry := range made {
		os.RemoveAll(filepath.Join(dir, entry.Name()))
	}
}

func writeHex(path string, length int) error {
	key := make([]byte, length)
	rand.Read(key)
	return writeNew(path, []byte(hex.EncodeToString(key)+"\n"))
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return fmt.Errorf("init: %w", err)
	}
	return f.Close()
}
