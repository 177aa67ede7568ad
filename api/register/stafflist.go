package register

import (
	"context"
	"fmt"
	"slices"
)

// StaffLine is a row of the list of staff's lines: the line by its keyed hash, and whose
// it is by pseudonym.
type StaffLine struct{ Tag, Actor string }

// staffChunk bounds how many lines are asked about in one question.
const staffChunk = 200

// StaffTags returns by what the list would know lines, of those that there are.
func (r *Register) StaffTags(ctx context.Context, lineIDs []string) (map[string]string, error) {
	out := map[string]string{}
	for chunk := range slices.Chunk(lineIDs, staffChunk) {
		rows, err := r.conn.Query(ctx, `SELECT DISTINCT line_id FROM register.line FINAL WHERE line_id IN {lines:Array(String)}`, named("lines", chunk))
		if err != nil {
			return nil, fmt.Errorf("read lines: %w", err)
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				rows.Close()
				return nil, fmt.Errorf("read lines: %w", err)
			}
			out[id] = r.staffTag(id)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("read lines: %w", err)
		}
	}
	return out, nil
}

// StaffLines returns the whole list, in no order.
func (r *Register) StaffLines(ctx context.Context) ([]StaffLine, error) {
	rows, err := r.conn.Query(ctx, `SELECT line_tag, actor FROM register.staff_line FINAL WHERE listed`)
	if err != nil {
		return nil, fmt.Errorf("read staff lines: %w", err)
	}
	defer rows.Close()
	var out []StaffLine
	for rows.Next() {
		var l StaffLine
		if err := rows.Scan(&l.Tag, &l.Actor); err != nil {
			return nil, fmt.Errorf("read staff lines: %w", err)
		}
		out = append(out, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read staff lines: %w", err)
	}
	return out, nil
}

// ChangeStaff puts rows on the list and takes others off it, all in one block: the list
// is as before or as after. A repetition changes nothing.
func (r *Register) ChangeStaff(ctx context.Context, put, remove []StaffLine) error {
	if len(put)+len(remove) == 0 {
		return nil
	}
	version, err := r.version(ctx, "register.staff_line", "1")
	if err != nil {
		return err
	}
	var rows [][]any
	for _, l := range put {
		rows = append(rows, []any{l.Tag, l.Actor, true, version})
	}
	for _, l := range remove {
		rows = append(rows, []any{l.Tag, l.Actor, false, version})
	}
	return r.insert(ctx, "register.staff_line (line_tag, actor, listed, version)", rows...)
}
