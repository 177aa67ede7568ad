package enrol

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pace of the renewer.
const (
	lookEvery  = time.Minute // at the folder: somebody may have enrolled anew
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// RenewAt returns when a certificate is to be renewed: when two thirds of its life
// are over, and up to a thirtieth of it later, which depends on its serial number,
// so that collectors that were enrolled together do not come back together.
func RenewAt(c *x509.Certificate) time.Time {
	life := c.NotAfter.Sub(c.NotBefore)
	var low [8]byte
	if b := c.SerialNumber.Bytes(); len(b) >= len(low) {
		copy(low[:], b[len(b)-len(low):])
	}
	spread := float64(binary.BigEndian.Uint64(low[:])) / (1 << 64)
	return c.NotBefore.Add(life*2/3 + time.Duration(spread*float64(life)/30))
}

// retryAfter returns how long to wait after so many failures in a row: twice as
// long each time, from a minute to an hour, or less for a short-lived certificate;
// half of it is jitter in [0, 1).
func retryAfter(failures int, life time.Duration, jitter float64) time.Duration {
	longest := min(lastRetry, max(time.Second, life/60))
	wait := min(firstRetry<<min(failures-1, 10), longest)
	return wait/2 + time.Duration(jitter*float64(wait)/2)
}

// Renewer keeps an identity fresh.
type Renewer struct {
	Folder Folder
	Server string // where to renew; empty: where the identity comes from
	Log    *slog.Logger

	expires  prometheus.Gauge
	renewals *prometheus.CounterVec
}

// outcomes of a renewal, as the metric has them.
const (
	renewed     = "renewed"
	refused     = "refused"
	unreachable = "unreachable"
	failed      = "failed"
)

// NewRenewer returns a renewer with its metrics.
func NewRenewer(f Folder, server string, log *slog.Logger, r prometheus.Registerer) *Renewer {
	const namespace = "griffier_collector"
	n := &Renewer{Folder: f, Server: server, Log: log,
		expires: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "certificate_expiry_timestamp_seconds",
			Help: "When the collector's own certificate ends; 0 if it has none."}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "certificate_renewals_total",
			Help: "Attempts to renew the collector's own certificate, by outcome."}, []string{"outcome"}),
	}
	for _, outcome := range []string{renewed, refused, unreachable, failed} {
		n.renewals.WithLabelValues(outcome)
	}
	r.MustRegister(n.expires, n.renewals)
	n.look()
	return n
}

// look reads the identity and sets the metric; nil if there is none.
func (n *Renewer) look() *Identity {
	i, err := n.Folder.Load()
	switch {
	case err == nil:
		n.expires.Set(float64(i.Leaf().NotAfter.Unix()))
		return i
	case errors.Is(err, ErrNotEnrolled):
		n.expires.Set(0)
	default: // the metric stays, and runs out
		n.Log.LogAttrs(context.Background(), slog.LevelError, "the collector's certificate cannot be read", slog.Any("error", err))
	}
	return nil
}

// Run renews until ctx ends. It never ends before: without griffierd the collector
// goes on with what it has.
func (n *Renewer) Run(ctx context.Context) {
	failures, notBefore := 0, time.Time{}
	for {
		wait := lookEvery
		if i := n.look(); i != nil {
			now := time.Now()
			due := RenewAt(i.Leaf())
			if failures > 0 {
				due = notBefore
			}
			if !now.Before(due) {
				if n.renew(ctx) {
					failures = 0
				} else if ctx.Err() != nil {
					return
				} else {
					failures++
					notBefore = now.Add(retryAfter(failures, i.Leaf().NotAfter.Sub(i.Leaf().NotBefore), rand.Float64()))
				}
				continue
			}
			wait = min(wait, due.Sub(now)) // time.Now has a wall clock: a sleep ends by it at the next look
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// renew tries once.
func (n *Renewer) renew(ctx context.Context) bool {
	i, err := n.Folder.Renew(ctx, n.Server, time.Now)
	if ctx.Err() != nil {
		return false
	}
	switch {
	case err == nil:
		n.renewals.WithLabelValues(renewed).Inc()
		n.Log.LogAttrs(ctx, slog.LevelInfo, "certificate renewed", slog.String("serial", i.Leaf().SerialNumber.Text(16)), slog.Time("until", i.Leaf().NotAfter))
		return true
	case errors.Is(err, ErrRefused):
		n.renewals.WithLabelValues(refused).Inc()
	case errors.Is(err, ErrUnreachable):
		n.renewals.WithLabelValues(unreachable).Inc()
	default:
		n.renewals.WithLabelValues(failed).Inc()
	}
	n.Log.LogAttrs(ctx, slog.LevelWarn, "the certificate was not renewed; it is tried again", slog.Any("error", err))
	return false
}
