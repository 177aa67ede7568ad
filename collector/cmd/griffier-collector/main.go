// Command griffier-collector counts what access lines move and records who held
// which address when. See -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"griffier/collector/config"
	"griffier/collector/daemon"
)

// standardConfig is where the Debian package has the configuration.
const standardConfig = "/etc/griffier/collector.yaml"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

type flags struct {
	config    string
	check     bool
	doctor    bool
	json      bool
	version   bool
	unpin     bool
	requeue   bool
	verify    bool
	replay    string
	output    string
	endsAt    string
	iface     string
	collector string
	enrol     enrolFlags
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var f flags
	set := flag.NewFlagSet("griffier-collector", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.config, "config", "", "configuration `FILE` (YAML)")
	set.BoolVar(&f.check, "check", false, "check the configuration, print it with its defaults, and end")
	set.BoolVar(&f.doctor, "doctor", false, "look for what keeps the collector from collecting, and end; without -config it looks at "+standardConfig)
	set.BoolVar(&f.json, "json", false, "with -doctor or -verify-retention: print JSON")
	set.BoolVar(&f.version, "version", false, "print the version and end")
	set.BoolVar(&f.unpin, "unpin", false, "with the collector stopped: read the kernel's counters a last time, remove what is pinned there, and end; before a change of max_slots")
	set.BoolVar(&f.requeue, "requeue", false, "with the collector stopped: put the rows that the store refused back into the spool, once the cause is cured, say how many, and end")
	set.BoolVar(&f.verify, "verify-retention", false, "look at every row in the spool and in quarantine, say what is kept longer than it may be, and end with 1 if anything is; may run beside the collector")
	set.StringVar(&f.replay, "replay", "", "read a capture `FILE` (pcap, pcapng) instead of the network")
	set.StringVar(&f.output, "o", "", "with -replay: `json` prints records, one object a line, each slice once in its last version; default is to store them")
	set.StringVar(&f.endsAt, "ends-at", "", "with -replay: shift all times so that the last packet is at this RFC 3339 `TIME`")
	set.StringVar(&f.iface, "interface", "", "with -replay: `NAME` of the access interface, as identifiers have it; of a capture with several interfaces, take this one")
	set.StringVar(&f.collector, "collector-id", "", "with -replay: `ID` in the records; default from the configuration, or replay")
	set.StringVar(&f.enrol.server, "enrol", "", "get this collector's certificate from griffierd at `HOST:PORT`, and end; with -token-file, and -ca or -ca-sha256")
	set.StringVar(&f.enrol.tokenFile, "token-file", "", "with -enrol: `FILE` with the token of griffier collector token; - is standard input")
	set.StringVar(&f.enrol.caFile, "ca", "", "with -enrol: `FILE` (PEM) with the CA of griffierd")
	set.StringVar(&f.enrol.caSHA256, "ca-sha256", "", "with -enrol: the `FINGERPRINT` that came with the token")
	set.Usage = func() {
		fmt.Fprintln(stderr, "usage: griffier-collector -config FILE [-check | -unpin | -requeue | -verify-retention [-json]]\n"+
			"       griffier-collector -enrol HOST:PORT -token-file FILE {-ca FILE | -ca-sha256 FINGERPRINT} -config FILE\n"+
			"       griffier-collector -doctor [-json] [-config FILE]\n"+
			"       griffier-collector -version\n"+
			"       griffier-collector -replay CAPTURE [-o json] [-config FILE] [-ends-at TIME] [-interface NAME] [-collector-id ID]")
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	usage := func(what string) int {
		fmt.Fprintln(stderr, "griffier-collector:", what)
		return exitUsage
	}
	switch {
	case set.NArg() > 0:
		return usage("unexpected argument " + set.Arg(0))
	case f.replay == "" && (f.output != "" || f.endsAt != "" || f.iface != "" || f.collector != ""):
		return usage("-o, -ends-at, -interface and -collector-id go with -replay")
	case f.json && !f.doctor && !f.verify:
		return usage("-json goes with -doctor or -verify-retention")
	case f.doctor && (f.check || f.replay != ""):
		return usage("-doctor: not with -check or -replay")
	case f.output != "" && f.output != "json":
		return usage("-o: want json")
	case f.replay == "" && f.config == "" && !f.doctor && !f.version:
		return usage("want -config FILE, or -replay CAPTURE")
	case f.unpin && (f.config == "" || f.check || f.doctor || f.version || f.replay != ""):
		return usage("-unpin: want -config FILE and nothing else")
	case f.requeue && (f.config == "" || f.check || f.doctor || f.version || f.unpin || f.replay != "" || f.enrol.server != ""):
		return usage("-requeue: want -config FILE and nothing else")
	case f.verify && (f.config == "" || f.check || f.doctor || f.version || f.unpin || f.requeue || f.replay != "" || f.enrol.server != ""):
		return usage("-verify-retention: want -config FILE, and nothing else but -json")
	case f.enrol.server == "" && f.enrol != (enrolFlags{}):
		return usage("-token-file, -ca and -ca-sha256 go with -enrol")
	case f.enrol.server != "" && (f.config == "" || f.check || f.doctor || f.version || f.unpin || f.replay != ""):
		return usage("-enrol: want -config FILE, and nothing else to do")
	case f.enrol.server != "" && (f.enrol.tokenFile == "" || (f.enrol.caFile == "") == (f.enrol.caSHA256 == "")):
		return usage("-enrol: want -token-file, and either -ca or -ca-sha256")
	case f.check && f.config == "":
		return usage("-check: want -config FILE")
	}
	var endsAt time.Time
	if f.endsAt != "" {
		var err error
		if endsAt, err = time.Parse(time.RFC3339Nano, f.endsAt); err != nil {
			return usage("-ends-at: want a time such as 2026-03-02T14:00:00Z")
		}
	}
	if f.doctor && f.config == "" {
		f.config = standardConfig
	}
	var c *config.Config
	if f.config != "" && !f.doctor && !f.version {
		read := config.Read
		if f.output == "json" && !f.check { // the records are printed
			read = config.ReadUnstored
		}
		taken, err := read(f.config)
		if err != nil {
			fmt.Fprintln(stderr, "griffier-collector:", err)
			return exitUsage
		}
		c = &taken
	}
	var err error
	switch {
	case f.version:
		err = version(stdout)
	case f.doctor:
		err = examine(ctx, f.config, f.json, stdout)
	case f.check:
		err = c.Print(stdout)
	case f.enrol.server != "":
		err = enrolment(ctx, f.enrol, *c, stdin, stdout)
	case f.requeue:
		err = requeue(ctx, *c, stdout)
	case f.verify:
		err = verifyRetention(ctx, *c, f.json, stdout)
	case f.unpin:
		err = daemon.Unpin(ctx, *c, daemon.Options{Log: slog.New(slog.NewJSONHandler(stderr, nil))})
	case f.replay != "":
		err = replayCapture(ctx, f, c, endsAt, stdout, stderr)
	default:
		err = collect(ctx, f.config, *c, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "griffier-collector:", err)
		return exitFailed
	}
	return exitOK
}
