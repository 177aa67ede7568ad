package register

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"griffier/api/keystore"
	"griffier/schema"
)

// earliestHeld is before every row that the traffic store can have.
var earliestHeld = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Token names a line to whoever has the line's id and this register's key, within
// one act: tokens of two acts on one line cannot be told to be of the same line.
func (r *Register) Token(act, lineID string) string {
	return hex.EncodeToString(r.blind("line|"+act, lineID))
}

// FindToken returns the line that a token of an act names, or [ErrUnknownLine]. It
// goes through all lines: a million take about two seconds.
func (r *Register) FindToken(ctx context.Context, act, token string) (string, error) {
	want, err := hex.DecodeString(token)
	if err != nil {
		return "", fmt.Errorf("find line: %w", err)
	}
	line := ""
	err = r.eachLine(ctx, func(id string) bool {
		if hmac.Equal(r.blind("line|"+act, id), want) {
			line = id
		}
		return line == ""
	})
	if err != nil {
		return "", fmt.Errorf("find line: %w", err)
	}
	if line == "" {
		return "", ErrUnknownLine
	}
	return line, nil
}

// eachLine calls each with every line of which the register has anything, until it
// returns false.
func (r *Register) eachLine(ctx context.Context, each func(lineID string) bool) error {
	rows, err := r.conn.Query(ctx, `SELECT DISTINCT line_id FROM
		(SELECT line_id FROM register.line UNION ALL SELECT line_id FROM register.line_access UNION ALL SELECT line_id FROM register.person)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if !each(id) {
			return nil
		}
	}
	return rows.Err()
}

// Forgotten returns the lines whose person has a key and of which the register has
// nothing: it is older than the key, or the key came back after an erasure, with a copy
// of the keys. It reads every key: a million take a minute.
func (r *Register) Forgotten(ctx context.Context) ([]string, error) {
	keys, err := r.vault.List()
	if err != nil {
		return nil, fmt.Errorf("find persons: %w", err)
	}
	known := map[string]bool{}
	if err := r.eachLine(ctx, func(id string) bool { known[personKey(id)] = true; return true }); err != nil {
		return nil, fmt.Errorf("find persons: %w", err)
	}
	var out []string
	for _, key := range keys {
		if line, ok := strings.CutPrefix(key, personKey("")); ok && !known[key] {
			out = append(out, line)
		}
	}
	return out, nil
}

// ErasureOf returns what to erase of a line's traffic by an erasure at an instant:
// each reference from when the line before gave it up until the line after got it,
// so that what a modem did shortly before or after its contract goes too, and
// nothing of anybody else.
func (r *Register) ErasureOf(ctx context.Context, lineID string, at time.Time) ([]schema.Tombstone, error) {
	mine, err := r.RefsOfLine(ctx, lineID, earliestHeld, schema.Forever)
	if err != nil {
		return nil, err
	}
	refs := make([]schema.AccessRef, 0, len(mine))
	for _, h := range mine {
		if !slices.Contains(refs, h.Ref) {
			refs = append(refs, h.Ref)
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	all, err := r.LinesOfRefs(ctx, refs, earliestHeld, schema.Forever)
	if err != nil {
		return nil, err
	}
	var out []schema.Tombstone
	for _, h := range mine {
		from, until := earliestHeld, at
		for _, o := range all {
			if o.LineID == lineID || o.Ref != h.Ref {
				continue
			}
			if o.ValidFrom.Before(h.ValidFrom) && o.ValidTo.After(from) {
				from = o.ValidTo
			}
			if !o.ValidFrom.Before(h.ValidFrom) && o.ValidFrom.Before(until) {
				until = o.ValidFrom
			}
		}
		if from.After(h.ValidFrom) { // two lines at once: what the register says is this line's is erased
			from = h.ValidFrom
		}
		if until.Before(h.ValidTo) && h.ValidTo.Before(at) {
			until = h.ValidTo
		}
		if from.Before(until) {
			out = append(out, schema.Tombstone{Ref: h.Ref, HeldFrom: from.UTC(), HeldUntil: until.UTC()})
		}
	}
	return out, nil
}

// Erase destroys the key of a line's person and removes the line from the register.
// The line id cannot be used again. To repeat it changes nothing.
func (r *Register) Erase(ctx context.Context, lineID string) error {
	key := personKey(lineID)
	// A key that is missing is made to be destroyed: a backup of the keys may have it.
	if err := r.vault.Ensure(key); err != nil && !errors.Is(err, keystore.ErrShredded) {
		return fmt.Errorf("erase person: %w", err)
	}
	if err := r.vault.Shred(key); err != nil {
		return fmt.Errorf("erase person: %w", err)
	}
	if err := r.forgetStaff(ctx, lineID); err != nil {
		return err
	}
	return schema.EraseLine(ctx, r.conn, lineID)
}

// Restrict has a line's data kept and not used, or used again: by whom, see
// register.restriction. ErrUnknownLine if there is no such line.
func (r *Register) Restrict(ctx context.Context, lineID, ground string, restricted bool, since time.Time) error {
	if _, err := r.Line(ctx, lineID); err != nil {
		return err
	}
	version, err := r.version(ctx, "register.restriction", "line_id = {line:String}", named("line", lineID))
	if err != nil {
		return err
	}
	return r.insert(ctx, "register.restriction (line_id, restricted, ground, since, version)", []any{lineID, restricted, ground, since.UTC(), version})
}

// RestrictedLines returns all lines whose data may not be used.
func (r *Register) RestrictedLines(ctx context.Context) (lines []string, err error) {
	if err := r.conn.QueryRow(ctx, `SELECT groupArray(line_id) FROM register.restriction FINAL WHERE restricted`).Scan(&lines); err != nil {
		return nil, fmt.Errorf("read restrictions: %w", err)
	}
	return lines, nil
}

// Restricted reports whether a line's data may not be used.
func (r *Register) Restricted(ctx context.Context, lineID string) (bool, error) {
	var n uint64
	err := r.conn.QueryRow(ctx, `SELECT count() FROM register.restriction FINAL WHERE line_id = {line:String} AND restricted`, named("line", lineID)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read restriction: %w", err)
	}
	return n > 0, nil
}
