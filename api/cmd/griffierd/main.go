// Command griffierd serves Griffier's API. It owns the embedded store and the
// ledger.
//
//	griffierd -init DIR -issuer URL -origin NAME make a folder to start from
//	griffierd -config DIR/griffierd.yaml        serve
//	griffierd -config FILE -check               print the effective configuration
//	griffierd -version                          print the version
//	griffierd -fetch-engine                     download the embedded engine
//	griffierd -config FILE -store-setup         make schema and roles on a ClickHouse server
//	griffierd -config FILE -restore BACKUP      bring a backup back into an empty store
//	griffierd -config FILE -restore-keys FILE   bring a copy of the keys back into an empty keystore
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"griffier/api/backup"
	"griffier/api/build"
	"griffier/api/daemon"
	"griffier/api/legalbasis"
	"griffier/api/retention"
	"griffier/api/signedfile"
	"griffier/schema/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("griffierd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	config := flags.String("config", "", "configuration file")
	check := flags.Bool("check", false, "print the effective configuration, defaults included, and stop")
	version := flags.Bool("version", false, "print the version, and stop")
	acceptLoss := flags.Bool("accept-witness-loss", false, "start although the ledger and its witness file disagree, and enter that in the ledger: for an operator who knows what was lost")
	acceptClock := flags.Bool("accept-clock", false, "start although the clock is a week or more from the ledger's newest entry and no time service keeps it, and enter that in the ledger: what has expired by it goes for good")
	fetch := flags.Bool("fetch-engine", false, "download the embedded engine with npm, check it, print where it is, and stop")
	initDir := flags.String("init", "", "make keys, certificates, a policy and a configuration in this folder, and stop")
	issuer := flags.String("issuer", "", "with -init: URL of the identity provider")
	issuerCA := flags.String("issuer-ca", "", "with -init: PEM of the identity provider's CA, when it is a private one")
	origin := flags.String("origin", "", "with -init: name of the ledger, such as isp.example/griffier")
	profile := flags.String("profile", "nl", "with -init: the provider's nation, nl or be: its retention policy and legal bases; those of the Union come with it")
	listen := flags.String("listen", "127.0.0.1:7443", "with -init: where gRPC is served")
	hosts := flags.String("hosts", "localhost,127.0.0.1", "with -init: names and addresses of the server's certificate")
	restore := flags.String("restore", "", "bring the backup in this folder back into the empty store of the configuration, and stop")
	restoreKeys := flags.String("restore-keys", "", "bring this copy of the keys back into the empty keystore of the configuration, and stop")
	var setup storeSetup
	setup.flags(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "griffierd: unknown argument %q\n", flags.Arg(0))
		return 2
	}
	fail := func(err error) int {
		fmt.Fprintf(stderr, "griffierd: %v\n", err)
		return 1
	}
	switch {
	case *version:
		fmt.Fprintln(stdout, "griffierd", build.Version())
		return 0
	case *initDir != "":
		if *issuer == "" || *origin == "" {
			fmt.Fprintln(stderr, "griffierd: -init needs -issuer and -origin")
			return 2
		}
		path, err := daemon.Init(*initDir, daemon.InitOptions{
			Profile: *profile, Origin: *origin, Issuer: *issuer, IssuerCAFile: *issuerCA,
			Listen: *listen, Hosts: strings.Split(*hosts, ","),
		})
		if err != nil {
			return fail(err)
		}
		fmt.Fprintf(stderr, "made %s; start with: griffierd -config %s\n", path, path)
		return 0
	case *fetch:
		path, err := engine.Fetch(ctx, stderr)
		if err != nil {
			return fail(err)
		}
		fmt.Fprintln(stdout, path)
		return 0
	case *config == "":
		fmt.Fprintln(stderr, "griffierd: -config FILE is needed; -init DIR makes one")
		return 2
	}
	cfg, err := daemon.ReadConfig(*config)
	if err != nil {
		fmt.Fprintf(stderr, "griffierd: %v\n", err)
		return 2
	}
	if *check {
		trusted, err := signedfile.ReadTrusted(cfg.RetentionKeysFile)
		if err == nil {
			_, err = retention.ReadFile(cfg.RetentionFile, trusted)
		}
		if err == nil {
			trusted, err = signedfile.ReadTrusted(cfg.Legal.BasisKeysFile)
		}
		if err == nil {
			_, err = legalbasis.ReadFiles(cfg.Legal.BasisFiles, trusted)
		}
		if err != nil {
			fmt.Fprintf(stderr, "griffierd: %v\n", err)
			return 2
		}
		text, err := cfg.YAML()
		if err != nil {
			return fail(err)
		}
		stdout.Write(text)
		return 0
	}
	if setup.wanted {
		if err := setup.run(ctx, cfg.Store, stdout); err != nil {
			return fail(err)
		}
		return 0
	}
	if err := cfg.Owned(); err != nil {
		return fail(err)
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	if *restoreKeys != "" {
		if err := backup.RestoreKeys(*restoreKeys, cfg.Keys.Dir); err != nil {
			return fail(err)
		}
		return 0
	}
	if *restore != "" {
		if err := daemon.Restore(ctx, cfg, *restore, log, stderr); err != nil {
			return fail(err)
		}
		return 0
	}
	tell, manager, err := serviceManager(ctx, log)
	if err != nil {
		return fail(err)
	}
	err = daemon.Run(ctx, cfg, log, daemon.Start{AcceptWitnessLoss: *acceptLoss, AcceptClock: *acceptClock, Manager: manager, Ready: func(addr net.Addr) {
		log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("address", addr.String()))
		tell(sd.SdNotifyReady)
	}})
	if err != nil {
		return fail(err)
	}
	return 0
}
