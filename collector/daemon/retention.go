package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"griffier/collector/sink"
	"griffier/schema"
)

const (
	policyInterval = time.Hour        // between readings of the policy
	policyTimeout  = 30 * time.Second // for one
	expireInterval = 10 * time.Minute // between looks for rows that outlived it
)

// watchPolicy reads the retention policy from the store, now and then, and
// hands it to the loop. A store that is away is asked again later.
func watchPolicy(ctx context.Context, where schema.Config, log *slog.Logger, policies chan<- []schema.Policy) error {
	for wait := time.Duration(0); ; wait = policyInterval {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		read, err := readPolicy(ctx, where)
		if err != nil {
			log.Debug("the retention policy could not be read", slog.Any("error", err))
			continue
		}
		select {
		case policies <- read:
		case <-ctx.Done():
			return nil
		}
	}
}

func readPolicy(ctx context.Context, where schema.Config) ([]schema.Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, policyTimeout)
	defer cancel()
	conn, err := schema.Open(ctx, where)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return schema.ReadPolicy(ctx, conn)
}

// expire removes from the spool and from the quarantine what has outlived its
// class before the store took it: neither is a way around retention. No gap is
// declared: the store would not show these rows either, and other classes of
// that time live on.
func (l *loop) expire(ctx context.Context, now time.Time) {
	if len(l.policies) == 0 {
		return
	}
	limits, err := limitsAt(l.policies, now)
	if err != nil {
		l.log.Error("the retention policy cannot be applied to the spool", slog.Any("error", err))
		return
	}
	if gone, err := sink.ExpireQuarantine(l.quarantine, limits); err != nil {
		l.log.Error("rows that outlived their retention could not be removed from the quarantine", slog.Any("error", err))
	} else if gone > 0 {
		l.log.Warn("rows outlived their retention in the quarantine and were removed", slog.Int("rows", gone))
	}
	if l.spool.Stats().PendingRows == 0 {
		return
	}
	l.checkpoint(ctx) // only closed segments are searched
	loss, err := l.spool.DropBefore(limits)
	if err != nil {
		l.log.Error("rows that outlived their retention could not be removed from the spool", slog.Any("error", err))
	}
	for kind, rows := range loss.Rows {
		l.metrics.expired.WithLabelValues(string(kind)).Add(float64(rows))
	}
	if loss.Total() > 0 {
		l.log.Warn("rows outlived their retention in the spool and were removed", slog.Uint64("rows", loss.Total()))
	}
}

// limitsAt is, by class, the time before which intervals must have ended to be
// expired at now.
func limitsAt(policies []schema.Policy, now time.Time) (map[schema.Class]time.Time, error) {
	limits := map[schema.Class]time.Time{}
	for _, p := range policies {
		period, err := schema.ParsePeriod(p.Period)
		if err != nil {
			return nil, fmt.Errorf("retention of %s: %w", p.Class, err)
		}
		zone, err := time.LoadLocation(p.Zone)
		if err != nil {
			return nil, fmt.Errorf("retention of %s: %w", p.Class, err)
		}
		limits[p.Class] = period.Before(now, zone)
	}
	return limits, nil
}
