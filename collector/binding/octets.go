package binding

import (
	"time"

	"griffier/schema"
)

// counted is how much of a session's [Octets] has been emitted.
type counted struct {
	Up, Down  uint64
	SampledAt time.Time // of the last record; sampling times of one counter differ
}

// octets emits what the source of a session counted since it told last, as usage
// of its own kind: it is never added to what the kernel counts of the same line.
// All of it goes into the bucket of the observation; how it was spread over the
// time before, nobody told. What is told again, or late, adds nothing. The counter
// is named after the session, so that readers find out that a NAS told several
// collectors of it.
func (b *Binding) octets(s *session, o Observation, e *Effects) {
	if o.Octets == nil || !s.Known {
		return
	}
	if s.Counted == nil {
		s.Counted = &counted{Up: o.Octets.UpFrom, Down: o.Octets.DownFrom}
		if s.StartSeen.IsZero() && !s.StartTold.IsZero() && o.At.Sub(s.StartTold) > b.cfg.Horizon {
			// It was counted before, and forgotten since for want of news.
			s.Counted.Up, s.Counted.Down = o.Octets.Up, o.Octets.Down
		}
	}
	at := o.At
	if !at.After(s.Counted.SampledAt) {
		at = s.Counted.SampledAt.Add(time.Millisecond)
	}
	// The octets that a bucket ends with are that bucket's.
	bucket := at.Add(-time.Millisecond).Truncate(schema.BucketLength)
	for _, x := range []struct {
		direction  schema.Direction
		told, from uint64
		have       *uint64
	}{{schema.Up, o.Octets.Up, o.Octets.UpFrom, &s.Counted.Up}, {schema.Down, o.Octets.Down, o.Octets.DownFrom, &s.Counted.Down}} {
		if x.told <= *x.have {
			continue
		}
		e.Records = append(e.Records, &schema.Usage{
			AccessRef: s.Ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: at,
			Direction: x.direction, Bytes: x.told - *x.have, CumulativeBytes: x.told - x.from,
			CounterID: s.ID, CollectorID: b.cfg.CollectorID, Source: schema.UsageRADIUS,
		})
		*x.have, s.Counted.SampledAt = x.told, at
	}
}
