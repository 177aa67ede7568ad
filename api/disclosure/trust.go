package disclosure

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"griffier/api/ledger"
	"griffier/api/strictyaml"
)

// Trust is what a verifier trusts, from their own file: it came to them with
// the provider's registration, not with the package.
type Trust struct {
	PackageKey   ed25519.PublicKey
	LedgerOrigin string
	LedgerKey    string // signed-note verifier key
	// WitnessKeys are of those who must have seen the same ledger; at least
	// WitnessesRequired of them must have signed. None: nobody is asked for.
	WitnessKeys       []string
	WitnessesRequired int
	// TimestampRoots are PEM certificates that a time stamp must lead to. Empty: time
	// stamps cannot be checked.
	TimestampRoots string
}

// roots returns the pool of TimestampRoots.
func (t Trust) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(t.TimestampRoots))
	return pool
}

// trustFile is the file's form, in YAML or JSON.
type trustFile struct {
	PackageKey   string `yaml:"package_key"` // Ed25519, base64 or hexadecimal
	LedgerOrigin string `yaml:"ledger_origin"`
	LedgerKey    string `yaml:"ledger_key"` // NAME+HASH+BASE64

	WitnessKeys       []string `yaml:"witness_keys,omitempty"`       // NAME+HASH+BASE64 each
	WitnessesRequired int      `yaml:"witnesses_required,omitempty"` // of those; default 1
	TimestampRoots    string   `yaml:"timestamp_roots,omitempty"`    // PEM
}

const maxTrustBytes = 64 << 10

// ParseTrust reads a trust file, strictly: an unknown key is an error with its
// line and column.
func ParseTrust(text []byte) (Trust, error) {
	if len(text) > maxTrustBytes {
		return Trust{}, fmt.Errorf("trust file: longer than %d bytes", maxTrustBytes)
	}
	var f trustFile
	if err := strictyaml.Unmarshal("", text, &f); err != nil {
		return Trust{}, fmt.Errorf("trust file: %w", err)
	}
	key, err := hex.DecodeString(f.PackageKey)
	if err != nil {
		key, err = base64.StdEncoding.DecodeString(f.PackageKey)
	}
	if err != nil || len(key) != ed25519.PublicKeySize {
		return Trust{}, fmt.Errorf("trust file: package_key is not an Ed25519 public key of %d bytes in base64 or hexadecimal", ed25519.PublicKeySize)
	}
	verifier, err := ledger.Verifier(f.LedgerKey)
	if err != nil {
		return Trust{}, fmt.Errorf("trust file: ledger_key: %w", err)
	}
	if f.LedgerOrigin != verifier.Name() {
		return Trust{}, fmt.Errorf("trust file: ledger_origin is not the name in ledger_key")
	}
	if err := ledger.CheckCosigners(f.WitnessKeys); err != nil {
		return Trust{}, fmt.Errorf("trust file: witness_keys: %w", err)
	}
	if f.WitnessesRequired < 0 || f.WitnessesRequired > len(f.WitnessKeys) {
		return Trust{}, fmt.Errorf("trust file: witnesses_required is more than there are witness_keys")
	}
	if f.TimestampRoots != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(f.TimestampRoots)) {
		return Trust{}, fmt.Errorf("trust file: timestamp_roots has no PEM certificate")
	}
	return Trust{PackageKey: key, LedgerOrigin: f.LedgerOrigin, LedgerKey: strings.TrimSpace(f.LedgerKey),
		WitnessKeys: f.WitnessKeys, WitnessesRequired: f.WitnessesRequired, TimestampRoots: f.TimestampRoots}, nil
}

// FormatTrust returns the trust file that a provider hands out.
func FormatTrust(t Trust) []byte {
	out := fmt.Appendf(nil, "package_key: %s\nledger_origin: %s\nledger_key: %s\n",
		base64.StdEncoding.EncodeToString(t.PackageKey), t.LedgerOrigin, t.LedgerKey)
	if len(t.WitnessKeys) > 0 {
		out = fmt.Appendf(out, "witness_keys:\n  - %s\nwitnesses_required: %d\n", strings.Join(t.WitnessKeys, "\n  - "), max(t.WitnessesRequired, 1))
	}
	if t.TimestampRoots != "" {
		out = fmt.Appendf(out, "timestamp_roots: |\n  %s\n", strings.ReplaceAll(strings.TrimSpace(t.TimestampRoots), "\n", "\n  "))
	}
	return out
}
