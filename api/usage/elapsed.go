package usage

import (
	"context"

	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Readable returns the part of w of which rows of a class can be read still: w from
// the class's limit on, and an empty window at its end if all of w has expired. Ask
// it after the rows were read: what expired meanwhile then counts as expired, and
// not as something that never was.
func (r *Reader) Readable(ctx context.Context, class schema.Class, w Window) (Window, error) {
	since, ok, err := schema.ReadableSince(ctx, r.conn, class)
	switch {
	case err != nil:
		return Window{}, err
	case !ok:
		return Window{w.End, w.End}, nil
	case class == schema.ClassUsage5m:
		since = since.Truncate(schema.BucketLength) // a bucket that holds the limit has not ended by then
	}
	return Window{earlier(later(w.Start, since), w.End), w.End}, nil
}

// Empty tells whether w holds no instant.
func (w Window) Empty() bool { return !w.Start.Before(w.End) }

// From returns those of windows that touch w, which is their end from some instant
// on; the first may be cut by it.
func (w Window) From(windows []Window) (out []Window) {
	for _, in := range windows {
		if part, ok := in.intersect(w.Start, w.End); ok {
			out = append(out, part)
		}
	}
	return out
}

// ElapsedProto returns what of asked lies before readable, as the API shows it.
func ElapsedProto(asked, readable Window) []*griffierv1.Window {
	if !asked.Start.Before(readable.Start) {
		return nil
	}
	return []*griffierv1.Window{{Start: asked.Proto().GetStart(), End: readable.Proto().GetStart()}}
}

// judge tells whether all that the line could have moved in t has expired. The
// references are those of the line; of a time in which it had none it is known that
// it moved nothing, but that makes no answer of a window.
func (t *Total) judge(held map[schema.AccessRef][]Window) {
	if len(t.Elapsed) == 0 || t.Volume() != (Volume{}) {
		return
	}
	for _, windows := range held {
		for _, h := range windows {
			if part, ok := t.intersect(h.Start, h.End); ok && len(part.Gaps(t.Elapsed)) > 0 {
				return
			}
		}
	}
	t.Gone = true
}

// gone refuses totals of which every one that the line had a reference in has
// expired whole: a sum of zero would be a guess.
func gone(totals []Total, refs []register.Held) error {
	held, any := heldWindows(refs), false
	for _, t := range totals {
		if t.Gone {
			any = true
			continue
		}
		for _, windows := range held {
			if len(t.From(windows)) > 0 {
				return nil
			}
		}
	}
	if !any {
		return nil
	}
	return reason.New(reason.RetentionElapsed, "Of this time neither sums of days nor buckets of five minutes are left.")
}
