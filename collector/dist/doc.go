// Package dist is what is shipped beside griffier-collector: a systemd unit, the
// Debian package, a configuration to begin with, a Grafana dashboard, Prometheus
// alert rules, and a guide for the first router. Its tests hold all of that
// against the program itself.
package dist
