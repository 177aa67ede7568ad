package execute

import (
	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/warrant"
)

var (
	releasedDesc  = prometheus.NewDesc("griffier_packages_released_total", "Packages released to be handed out, corrections among them.", nil, nil)
	recalledDesc  = prometheus.NewDesc("griffier_packages_recalled_total", "Answers taken back because they were wrong, by whether the package had been fetched.", []string{"fetched"}, nil)
	correctedDesc = prometheus.NewDesc("griffier_packages_corrected_total", "Recalled answers in whose place a correction was released.", nil, nil)
)

// Collector counts released packages and what was wrong with them when it is asked,
// from the ledger's fold: a restart forgets none.
type Collector struct{ State *warrant.State }

// Describe implements [prometheus.Collector].
func (Collector) Describe(out chan<- *prometheus.Desc) {
	out <- releasedDesc
	out <- recalledDesc
	out <- correctedDesc
}

// Collect implements [prometheus.Collector].
func (c Collector) Collect(out chan<- prometheus.Metric) {
	count := func(pick func(warrant.Task) bool) float64 { return float64(len(c.State.Tasks(pick))) }
	counter := func(d *prometheus.Desc, n float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, labels...)
	}
	counter(releasedDesc, count(func(t warrant.Task) bool { return !t.ReleasedAt.IsZero() }))
	for _, fetched := range []bool{true, false} {
		label := map[bool]string{true: "yes", false: "no"}[fetched]
		counter(recalledDesc, count(func(t warrant.Task) bool { return !t.Delivery.RecalledAt.IsZero() && t.Fetched > 0 == fetched }), label)
	}
	counter(correctedDesc, count(func(t warrant.Task) bool { return t.Delivery.Corrects != "" && !t.ReleasedAt.IsZero() }))
}
