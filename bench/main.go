// Command bench measures Griffier against a floor or a peer in the same run.
//
//	go run ./bench -run datapath,insert,store,ledger -o json
//
// prints one JSON object a line. Machines are shared and noisy: read the ratio
// first. Figures of record, with command and machine, are in bench/result.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is one figure and what it is held against.
type result struct {
	Name          string  `json:"name"`
	Value         float64 `json:"value"`
	Unit          string  `json:"unit"`
	Baseline      string  `json:"baseline"`
	BaselineValue float64 `json:"baseline_value"`
	Ratio         float64 `json:"ratio"` // value / baseline_value
}

var benches = map[string]func(emit func(result)) error{
	"decode":     benchDecode,
	"datapath":   benchDatapath,
	"outage":     benchOutage,
	"replay":     benchReplay,
	"insert":     benchInsert,
	"size":       benchSize,
	"store":      benchStore,
	"soak":       benchSoak,
	"accounting": benchAccounting,
	"conntrack":  benchConntrack,
	"ledger":     benchLedger,
	"task":       benchTask,
}

func main() {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(playRole(role))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	names := slices.Sorted(maps.Keys(benches))
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	which := flags.String("run", strings.Join(names, ","), "benches to run, of "+strings.Join(names, ", "))
	format := flags.String("o", "table", "output: table or json (one object a line)")
	flags.Float64Var(&storeScale, "scale", storeScale, "how many assignment rows, and then usage rows, the bench store grows to, and the bench task asks of")
	flags.DurationVar(&soakLength, "for", soakLength, "how long the bench soak goes on")
	flags.DurationVar(&outageLength, "outage", outageLength, "how long the store is away in the bench outage")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	emit := func(r result) {
		if *format == "json" {
			json.NewEncoder(stdout).Encode(r)
			return
		}
		fmt.Fprintf(table, "%s\t%.4g %s\t%s\t%.4g\tratio %.2f\n", r.Name, r.Value, r.Unit, r.Baseline, r.BaselineValue, r.Ratio)
	}
	for _, name := range strings.Split(*which, ",") {
		bench, ok := benches[name]
		if !ok {
			fmt.Fprintf(stderr, "bench: no %q; there are %s\n", name, strings.Join(names, ", "))
			return 2
		}
		fmt.Fprintf(stderr, "bench: %s…\n", name)
		if err := bench(emit); err != nil {
			fmt.Fprintf(stderr, "bench: %s: %v\n", name, err)
			return 1
		}
	}
	table.Flush()
	return 0
}
