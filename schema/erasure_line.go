package schema

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// registerTables hold rows of a line. The person goes first and the line last, so
// that whoever was stopped half-way still finds what to go on with.
var registerTables = []string{"register.person", "register.restriction", "register.line_access", "register.line"}

// EraseLine removes a line from the register: its person, references, restriction
// and itself, in every version, from the parts in use. To repeat it changes nothing.
func EraseLine(ctx context.Context, conn driver.Conn, lineID string) error {
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return fmt.Errorf("erase line: %w", err)
	}
	// The store keeps the text of such a statement for a while, so it must not name
	// the line.
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	key := fmt.Sprintf("(toUInt64(%d), toUInt64(%d))", binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:]))
	var hash string
	if err := conn.QueryRow(ctx, "SELECT hex(sipHash128Keyed("+key+", ?))", lineID).Scan(&hash); err != nil {
		return fmt.Errorf("erase line: %w", err)
	}
	what := "DELETE WHERE sipHash128Keyed(" + key + ", line_id) = toFixedString(unhex('" + hash + "'), 16) SETTINGS mutations_sync = 2"
	for _, table := range registerTables {
		if err := conn.Exec(ctx, cluster.Alter(table, what)); err != nil {
			return fmt.Errorf("erase line: %w", spaceError(err))
		}
	}
	return nil
}

// ReplacedParts names the parts of the traffic tables and the register that were
// replaced or dropped and are not unlinked yet. A name is never used again.
func ReplacedParts(ctx context.Context, conn driver.Conn) (map[string]bool, error) {
	rows, err := conn.Query(ctx, "SELECT concat(database, '.', table, '/', name) FROM system.parts WHERE NOT active AND rows > 0 AND database IN ('traffic', 'register')")
	if err != nil {
		return nil, fmt.Errorf("erase: replaced parts: %w", err)
	}
	defer rows.Close()
	out := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("erase: replaced parts: %w", err)
		}
		out[name] = true
	}
	return out, rows.Err()
}
