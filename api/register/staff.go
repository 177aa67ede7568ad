package register

import (
	"context"
	"fmt"
)

// PutStaffLine says that a line is an employee's, or a member of their household's,
// or that it no longer is. The list has a keyed hash of the line, so that who has
// the table and not this register's key learns no line of it. A repetition changes
// nothing. [ErrUnknownLine] if there is no such line.
func (r *Register) PutStaffLine(ctx context.Context, actor, lineID string, is bool) error {
	if _, err := r.Line(ctx, lineID); err != nil {
		return err
	}
	return r.putStaff(ctx, actor, r.staffTag(lineID), is)
}

func (r *Register) putStaff(ctx context.Context, actor, tag string, is bool) error {
	version, err := r.version(ctx, "register.staff_line", "line_tag = {tag:String}", named("tag", tag))
	if err != nil {
		return err
	}
	return r.insert(ctx, "register.staff_line (line_tag, actor, listed, version)", []any{tag, actor, is, version})
}

// staffTag is what the list knows a line by.
func (r *Register) staffTag(lineID string) string { return r.Token("staff", lineID) }

// StaffLine reports whether a line is on the list, whoever's it is.
func (r *Register) StaffLine(ctx context.Context, lineID string) (bool, error) {
	var n uint64
	err := r.conn.QueryRow(ctx, `SELECT count() FROM register.staff_line FINAL WHERE line_tag = {tag:String} AND listed`, named("tag", r.staffTag(lineID))).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read staff lines: %w", err)
	}
	return n > 0, nil
}

// Staff returns how many lines each employee has, by pseudonym.
func (r *Register) Staff(ctx context.Context) (map[string]uint64, error) {
	rows, err := r.conn.Query(ctx, `SELECT actor, count() FROM register.staff_line FINAL WHERE listed GROUP BY actor`)
	if err != nil {
		return nil, fmt.Errorf("read staff lines: %w", err)
	}
	defer rows.Close()
	out := map[string]uint64{}
	for rows.Next() {
		var actor string
		var n uint64
		if err := rows.Scan(&actor, &n); err != nil {
			return nil, fmt.Errorf("read staff lines: %w", err)
		}
		out[actor] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read staff lines: %w", err)
	}
	return out, nil
}

// forgetStaff takes an erased line off the list, for whoever it is listed.
func (r *Register) forgetStaff(ctx context.Context, lineID string) error {
	rows, err := r.conn.Query(ctx, `SELECT actor FROM register.staff_line FINAL WHERE line_tag = {tag:String} AND listed`, named("tag", r.staffTag(lineID)))
	if err != nil {
		return fmt.Errorf("read staff lines: %w", err)
	}
	var actors []string
	for rows.Next() {
		var actor string
		if err := rows.Scan(&actor); err != nil {
			rows.Close()
			return fmt.Errorf("read staff lines: %w", err)
		}
		actors = append(actors, actor)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read staff lines: %w", err)
	}
	for _, actor := range actors {
		if err := r.putStaff(ctx, actor, r.staffTag(lineID), false); err != nil {
			return err
		}
	}
	return nil
}
