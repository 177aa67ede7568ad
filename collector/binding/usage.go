package binding

import (
	"cmp"
	"slices"
	"time"

	"griffier/schema"
)

// A Reading is the value of one counter: what a line has moved in one direction
// and IP version since it was given the counter.
type Reading struct {
	CounterID schema.ID // one life of one counter; never reused for another line
	AccessRef schema.AccessRef
	Direction schema.Direction
	IPVersion uint8
	Bytes     uint64
	Packets   uint64
	// Final says that the counter stopped; it is read again only if this reading
	// is not known to be durable.
	Final bool
}

type counterKey struct {
	ID        schema.ID
	Direction schema.Direction
	IPVersion uint8
}

// counterIndex is a counterKey as a map finds it fastest.
type counterIndex [len(schema.ID{}) + 1]byte

func (k counterKey) index() (x counterIndex) {
	copy(x[:], k.ID[:])
	x[len(k.ID)] = k.IPVersion << 1
	if k.Direction == schema.Up {
		x[len(k.ID)]++
	}
	return x
}

// A counter is the baseline (the last emitted value, durable) and the latest
// reading after it, which is not: after a crash the kernel still has it.
type counter struct {
	Key     counterKey
	Ref     schema.AccessRef
	Bytes   uint64
	Packets uint64

	drain   uint64 // the last that read it
	pending bool
	gone    bool // forgotten
	bucket  time.Time
	at      time.Time
	bytes   uint64
	packets uint64
}

// Usage takes the readings of one drain, sampled at the given time, of all
// counters there are, and returns the usage records that are due: those of a
// bucket that ended, of a final reading, or all if FlushInterval passed or flush
// is set (before a stop). A counter that is no longer among the readings is
// forgotten.
//
// The difference to the previous reading counts into the bucket of at minus
// DrainSlack. Counters that did not move give no record. The sum of a counter's
// records always equals its last emitted cumulative value.
func (b *Binding) Usage(at time.Time, readings []Reading, flush bool) Effects {
	at = milli(at)
	bucket := at.Add(-b.cfg.DrainSlack).Truncate(schema.BucketLength)
	due := flush || !at.Before(bucket.Add(schema.BucketLength)) ||
		!at.Truncate(b.cfg.FlushInterval).Equal(b.lastFlush.Truncate(b.cfg.FlushInterval))
	var e Effects
	var emitted []usageEvent
	var room []schema.Usage // records are made many at a time
	emit := func(c *counter) {
		if c.pending && (c.bytes != c.Bytes || c.packets != c.Packets) {
			if len(room) == 0 {
				room = make([]schema.Usage, 256)
			}
			room[0], e.Records = b.usageRecord(c), append(e.Records, &room[0])
			room = room[1:]
			c.Bytes, c.Packets = c.bytes, c.packets
			emitted = append(emitted, usageEvent{c.Key, c.Ref, c.Bytes, c.Packets, false})
		}
		c.pending = false
	}
	if due {
		e.Records = make([]schema.Record, 0, len(readings))
		emitted = make([]usageEvent, 0, len(readings))
	}
	b.drains++
	read := 0 // of the counters there are
	if n := len(readings) - len(b.inOrder); n > 0 {
		b.inOrder = append(b.inOrder, make([]*counter, n)...)
	} else {
		clear(b.inOrder[len(readings):])
	}
	for i, r := range readings {
		k := counterKey{r.CounterID, r.Direction, r.IPVersion}
		c := b.inOrder[i] // as a rule the one that it was at the last drain
		if c == nil || c.gone || c.Key != k {
			c = b.usage[k.index()]
		}
		if c == nil {
			if r.Bytes == 0 && r.Packets == 0 {
				continue
			}
			c = &counter{Key: k, Ref: r.AccessRef}
			b.usage[k.index()] = c
		}
		b.inOrder[i] = c
		if c.drain != b.drains {
			read++
		}
		c.drain = b.drains
		if c.pending && !c.bucket.Equal(bucket) {
			emit(c)
		}
		if r.Bytes < c.Bytes || r.Packets < c.Packets {
			b.ignored.CounterRegressed++
			c.Bytes, c.Packets = r.Bytes, r.Packets
			emitted = append(emitted, usageEvent{c.Key, c.Ref, c.Bytes, c.Packets, false})
		}
		c.pending, c.bucket, c.at, c.bytes, c.packets = true, bucket, at, r.Bytes, r.Packets
		if r.Final || due {
			emit(c)
		}
	}
	if read < len(b.usage) {
		for _, c := range b.sortedUsage(false) {
			emit(c)
			emitted = append(emitted, usageEvent{c.Key, c.Ref, c.Bytes, c.Packets, true})
		}
	}
	if due || len(emitted) > 0 {
		ev := event{Now: at, Usage: emitted, Flushed: due}
		b.usageDone(ev)
		e.Delta = b.encode(ev)
	}
	return e
}

// usageDone is what a usage event leaves behind.
func (b *Binding) usageDone(ev event) {
	for _, u := range ev.Usage {
		if u.Gone {
			if c := b.usage[u.Key.index()]; c != nil {
				c.gone = true
			}
			delete(b.usage, u.Key.index())
			continue
		}
		c := b.usage[u.Key.index()]
		if c == nil {
			c = &counter{Key: u.Key, Ref: u.Ref}
			b.usage[u.Key.index()] = c
		}
		c.Bytes, c.Packets = u.Bytes, u.Packets
	}
	if ev.Flushed {
		b.lastFlush = ev.Now
	}
}

func (b *Binding) usageRecord(c *counter) schema.Usage {
	return schema.Usage{
		AccessRef: c.Ref, BucketStartedAt: c.bucket, EndedAt: c.bucket.Add(schema.BucketLength), SampledAt: c.at,
		Direction: c.Key.Direction, IPVersion: c.Key.IPVersion,
		Bytes: c.bytes - c.Bytes, Packets: c.packets - c.Packets,
		CumulativeBytes: c.bytes, CumulativePackets: c.packets,
		CounterID: c.Key.ID, CollectorID: b.cfg.CollectorID, Source: schema.UsageKernel,
	}
}

// sortedUsage returns all counters, or only those that the last drain did not
// read, in a stable order.
func (b *Binding) sortedUsage(all bool) []*counter {
	var out []*counter
	for _, c := range b.usage {
		if all || c.drain != b.drains {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(x, y *counter) int {
		return cmp.Or(slices.Compare(x.Ref[:], y.Ref[:]), slices.Compare(x.Key.ID[:], y.Key.ID[:]),
			cmp.Compare(x.Key.Direction, y.Key.Direction), cmp.Compare(x.Key.IPVersion, y.Key.IPVersion))
	})
	return out
}
