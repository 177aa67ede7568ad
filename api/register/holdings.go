package register

import (
	"context"
	"fmt"
	"time"
)

// Holding is a line's zone and one of its pseudonyms, without what the line is
// called for.
type Holding struct {
	Held
	TimeZone string
	Version  uint64 // of the line: the highest is the newest change
}

// Holdings calls each for every pseudonym that a line had at any time in
// [start, end), line by line in the order of their pseudonyms. It stops at the
// first error, which it returns.
func (r *Register) Holdings(ctx context.Context, start, end time.Time, each func(Holding) error) error {
	rows, err := r.conn.Query(ctx, `SELECT a.line_id, a.access_ref, a.valid_from, a.valid_to, l.time_zone, l.version
		FROM (SELECT * FROM register.line_access FINAL WHERE valid_from < {end:DateTime64(3)} AND valid_to > {start:DateTime64(3)}) AS a
		INNER JOIN (SELECT line_id, toString(time_zone) AS time_zone, version FROM register.line FINAL) AS l ON l.line_id = a.line_id
		ORDER BY min(a.access_ref) OVER (PARTITION BY a.line_id), a.line_id, a.access_ref, a.valid_from`, at("start", start), at("end", end))
	if err != nil {
		return fmt.Errorf("read holdings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var h Holding
		var ref string
		if err := rows.Scan(&h.LineID, &ref, &h.ValidFrom, &h.ValidTo, &h.TimeZone, &h.Version); err != nil {
			return fmt.Errorf("read holdings: %w", err)
		}
		copy(h.Ref[:], ref)
		h.ValidFrom, h.ValidTo = h.ValidFrom.UTC(), h.ValidTo.UTC()
		if err := each(h); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read holdings: %w", err)
	}
	return nil
}
