package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"griffier/api/disclosure"
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
you with the provider's registration, never with the package. With the age key that
the package is sealed to, its inside is checked too.`,
		Example: "  griffier verify 3f….tar.age -trust trust.yaml -identity key.txt"}
	trustFile := c.Flags().String("trust", "", "file with the keys that you trust, without which nothing can be checked (required)")
	identityFile := c.Flags().String("identity", "", "age identity file that opens the package")
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
		identities, err := readIdentities(*identityFile)
		if err != nil {
			return usageError{err}
		}
		return a.showPackage(disclosure.Verify(sealed, receipt, trust, identities...), len(identities) > 0)
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
			fmt.Fprintf(a.stdout, "VERIFIED: %s\n%s\n", r.Manifest.Answer.Reason, r.Manifest.Answer.Meaning)
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
// NAME.receipt.json for NAME.tar.age, else receipt.json.
func readReceipt(pkg, named string) ([]byte, error) {
	const limit = 1 << 20
	if named != "" {
		return readLimited(named, limit)
	}
	if stem, ok := strings.CutSuffix(pkg, packageSuffix); ok {
		if text, err := readLimited(stem+receiptSuffix, limit); err == nil {
			return text, nil
		}
	}
	return readLimited(filepath.Join(filepath.Dir(pkg), "receipt.json"), limit)
}

func readIdentities(path string) ([]age.Identity, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	identities, err := age.ParseIdentities(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("%s: not an age identity file", path)
	}
	return identities, nil
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
