package disclosure_test

import (
	"testing"

	"filippo.io/age"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
)

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte(`{"format":"griffier-receipt/1","task_id":"t","package_sha256":"","result":{"index":1,"leaf":"","hashes":[],"checkpoint":""},"timestamping":"token","timestamp":"AA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := disclosure.ParseReceipt(text)
		if err == nil && r.Format != disclosure.ReceiptFormat {
			t.Errorf("accepted format %q", r.Format)
		}
	})
}

func FuzzParseTrust(f *testing.F) {
	f.Add([]byte("package_key: 0a\nledger_origin: x\nledger_key: x+00000000+AAAA\n"))
	f.Add([]byte(`{"package_key":"","ledger_key":[1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		trust, err := disclosure.ParseTrust(text)
		if err == nil && len(trust.PackageKey) != 32 {
			t.Errorf("accepted a key of %d bytes", len(trust.PackageKey))
		}
	})
}

// FuzzVerify seals whatever it is given and verifies it: no tar, however
// broken, panics or passes.
func FuzzVerify(f *testing.F) {
	signer, err := disclosure.NewSigner(seed(1))
	if err != nil {
		f.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("manifest.json"), []byte("{}"))
	f.Fuzz(func(t *testing.T, plain, receipt []byte) {
		to, err := seal.Parse(identity.Recipient().String(), noon)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := to.Seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		r := disclosure.Verify(sealed, receipt, disclosure.Trust{PackageKey: signer.Public()}, seal.AgeIdentity(identity))
		if r.Verified() {
			t.Error("garbage is verified")
		}
	})
}
