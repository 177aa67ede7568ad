package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
	"griffier/api/reason"
)

// verifiedPackage is the stable JSON form of a verification.
type verifiedPackage struct {
	Verified bool `json:"verified"` // nothing failed, and what was not checked is only what needs the authority's key
	Opened   bool `json:"opened"`   // the package was opened and everything was checked
	disclosure.Report
}

func (a *app) verify() *cobra.Command {
	c := &cobra.Command{Use: "verify PACKAGE", Short: "Check a disclosure package, offline", Args: oneArg("PACKAGE"),
		Long: `Check a sealed package and the receipt beside it against what you trust, offline. The
trust file holds the provider's package key and its ledger's name and key; it came to
you with the provider's registration, never with the package. It may name witnesses of
the ledger (witness_keys) and roots of time stamps (timestamp_roots); then those are
asked for. With the key that the package is sealed to, its inside is checked too: an age
identity file, or a PEM file with a private key (RSA, P-256, P-384) and its certificate.`,
		Example: `  griffier verify 3f….tar.age -trust trust.yaml -identity key.txt
  griffier verify 3f….tar.p7m -trust trust.yaml -identity certificate-and-key.pem`}
	trustFile := c.Flags().String("trust", "", "file with the keys that you trust, without which nothing can be checked (required)")
	identityFile := c.Flags().String("identity", "", "age identity file, or PEM private key and certificate, that opens the package")
	receiptFile := c.Flags().String("receipt", "", "the receipt (default: beside the package)")
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := os.ReadFile(*trustFile)
		if err != nil {
			return usageError{err}
		}
		trust, err := disclosure.ParseTrust(text)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", *trustFile, err)}
		}
		sealed, err := readLimited(args[0], disclosure.MaxPackageBytes)
		if err != nil {
			return usageError{err}
		}
		receipt, err := readReceipt(args[0], *receiptFile)
		if err != nil {
			return usageError{err}
		}
		identity, err := readIdentity(*identityFile)
		if err != nil {
			return usageError{err}
		}
		return a.showPackage(disclosure.Verify(sealed, receipt, trust, identity), !identity.Empty())
	}
	return c
}

func (a *app) showPackage(r disclosure.Report, opened bool) error {
	out := verifiedPackage{Verified: r.Verified() || (!opened && !r.Failed()), Opened: r.Verified(), Report: r}
	if a.format == "json" {
		if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
			return err
		}
	} else {
		t := table{header: []string{"check", "verdict", "what it means"}}
		for _, check := range r.Checks {
			t.add(check.Name, string(check.Verdict), check.Text)
		}
		if err := a.print(nil, t); err != nil {
			return err
		}
		switch {
		case out.Opened:
			answer := r.Manifest.Answer
			fmt.Fprintf(a.stdout, "VERIFIED: %s\n%s\n", answer.Reason, printable(answer.Meaning))
			for _, why := range answer.Incomplete {
				fmt.Fprintf(a.stdout, "INCOMPLETE: records may be missing: %s\n", printable(string(why)))
			}
			if answer.Neighbours != "" {
				fmt.Fprintf(a.stdout, "NEAR: %s other lines had the address within minutes of the interval: compare the instant with further observations\n", printable(answer.Neighbours))
			}
		case out.Verified:
			fmt.Fprintln(a.stdout, "VERIFIED from outside: the ledger holds exactly this package. Give -identity to check what is in it.")
		}
	}
	if !out.Verified {
		return failure{errors.New("the package does NOT verify: do not rely on it"), int(reason.ExitFailed)}
	}
	return nil
}

// readReceipt reads the named receipt, or the one beside the package:
// NAME.receipt.json for NAME.tar.age or NAME.tar.p7m, else receipt.json.
func readReceipt(pkg, named string) ([]byte, error) {
	const limit = 1 << 20
	if named != "" {
		return readLimited(named, limit)
	}
	for _, form := range []seal.Form{seal.Age, seal.CMS} {
		if stem, ok := strings.CutSuffix(pkg, form.Suffix()); ok {
			if text, err := readLimited(stem+receiptSuffix, limit); err == nil {
				return text, nil
			}
		}
	}
	return readLimited(filepath.Join(filepath.Dir(pkg), "receipt.json"), limit)
}

func readIdentity(path string) (seal.Identity, error) {
	if path == "" {
		return seal.Identity{}, nil
	}
	text, err := readLimited(path, 64<<10)
	if err != nil {
		return seal.Identity{}, err
	}
	identity, err := seal.ParseIdentity(text)
	if err != nil {
		return seal.Identity{}, fmt.Errorf("%s: %w", path, err)
	}
	return identity, nil
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: longer than %d bytes", path, limit)
	}
	return text, nil
}
