package daemon

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Build is what this program was built from, as Go recorded it.
type Build struct{ Version, Revision, Go string }

// ReadBuild returns it; what is not recorded is "unknown".
func ReadBuild() Build {
	b := Build{"unknown", "unknown", "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && s.Value != "" {
			b.Revision = s.Value
		}
	}
	return b
}

func (b Build) metric(namespace string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "What runs; the value is 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go}})
	g.Set(1)
	return g
}
