package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits beyond which the running collector's own figures are a finding.
const (
	quietNAS  = 15 * time.Minute // longer than a usual interim interval
	lateSink  = time.Minute
	veryLate  = time.Hour
	fullSpool = 0.8 // of spool.max_bytes
	// enoughPackets are more than an idle link's neighbour discovery.
	enoughPackets = 10_000
	metricStart   = "griffier_collector_"
)

// checkCollector finds the running collector by its metrics.
func checkCollector(ctx context.Context, s *system) Finding {
	if s.config.MetricsListen == "" {
		return Finding{Status: Warn, Found: "metrics_listen is empty", Cause: "what the running collector sees cannot be looked at",
			Cure: "set metrics_listen: 127.0.0.1:9478"}
	}
	read, err := scrape(ctx, s.config.MetricsListen)
	if err != nil {
		return Finding{Status: Warn, Found: "no collector answers at " + s.config.MetricsListen, Cause: err.Error(),
			Cure: "start it: systemctl start griffier-collector; if it does not stay: journalctl -u griffier-collector -n 20"}
	}
	build, ok := read[metricStart+"build_info"]
	if !ok {
		return Finding{Status: Fail, Found: "something else answers at " + s.config.MetricsListen, Cause: "its page has no " + metricStart + "build_info",
			Cure: "give metrics_listen a port of its own"}
	}
	s.metrics = read
	sessions, _ := read.value(metricStart + "sessions")
	return pass("version %s runs, with %.0f sessions", build[0].labels["version"], sessions)
}

var notRunning = skip("no collector is running")

func checkFreshness(_ context.Context, s *system) Finding {
	switch {
	case s.config.RADIUS.Listen == "":
		return skip("no radius.listen is configured")
	case s.metrics == nil:
		return notRunning
	}
	last, ok := s.metrics.value(metricStart + "radius_last_request_timestamp_seconds")
	unknown := reasonSum(s.metrics, metricStart+"radius_dropped_total", "unknown_client", "authenticator", "foreign_nas", "tls_handshake")
	if !ok || last == 0 {
		f := Finding{Status: Warn, Found: "no accounting request since the collector started",
			Cause: "no NAS sends here, or a firewall is in between", Cure: "on the NAS, set this host as accounting server; here: tcpdump -ni any udp port 1813"}
		if unknown > 0 {
			f.Cause = fmt.Sprintf("%.0f datagrams came from unknown addresses or with a wrong secret", unknown)
			f.Cure = "correct radius.clients: the NAS's source address and its secret; then systemctl reload griffier-collector"
		}
		return f
	}
	age := time.Since(time.UnixMilli(int64(last * 1000))).Round(time.Second)
	if age > quietNAS {
		return Finding{Status: Warn, Found: fmt.Sprintf("the last accounting request came %v ago", age),
			Cause: "no NAS sends any more, or interim updates are off there", Cure: "look at the NAS; an interim interval of 5 minutes is a good one"}
	}
	return pass("the last accounting request came %v ago", age)
}

func reasonSum(s samples, name string, reasons ...string) (sum float64) {
	for _, x := range s[name] {
		if slices.Contains(reasons, x.labels["reason"]) {
			sum += x.value
		}
	}
	return sum
}

// checkBalance looks at the closed equation: every packet is in one class.
func checkBalance(_ context.Context, s *system) Finding {
	switch {
	case len(s.config.Interfaces) == 0:
		return noInterfaces
	case s.metrics == nil:
		return notRunning
	}
	if n, _ := s.metrics.value(metricStart + "unbalanced_drains_total"); n > 0 {
		return Finding{Status: Fail, Found: fmt.Sprintf("%.0f readings did not add up", n),
			Cause: "the classes of traffic are not the total: a fault in the programs or in their maps", Cure: "report it, with the collector's log and metrics page"}
	}
	var unattributed, total float64
	for _, x := range s.metrics[metricStart+"traffic_packets_total"] {
		total += x.value
		if strings.HasPrefix(x.labels["class"], "unattributed") {
			unattributed += x.value
		}
	}
	if total > enoughPackets && unattributed > total/2 {
		return Finding{Status: Warn, Found: fmt.Sprintf("%.0f %% of all packets belong to no line", 100*unattributed/total),
			Cause: "their addresses were learnt from no DHCP, RADIUS or static line", Cure: "check that accounting or DHCP of these lines reaches this collector, or add static_lines"}
	}
	return pass("every packet is in one class; %.0f of %.0f belong to no line", unattributed, total)
}

// losses are counters of which every increment is something that was lost.
var losses = []struct{ name, cure string }{
	{"radius_dropped_total", "by reason: unknown_client and authenticator are mistakes in radius.clients; socket_buffer and overload want a faster disk"},
	{"addresses_refused_total", "with no_slot: raise max_slots, between griffier-collector -unpin and the next start (FIRST_ROUTER.md has the commands)"},
	{"translations_refused_total", "raise cgnat.max_mappings"},
	{"conntrack_overruns_total", "the kernel had more events than room; each time is declared as a gap. More memory for the socket helps: sysctl net.core.rmem_max"},
	{"drain_failures_total", "look at the collector's log"},
	{"spool_refusals_total", "see disk"},
	{"quarantined_rows_total", "look at the quarantine folder beside the spool, and report it"},
	{"expired_rows_total", "the store was away for longer than rows may be kept; see delivery"},
}

func checkLosses(_ context.Context, s *system) Finding {
	if s.metrics == nil {
		return notRunning
	}
	var found []string
	var cure string
	for _, l := range losses {
		for _, x := range s.metrics[metricStart+l.name] {
			if x.value == 0 || x.labels["reason"] == "duplicate_in_flight" { // the first one is not lost
				continue
			}
			label := x.labels["reason"] + x.labels["kind"]
			found = append(found, strings.TrimSuffix(fmt.Sprintf("%s %.0f %s", l.name, x.value, label), " "))
			if cure == "" {
				cure = l.name + ": " + l.cure
			}
		}
	}
	for _, x := range s.metrics[metricStart+"control_frames_total"] {
		if x.value > 0 && x.labels["outcome"] == "ring_full" {
			found = append(found, fmt.Sprintf("control_frames_total %.0f ring_full", x.value))
		}
	}
	if len(found) == 0 {
		return pass("nothing was dropped, refused or quarantined since the start")
	}
	return Finding{Status: Warn, Found: strings.Join(found, ", "), Cause: "something was lost or turned away since the collector started",
		Cure: orDefault(cure, "look at the collector's log")}
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func checkDelivery(_ context.Context, s *system) Finding {
	if s.metrics == nil {
		return notRunning
	}
	seconds, _ := s.metrics.value(metricStart + "sink_lag_seconds")
	rows, _ := s.metrics.value(metricStart + "spool_pending_rows")
	bytes, _ := s.metrics.value(metricStart + "spool_bytes")
	lag := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	full := bytes / float64(s.config.Spool.MaxBytes)
	f := Finding{Status: Warn, Found: fmt.Sprintf("%.0f rows wait, the oldest for %v; the spool is %.0f %% full", rows, lag, 100*full),
		Cause: "the store does not take rows, or not as fast as they come", Cure: "see store; what waits is safe until the spool is full"}
	switch {
	case lag > veryLate || full > fullSpool:
		f.Status = Fail
	case lag <= lateSink:
		return pass("%.0f rows wait, the oldest for %v; the spool is %.0f %% full", rows, lag, 100*full)
	}
	return f
}
