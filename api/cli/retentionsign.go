package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/ledger"
	"griffier/api/retention"
	"griffier/api/signedfile"
)

// checkedPolicy is the stable JSON form of a checked policy file.
type checkedPolicy struct {
	Generation   uint64 `json:"generation"`
	Jurisdiction string `json:"jurisdiction"`
	Classes      int    `json:"classes"`
	SHA256       string `json:"sha256"`
	SignedBy     string `json:"signed_by"` // empty if no public key was given
}

func (a *app) retentionCheck() *cobra.Command {
	c := &cobra.Command{Use: "check FILE", Short: "Check a policy file, offline", Args: oneArg("FILE"),
		Long: `Check what a policy file says, and who signed it if a public key is given. Nothing is
sent anywhere. Every problem is told with its line and column.`}
	keys := c.Flags().StringArray("public-key", nil, "a key that griffierd trusts, NAME+HASH+BASE64; may be given again")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := a.readPolicy(args[0])
		if err != nil {
			return err
		}
		trusted, err := signedfile.NewTrusted(*keys)
		if err != nil {
			return usageError{err}
		}
		var f retention.File
		if len(*keys) > 0 {
			f, err = retention.Open(args[0], file, trusted)
		} else if f, err = retention.Parse(signedfile.Text(file)); err != nil {
			var wrong *signedfile.FileError
			if errors.As(err, &wrong) {
				wrong.Name = args[0]
			}
		}
		if err != nil {
			return usageError{err}
		}
		if a.format == "json" {
			return json.NewEncoder(a.stdout).Encode(checkedPolicy{f.Generation, f.Jurisdiction, len(f.Rules), f.SHA256, f.SignedBy})
		}
		fmt.Fprintf(a.stdout, "%s: generation %d, jurisdiction %s, %d classes, sha256 %s\n", args[0], f.Generation, f.Jurisdiction, len(f.Rules), f.SHA256)
		if f.SignedBy != "" {
			fmt.Fprintf(a.stdout, "signed by %s\n", f.SignedBy)
		}
		return nil
	}
	return c
}

func (a *app) retentionSign() *cobra.Command {
	c := &cobra.Command{Use: "sign FILE", Short: "Sign a policy file in place, offline", Args: oneArg("FILE"),
		Long: `Check a policy file and put a signature below it. Signatures of others stay; griffierd
takes the file if one of the keys that its configuration names signed it. Keep the key away
from the machine that griffierd runs on: who has it can shorten, and so destroy.`}
	keyFile := c.Flags().String("key", "", "file with the signing key; griffier retention keygen makes one (required)")
	c.RunE = func(c *cobra.Command, args []string) error {
		key, err := ledger.LoadKey(*keyFile)
		if err != nil {
			return usageError{err}
		}
		file, err := a.readPolicy(args[0])
		if err != nil {
			return err
		}
		signed, err := retention.Sign(file, key.Signer)
		if err != nil {
			var wrong *signedfile.FileError
			if errors.As(err, &wrong) {
				wrong.Name = args[0]
			}
			return usageError{err}
		}
		if args[0] == "-" {
			_, err = a.stdout.Write(signed)
			return err
		}
		if err := replaceFile(args[0], signed); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "signed %s as %s\n", args[0], key.Signer.Name())
		return nil
	}
	return c
}

// replaceFile replaces a file's content and keeps its mode: a crash leaves either
// the old content or the new.
func replaceFile(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (a *app) retentionKeygen() *cobra.Command {
	c := &cobra.Command{Use: "keygen", Short: "Make a key that signs policy files, offline", Args: noArgs,
		Long: `Make an Ed25519 key. The secret goes to a new file of mode 0600; the public key, which
goes into the file that retention_policy_keys_file of griffierd's configuration
names, to stdout.`}
	out := c.Flags().String("out", "", "new file for the secret key (required)")
	name := c.Flags().String("name", "", "name of the key, without spaces, such as isp.example/lawyer (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if strings.ContainsAny(*name, " +\t\n") {
			return usageError{fmt.Errorf("--name %q: without spaces and +", *name)}
		}
		key, err := ledger.GenerateKey(*out, *name)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, key.Public)
		return nil
	}
	return c
}
