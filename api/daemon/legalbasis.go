package daemon

import (
	"fmt"
	"path/filepath"

	"griffier/api/ledger"
	"griffier/api/warrant"
)

// initLegalBasis writes the bundled legal-basis profile, signed by a new key, whose
// public part goes into trust/.
func initLegalBasis(dir string, o InitOptions) error {
	in := func(name string) string { return filepath.Join(dir, name) }
	text, err := warrant.ProfileText(o.Profile)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	key, err := ledger.GenerateKey(in("secret/legal-basis-signing.key"), o.Origin+"/legal-basis")
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if err := writeNew(in("trust/legal-basis.pub"), []byte(key.Public+"\n")); err != nil {
		return err
	}
	signed, err := warrant.SignProfile(text, key.Signer)
	if err != nil {
		return fmt.Errorf("init: legal-basis profile: %w", err)
	}
	return writeNew(in("legal-basis.yaml"), signed)
}
