package radius

import "github.com/prometheus/client_golang/prometheus"

// Reasons for which [Server] drops a datagram, besides those of [Decode] and
// [ReasonSessionsFull].
const (
	ReasonUnknownClient Reason = "unknown_client"      // source address is no client's
	ReasonForeignNAS    Reason = "foreign_nas"         // the client may not go by that NAS's name
	ReasonHandshake     Reason = "tls_handshake"       // RadSec: no TLS, or no certificate that is accepted
	ReasonConnections   Reason = "connections"         // RadSec: too many connections
	ReasonInFlight      Reason = "duplicate_in_flight" // its first transmission is not durable yet
	ReasonOverload      Reason = "overload"            // MaxInFlight requests await durability
	ReasonNotDurable    Reason = "not_durable"         // the handler refused: the spool is full or failing
	ReasonSocketBuffer  Reason = "socket_buffer"       // dropped by the kernel
	ReasonSend          Reason = "send"                // the acknowledgement could not be sent
)

type metrics struct {
	received     prometheus.Counter
	acknowledged prometheus.Counter
	repeated     prometheus.Counter
	inFlight     prometheus.Gauge
	sessions     prometheus.Gauge
	silent       prometheus.Counter
	skew         prometheus.Histogram
	lastRequest  prometheus.Gauge
	dropped      *prometheus.CounterVec
	idle         *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"reason"})
	}
	m := &metrics{
		received:     counter("griffier_collector_radius_received_total", "Datagrams received on the accounting port."),
		acknowledged: counter("griffier_collector_radius_acknowledged_total", "Requests acknowledged, repeated acknowledgements not included."),
		repeated:     counter("griffier_collector_radius_reacknowledged_total", "Retransmitted requests acknowledged again without a second observation."),
		inFlight:     gauge("griffier_collector_radius_in_flight", "Requests that await durability."),
		sessions:     gauge("griffier_collector_radius_sessions", "Sessions remembered, ended ones included."),
		silent:       counter("griffier_collector_radius_forgotten_total", "Sessions forgotten without a Stop, after radius.stale_after and 48 hours."),
		skew: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "griffier_collector_radius_time_skew_seconds",
			Help:    "Arrival less Acct-Delay-Time less Event-Timestamp: a NAS's clock that is off, or a record that lay on the way.",
			Buckets: []float64{-120, -10, -1, 1, 10, 60, 600, 3600, 86400}}),
		lastRequest: gauge("griffier_collector_radius_last_request_timestamp_seconds", "When the last authentic accounting request came; 0 if none has since the start."),
		dropped:     vec("griffier_collector_radius_dropped_total", "Datagrams dropped without an answer, by reason."),
		idle:        vec("griffier_collector_radius_noted_total", "Acknowledged requests that changed nothing or were odd, by reason."),
	}
	for _, c := range []prometheus.Collector{m.received, m.acknowledged, m.repeated, m.inFlight, m.sessions, m.silent, m.skew, m.lastRequest, m.dropped, m.idle} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) drop(reason Reason) { m.dropped.WithLabelValues(string(reason)).Inc() }
