// Package doctor looks for what keeps a collector from collecting, hop by hop:
// configuration, kernel, interfaces, clock, disk, store, RADIUS, and what the
// running collector says of itself. Every finding has a cause and a cure. It
// changes nothing, apart from a nameless file of some kilobytes in the spool's
// folder and one Status-Server packet to the collector's own port. It names
// interfaces, files and counters, never a subscriber.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"griffier/collector/config"
	"griffier/schema"
)

// Status is what a check came to.
type Status string

// The statuses. Skip is for a check that another one's failure makes pointless.
const (
	Pass Status = "PASS"
	Warn Status = "WARN"
	Fail Status = "FAIL"
	Skip Status = "SKIP"
)

// Finding is the outcome of one check.
type Finding struct {
	Check  string `json:"check"` // name of the check, lower-kebab
	Status Status `json:"status"`
	Found  string `json:"found"`           // what is there
	Cause  string `json:"cause,omitempty"` // why that is a problem
	Cure   string `json:"cure,omitempty"`  // what to do next
}

// Report is the outcome of all checks, in the order in which data flows.
type Report struct {
	Healthy  bool      `json:"healthy"` // no check failed
	Findings []Finding `json:"findings"`
}

// checkTimeout bounds one check, so that a store that hangs hides nothing else.
const checkTimeout = 10 * time.Second

// A check looks at one thing. It starts when those it needs have passed or
// warned; if one has not, it is skipped.
type check struct {
	name  string
	needs []string
	run   func(context.Context, *system) Finding
}

// system is what checks learn from each other. A field is written by one check,
// and read only by those that need that check.
type system struct {
	configPath string
	config     config.Config // by config
	metrics    samples       // by collector; nil if none is running
}

// checks are in the order of the report. A check comes after those it needs.
var checks = []check{
	{"config", nil, checkConfig},
	{"secret-files", []string{"config"}, checkSecrets},
	{"certificates", []string{"config"}, checkCertificates},
	{"enrolment", []string{"config"}, checkEnrolment},
	{"kernel", []string{"config"}, checkKernel},
	{"capabilities", []string{"config"}, checkCapabilities},
	{"btf", []string{"config"}, checkBTF},
	{"bpf-file-system", []string{"config"}, checkBPFFS},
	{"interfaces", []string{"config"}, checkInterfaces},
	{"pins", []string{"bpf-file-system", "interfaces"}, checkPins},
	{"offloads", []string{"interfaces"}, checkOffloads},
	{"clock", nil, checkClock},
	{"disk", []string{"config"}, checkDisk},
	{"store", []string{"config", "secret-files"}, checkStore},
	{"collector", []string{"config"}, checkCollector},
	{"radius", []string{"collector", "secret-files"}, checkRADIUS},
	{"accounting-freshness", []string{"collector"}, checkFreshness},
	{"balance", []string{"collector"}, checkBalance},
	{"losses", []string{"collector"}, checkLosses},
	{"delivery", []string{"collector"}, checkDelivery},
}

// Run performs all checks on the collector that configPath configures, side by
// side where they do not need each other.
func Run(ctx context.Context, configPath string) Report {
	return run(ctx, checks, &system{configPath: configPath})
}

func run(ctx context.Context, checks []check, s *system) Report {
	findings := make([]Finding, len(checks))
	index := map[string]int{}
	done := make([]chan struct{}, len(checks))
	for i, c := range checks {
		index[c.name], done[i] = i, make(chan struct{})
	}
	for i, c := range checks {
		go func() {
			defer close(done[i])
			for _, name := range c.needs {
				<-done[index[name]]
			}
			for _, name := range c.needs {
				if f := findings[index[name]]; f.Status == Fail || f.Status == Skip {
					findings[i] = Finding{Check: c.name, Status: Skip, Found: "not tried", Cause: "needs " + name}
					return
				}
			}
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			f := c.run(ctx, s)
			f.Check = c.name
			findings[i] = f
		}()
	}
	report := Report{Healthy: true, Findings: findings}
	for i := range checks {
		<-done[i]
		report.Healthy = report.Healthy && findings[i].Status != Fail
	}
	return report
}

func pass(format string, args ...any) Finding {
	return Finding{Status: Pass, Found: fmt.Sprintf(format, args...)}
}

// skip is for what this configuration does not use.
func skip(why string) Finding { return Finding{Status: Skip, Found: "not used", Cause: why} }

var noInterfaces = skip("no interfaces are configured")

func checkConfig(_ context.Context, s *system) Finding {
	c, err := config.Read(s.configPath)
	if err != nil {
		return Finding{Status: Fail, Found: "the configuration is not usable", Cause: err.Error(),
			Cure: "correct it, then try: griffier-collector -check -config " + s.configPath}
	}
	s.config = c
	return pass("%s: %d interfaces, RADIUS %s, %d static lines", s.configPath, len(c.Interfaces), orNone(c.RADIUS.Listen), len(c.StaticLines))
}

func checkSecrets(_ context.Context, s *system) Finding {
	_, key := schema.ReadPseudonymKey(s.config.PseudonymKeyFile)
	_, clients := s.config.RADIUSClients()
	_, where := s.config.Where()
	if err := errors.Join(key, clients, where); err != nil {
		return Finding{Status: Fail, Found: "a secret file cannot be used", Cause: err.Error(),
			Cure: "make the file, owned by the collector's user and mode 0600"}
	}
	return pass("pseudonym key and %d RADIUS secrets are readable", len(s.config.RADIUS.Clients))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
