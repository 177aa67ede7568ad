package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"griffier/schema"
)

const lineColumns = `line_id, account_id, time_zone, billing_day, contract_start, contract_end`

// PutLine records a line with its identifiers and person. A repetition changes
// nothing; a change is a new version. Identifiers that are no longer listed end
// by being listed with a ValidTo, never by being left out. A line whose person
// was erased stays so: [ErrErased].
func (r *Register) PutLine(ctx context.Context, line Line, identifiers []Identifier, person Person) error {
	sealed, key, err := r.sealPerson(line.LineID, person)
	if err != nil {
		return err
	}
	version, err := r.version(ctx, "register.line", "line_id = {line:String}", named("line", line.LineID))
	if err != nil {
		return err
	}
	// The person first: a line that can be found always has one.
	err = r.insert(ctx, "register.person (line_id, key_id, ciphertext, blind_index, version)",
		[]any{line.LineID, key, string(sealed), r.blindIndex(person), version})
	if err != nil {
		return err
	}
	var rows [][]any
	for _, id := range withEquipment(identifiers) {
		ref := r.pseudonyms.Ref(id.Identifier)
		rows = append(rows, []any{line.LineID, string(ref[:]), id.ValidFrom, id.ValidTo, version})
	}
	if len(rows) > 0 {
		err = r.insert(ctx, "register.line_access (line_id, access_ref, valid_from, valid_to, version)", rows...)
		if err != nil {
			return err
		}
	}
	return r.insert(ctx, "register.line ("+lineColumns+", version)", []any{
		line.LineID, line.AccountID, line.TimeZone, uint8(line.BillingDay), line.ContractStart, line.ContractEnd, version})
}

// Changes tells whether a line that is known would become another account's, or its
// person another name's or at another place, by what they can be found by. A line
// without a person has none to change.
func (r *Register) Changes(ctx context.Context, line Line, person Person) (bool, error) {
	known, err := r.Line(ctx, line.LineID)
	if errors.Is(err, ErrUnknownLine) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if known.AccountID != line.AccountID {
		return true, nil
	}
	rows, err := r.conn.Query(ctx, `SELECT blind_index FROM register.person FINAL WHERE line_id = {line:String}`, named("line", line.LineID))
	if err != nil {
		return false, fmt.Errorf("read person: %w", err)
	}
	defer rows.Close()
	changes := false
	for rows.Next() {
		var index []string
		if err := rows.Scan(&index); err != nil {
			return false, fmt.Errorf("read person: %w", err)
		}
		changes = !slices.Equal(index, r.blindIndex(person))
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("read person: %w", err)
	}
	return changes, nil
}

// LinesOfAccount returns the lines of a customer account, by line id. An
// account without lines has none: that is no error.
func (r *Register) LinesOfAccount(ctx context.Context, account string) ([]Line, error) {
	if account == "" {
		return nil, nil
	}
	return r.lines(ctx, "account_id = {value:String}", account)
}

// Line returns one line, or [ErrUnknownLine].
func (r *Register) Line(ctx context.Context, lineID string) (Line, error) {
	lines, err := r.lines(ctx, "line_id = {value:String}", lineID)
	if err != nil {
		return Line{}, err
	}
	if len(lines) == 0 {
		return Line{}, ErrUnknownLine
	}
	return lines[0], nil
}

// LineOfAccount returns the line if it is the account's, else [ErrUnknownLine].
func (r *Register) LineOfAccount(ctx context.Context, account, lineID string) (Line, error) {
	line, err := r.Line(ctx, lineID)
	if err != nil {
		return Line{}, err
	}
	if account == "" || line.AccountID != account {
		return Line{}, ErrUnknownLine
	}
	return line, nil
}

func (r *Register) lines(ctx context.Context, where, value string) ([]Line, error) {
	rows, err := r.conn.Query(ctx, `SELECT `+lineColumns+` FROM register.line FINAL WHERE `+where+` ORDER BY line_id`, named("value", value))
	if err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	defer rows.Close()
	var lines []Line
	for rows.Next() {
		var l Line
		var day uint8
		if err := rows.Scan(&l.LineID, &l.AccountID, &l.TimeZone, &day, &l.ContractStart, &l.ContractEnd); err != nil {
			return nil, fmt.Errorf("read lines: %w", err)
		}
		l.BillingDay = int(day)
		lines = append(lines, l)
	}
	return lines, rows.Err()
}

// RefsOfLine returns the pseudonyms that a line had at any time in [start, end).
func (r *Register) RefsOfLine(ctx context.Context, lineID string, start, end time.Time) ([]Held, error) {
	return r.held(ctx, `line_id = {line:String} AND valid_from < {end:DateTime64(3)} AND valid_to > {start:DateTime64(3)}`,
		named("line", lineID), at("start", start), at("end", end))
}

// LinesOfRefs returns which lines the pseudonyms belonged to during any part of
// [start, end]. Several refs may be one line's; a ref without a line is absent.
func (r *Register) LinesOfRefs(ctx context.Context, refs []schema.AccessRef, start, end time.Time) ([]Held, error) {
	hexes := make([]string, len(refs))
	for i, ref := range refs {
		hexes[i] = ref.String()
	}
	return r.held(ctx, `access_ref IN (SELECT toFixedString(unhex(arrayJoin({refs:Array(String)})), 16))
		AND valid_from <= {end:DateTime64(3)} AND valid_to > {start:DateTime64(3)}`,
		named("refs", hexes), at("start", start), at("end", end))
}

func (r *Register) held(ctx context.Context, where string, args ...any) ([]Held, error) {
	rows, err := r.conn.Query(ctx, `SELECT line_id, access_ref, valid_from, valid_to FROM register.line_access FINAL WHERE `+where+
		` ORDER BY line_id, valid_from`, args...)
	if err != nil {
		return nil, fmt.Errorf("read line access: %w", err)
	}
	defer rows.Close()
	var held []Held
	for rows.Next() {
		var h Held
		var ref string
		if err := rows.Scan(&h.LineID, &ref, &h.ValidFrom, &h.ValidTo); err != nil {
			return nil, fmt.Errorf("read line access: %w", err)
		}
		copy(h.Ref[:], ref)
		held = append(held, h)
	}
	return held, rows.Err()
}
