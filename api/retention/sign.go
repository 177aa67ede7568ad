package retention

import (
	"golang.org/x/mod/sumdb/note"

	"griffier/api/signedfile"
)

// Sign returns a policy file signed by signer: see [signedfile.Sign].
func Sign(file []byte, signer note.Signer) ([]byte, error) {
	return signedfile.Sign(file, signer, func(text []byte) error { _, err := Parse(text); return err })
}
