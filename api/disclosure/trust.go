package disclosure

import (
	"crypto/ed25519"
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
}

// trustFile is the file's form, in YAML or JSON.
type trustFile struct {
	PackageKey   string `yaml:"package_key"` // Ed25519, base64 or hexadecimal
	LedgerOrigin string `yaml:"ledger_origin"`
	LedgerKey    string `yaml:"ledger_key"` // NAME+HASH+BASE64
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
	return Trust{key, f.LedgerOrigin, strings.TrimSpace(f.LedgerKey)}, nil
}

// FormatTrust returns the trust file that a provider hands out.
func FormatTrust(t Trust) []byte {
	return fmt.Appendf(nil, "package_key: %s\nledger_origin: %s\nledger_key: %s\n",
		base64.StdEncoding.EncodeToString(t.PackageKey), t.LedgerOrigin, t.LedgerKey)
}
