package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
	"griffier/api/ledger/sink"
	"griffier/api/ledger/witness"
)

func (a *app) witness() *cobra.Command {
	return noun("witness", "Watch a ledger from another machine, and sign what it shows", a.witnessInit(), a.witnessServe(), a.witnessShow(), a.witnessForget())
}

// witnessKeyFile is the witness's key, in its folder.
const witnessKeyFile = "witness.key"

func (a *app) witnessInit() *cobra.Command {
	c := &cobra.Command{Use: "init", Short: "Make a witness's folder and key", Args: noArgs,
		Long: `Make a witness's folder and its signing key, and print the public key, which goes into
griffierd's ledger.witnesses. Do this on the data protection officer's machine or
another party's, never on griffierd's: who has both keys can make two histories.`,
		Example: "  griffier witness init --dir /var/lib/griffier-witness --name dpo.isp.example/witness"}
	dir := c.Flags().String("dir", "", "folder to make (required)")
	name := c.Flags().String("name", "", "the witness's name, such as dpo.isp.example/witness (required)")
	c.RunE = func(*cobra.Command, []string) error {
		if err := os.MkdirAll(*dir, 0o700); err != nil {
			return err
		}
		path := filepath.Join(*dir, witnessKeyFile)
		if _, err := ledger.GenerateKey(path, *name); err != nil {
			return err
		}
		key, err := loadCosigner(*dir)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, key.Public)
		return err
	}
	return c
}

// loadCosigner reads the witness's key. LoadKey has the checks of the file.
func loadCosigner(dir string) (*ledger.CosignerKey, error) {
	path := filepath.Join(dir, witnessKeyFile)
	if _, err := ledger.LoadKey(path); err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ledger.NewCosignerKey(strings.TrimSpace(string(secret)))
}

// served are the flags of a small server.
type served struct {
	listen *string
	files  *peer.Files
}

func serveFlags(c *cobra.Command, address string) served {
	s := served{listen: c.Flags().String("listen", address, "address to serve on"), files: &peer.Files{}}
	c.Flags().StringVar(&s.files.CertFile, "cert", "", "this server's certificate; without it, --listen is on loopback")
	c.Flags().StringVar(&s.files.KeyFile, "key", "", "key of that certificate")
	c.Flags().StringVar(&s.files.CAFile, "client-ca", "", "CA of the certificates that clients must show")
	return s
}

// serve answers until the command is interrupted, and says where on stderr.
func (a *app) serve(ctx context.Context, s served, what string, h http.Handler) error {
	if err := s.files.Validate(); err != nil {
		return usageError{err}
	}
	l, err := peer.Listen(*s.listen, *s.files)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s on %s\n", what, l.Addr().(*net.TCPAddr))
	return peer.Serve(ctx, l, h)
}

func (a *app) witnessServe() *cobra.Command {
	c := &cobra.Command{Use: "serve", Short: "Sign checkpoints that extend what was signed before", Args: noArgs,
		Long: `Serve C2SP tlog-witness for the given logs, until interrupted. A checkpoint is signed
only with a proof that it extends the newest one signed before; a ledger that went back,
or that has another history, is refused, whoever signed it.`,
		Example: "  griffier witness serve --dir /var/lib/griffier-witness --log-key ledger.pub --listen :7480 --cert w.pem --key w.key --client-ca ca.pem"}
	dir := c.Flags().String("dir", "", "folder that griffier witness init made (required)")
	logs := c.Flags().StringArray("log-key", nil, "file with the public key of a ledger; may be repeated (required)")
	s := serveFlags(c, "127.0.0.1:7480")
	c.RunE = func(c *cobra.Command, _ []string) error {
		key, err := loadCosigner(*dir)
		if err != nil {
			return err
		}
		keys, err := readAll(*logs)
		if err != nil {
			return err
		}
		w, err := witness.Open(witness.Config{Dir: *dir, Key: key, Logs: keys, Now: time.Now})
		if err != nil {
			return err
		}
		err = a.serve(c.Context(), s, "witness "+key.Name, w.Handler())
		return errors.Join(err, w.Close())
	}
	return c
}

// readAll reads small text files.
func readAll(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError{err}
		}
		out = append(out, strings.TrimSpace(string(text)))
	}
	return out, nil
}

func (a *app) witnessShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Print what a witness remembers", Args: noArgs,
		Long: `Print the newest checkpoint that the witness in a folder has signed of each ledger, and
keep it: it is what a ledger must agree with later.`}
	dir := c.Flags().String("dir", "", "folder of the witness (required)")
	logs := c.Flags().StringArray("log-key", nil, "file with the public key of a ledger; may be repeated (required)")
	c.RunE = func(*cobra.Command, []string) error {
		key, err := loadCosigner(*dir)
		if err != nil {
			return err
		}
		keys, err := readAll(*logs)
		if err != nil {
			return err
		}
		w, err := witness.Open(witness.Config{Dir: *dir, Key: key, Logs: keys, Now: time.Now, ReadOnly: true})
		if err != nil {
			return err
		}
		t := table{header: []string{"log", "entries", "signed at", "root"}}
		for _, m := range w.Memory() {
			t.add(m.Origin, strconv.FormatUint(m.Size, 10), m.SignedAt.Format(time.RFC3339), m.Root)
		}
		return a.printLocal(w.Memory(), t)
	}
	return c
}

// printLocal prints what was found out here, not by griffierd.
func (a *app) printLocal(v any, t table) error {
	if a.format == "json" {
		return json.NewEncoder(a.stdout).Encode(v)
	}
	return a.print(nil, t)
}

func (a *app) witnessForget() *cobra.Command {
	c := &cobra.Command{Use: "forget", Short: "Set aside what a witness remembers of a ledger, after entries were lost for good", Args: noArgs,
		Long: `Set aside what the stopped witness in a folder remembers of one ledger, so that it signs
whatever the ledger shows next. This gives up what a witness is for: do it only after
the ledger's loss was investigated, nothing was left to recover it from, and you have
kept the file that is set aside.`}
	dir := c.Flags().String("dir", "", "folder of the witness (required)")
	log := c.Flags().String("log-key", "", "file with the public key of the ledger (required)")
	yes := c.Flags().Bool("yes", false, "you have read the above (required)")
	c.RunE = func(*cobra.Command, []string) error {
		if !*yes {
			return usageError{fmt.Errorf("witness forget: say --yes")}
		}
		keys, err := readAll([]string{*log})
		if err != nil {
			return err
		}
		v, err := ledger.Verifier(keys[0])
		if err != nil {
			return usageError{err}
		}
		aside, err := witness.Forget(*dir, v.Name(), time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "set aside as %s; keep it\n", aside)
		return nil
	}
	return c
}

func (a *app) ledgerSink() *cobra.Command {
	return noun("ledger-sink", "Keep a second copy of a ledger on another host", a.sinkServe(), a.sinkShow(), a.sinkForget())
}

func (a *app) sinkServe() *cobra.Command {
	c := &cobra.Command{Use: "serve", Short: "Take a ledger's entries, append-only", Args: noArgs,
		Long: `Serve a copy of one ledger, until interrupted. griffierd sends whole entries, bodies
sealed as they are; a batch is on disk when it is answered, and is taken only if it
extends what there is and the ledger's key signed the root over all of it.`,
		Example: "  griffier ledger-sink serve --dir /var/lib/griffier-sink --log-key ledger.pub --listen :7481 --cert s.pem --key s.key --client-ca ca.pem"}
	dir := c.Flags().String("dir", "", "folder of the copy; made if there is none (required)")
	log := c.Flags().String("log-key", "", "file with the public key of the ledger (required)")
	s := serveFlags(c, "127.0.0.1:7481")
	c.RunE = func(c *cobra.Command, _ []string) error {
		store, err := openSink(*dir, *log)
		if err != nil {
			return err
		}
		headless, err := store.Headless()
		if err != nil {
			return errors.Join(err, store.Close())
		}
		for _, path := range headless {
			fmt.Fprintf(a.stderr, "warning: %s has entries that were found without a head; look into why, and keep it\n", path)
		}
		err = a.serve(c.Context(), s, "ledger sink", sink.Handler(store))
		return errors.Join(err, store.Close())
	}
	return c
}

func openSink(dir, keyFile string) (*sink.Store, error) {
	keys, err := readAll([]string{keyFile})
	if err != nil {
		return nil, err
	}
	return sink.Open(dir, keys[0])
}

// copied is the stable JSON form of a copy's state.
type copied struct {
	Entries    uint64 `json:"entries"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"`
}

func (a *app) sinkShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Check a copy, and print its size and root", Args: noArgs,
		Long: `Read every entry of the copy in a folder, check them against the checkpoint that the
ledger's key signed, and print how many there are, and their root. The server of the
copy must be stopped.`}
	dir := c.Flags().String("dir", "", "folder of the copy (required)")
	log := c.Flags().String("log-key", "", "file with the public key of the ledger (required)")
	c.RunE = func(*cobra.Command, []string) error {
		store, err := openSink(*dir, *log)
		if err != nil {
			return err
		}
		defer store.Close()
		out := copied{}
		if out.Entries, out.Checkpoint = store.Head(); out.Checkpoint != "" {
			out.Root = strings.Split(out.Checkpoint, "\n")[2]
		}
		t := table{header: []string{"entries", "root"}}
		t.add(strconv.FormatUint(out.Entries, 10), out.Root)
		return a.printLocal(out, t)
	}
	return c
}

func (a *app) sinkForget() *cobra.Command {
	c := &cobra.Command{Use: "forget", Short: "Set a copy aside, after entries were lost for good", Args: noArgs,
		Long: `Set the copy in a folder aside, so that griffierd sends its ledger from the beginning.
Only for a copy of a history that the ledger has not: first try griffier ledger recover,
which brings the copy's history back.`}
	dir := c.Flags().String("dir", "", "folder of the copy (required)")
	yes := c.Flags().Bool("yes", false, "you have read the above (required)")
	c.RunE = func(*cobra.Command, []string) error {
		if !*yes {
			return usageError{fmt.Errorf("ledger-sink forget: say --yes")}
		}
		aside, err := sink.Forget(*dir, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "set aside as %s; keep it\n", aside)
		return nil
	}
	return c
}
