package ledgerrpc

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// scanned is the most entries that one search looks at before it answers what it
// has, with where to go on: a question that matches nothing is no way to keep the
// server reading.
const scanned = 50 * ledger.MaxRead

// search is a filter, and what part of the log can match it.
type search struct {
	req        *griffierv1.ListEntriesRequest
	start, end uint64
}

// newSearch checks a filter and finds the part of the log that lies in its time.
func (s *Service) newSearch(ctx context.Context, req *griffierv1.ListEntriesRequest, size uint64) (search, error) {
	q := search{req: req, start: req.GetStart(), end: size}
	if req.GetFrom() != nil && !req.GetFrom().IsValid() || req.GetTo() != nil && !req.GetTo().IsValid() {
		return search{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "from, to", Description: "is not a time"})
	}
	if req.GetFrom() != nil {
		at, err := s.firstAt(ctx, req.GetFrom().AsTime(), size)
		if err != nil {
			return search{}, err
		}
		q.start = max(q.start, at)
	}
	if req.GetTo() != nil {
		at, err := s.firstAt(ctx, req.GetTo().AsTime(), size)
		if err != nil {
			return search{}, err
		}
		q.end = min(q.end, at)
	}
	return q, nil
}

// firstAt gives the index of the first entry at an instant or later: entries are
// in the order of their times.
func (s *Service) firstAt(ctx context.Context, at time.Time, size uint64) (uint64, error) {
	var failed error
	i := sort.Search(int(size), func(i int) bool {
		if failed != nil {
			return true
		}
		entries, err := s.log.Read(ctx, uint64(i), 1)
		if err != nil {
			failed = err
			return true
		}
		return len(entries) == 1 && !entries[0].Header.At.Before(at)
	})
	if failed != nil {
		return 0, failure(failed)
	}
	return uint64(i), nil
}

// each calls visit for the entries that match, in order, until visit says that it
// has enough or the scan has looked at most entries. It gives where to go on; 0
// when nothing more can match.
func (s *Service) each(ctx context.Context, q search, most uint64, visit func(ledger.Entry) (more bool, err error)) (uint64, error) {
	for next := q.start; next < q.end; {
		if next-q.start >= most {
			return next, nil
		}
		entries, err := s.log.Read(ctx, next, int(min(ledger.MaxRead, q.end-next)))
		if err != nil {
			return 0, failure(err)
		}
		if len(entries) == 0 {
			return 0, reason.Wrap(reason.Internal, fmt.Errorf("ledger ends at %d where %d is acknowledged", next, q.end))
		}
		for _, e := range entries {
			next = e.Index + 1
			if !q.matches(e.Header) {
				continue
			}
			more, err := visit(e)
			if err != nil {
				return 0, err
			}
			if !more && next < q.end {
				return next, nil
			}
			if !more {
				return 0, nil
			}
		}
	}
	return 0, nil
}

func (q search) matches(h ledger.Header) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	kind := q.req.GetKind()
	return (is(kind, h.Kind) || strings.HasSuffix(kind, ".") && strings.HasPrefix(h.Kind, kind)) &&
		is(q.req.GetWarrantId(), h.WarrantID) && is(q.req.GetTaskId(), h.TaskID) &&
		is(q.req.GetActor(), h.Actor) && is(q.req.GetRole(), h.Role) && is(q.req.GetReason(), h.Reason)
}
