package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxScrapeBytes bounds what is read of a metrics page.
const maxScrapeBytes = 8 << 20

// sample is one value of a metric.
type sample struct {
	labels map[string]string
	value  float64
}

// samples are the counters and gauges of a metrics page, by name.
type samples map[string][]sample

// value returns the sum of a metric's samples, and whether it has any.
func (s samples) value(name string) (sum float64, ok bool) {
	for _, x := range s[name] {
		sum += x.value
	}
	return sum, len(s[name]) > 0
}

func parseSamples(page io.Reader) (samples, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	out := samples{}
	for name, family := range families {
		for _, m := range family.Metric {
			x := sample{labels: map[string]string{}}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				x.value = m.Counter.GetValue()
			case dto.MetricType_GAUGE:
				x.value = m.Gauge.GetValue()
			default:
				continue
			}
			for _, l := range m.Label {
				x.labels[l.GetName()] = l.GetValue()
			}
			out[name] = append(out[name], x)
		}
	}
	return out, nil
}

func scrape(ctx context.Context, address string) (samples, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}} // a proxy from the environment knows no loopback
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New("metrics: answered " + response.Status)
	}
	return parseSamples(io.LimitReader(response.Body, maxScrapeBytes))
}
