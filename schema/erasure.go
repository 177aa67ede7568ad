package schema

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Tombstone says that what a subject did from HeldFrom until HeldUntil, by when
// it started, was erased: no view shows it, and no row of it that comes late ever
// appears. A subject is a reference or, where a translator named the subscriber by
// it, an inside address. The store keeps only a hash of it, which leads from a row
// to its tombstone and not back.
type Tombstone struct {
	Ref                 AccessRef
	Inside              netip.Addr // set instead of Ref
	HeldFrom, HeldUntil time.Time
}

// erasureTables are the tables with rows of subjects, with what a row's subject and
// start are.
var erasureTables = []struct {
	class          Class
	subject, start string
}{
	{ClassSession, "sipHash128(access_ref, toIPv6('::'))", "started_at"},
	{ClassAssignment, "sipHash128(access_ref, inside_address)", "started_at"},
	{ClassUsage5m, "sipHash128(access_ref, toIPv6('::'))", "bucket_started_at"},
	{ClassUsageDay, "sipHash128(access_ref, toIPv6('::'))", "started_at"},
}

// PutTombstones makes what they name unreadable. It returns when that is durable;
// to repeat it changes nothing.
func PutTombstones(ctx context.Context, conn driver.Conn, tombstones []Tombstone) error {
	for _, t := range tombstones {
		inside := netip.IPv6Unspecified()
		if t.Inside.IsValid() {
			inside = netip.AddrFrom16(t.Inside.As16())
		}
		err := conn.Exec(ctx, `INSERT INTO traffic.gate (subject, held_from, held_until)
SELECT sipHash128(toFixedString(unhex(?), 16), toIPv6(?)), fromUnixTimestamp64Milli(?, 'UTC'), fromUnixTimestamp64Milli(?, 'UTC')`,
			t.Ref.String(), inside.String(), t.HeldFrom.UnixMilli(), t.HeldUntil.UnixMilli())
		if err != nil {
			return fmt.Errorf("erase: tombstones: %w", spaceError(err))
		}
	}
	return nil
}

// InsideHeld returns tombstones of the inside addresses that the references held,
// each for when: a translator's rows name the subscriber by address only. An
// address within a wider prefix is found by its rows.
func InsideHeld(ctx context.Context, conn driver.Conn, refs []Tombstone) ([]Tombstone, error) {
	var out []Tombstone
	for _, r := range refs {
		// Slices are a day at most, and a late row is of the slice's own day.
		rows, err := conn.Query(ctx, `
SELECT inside_address, min(h.s), max(h.e)
FROM
(
    SELECT IPv6CIDRToRange(prefix_address, prefix_length).1 AS low, IPv6CIDRToRange(prefix_address, prefix_length).2 AS high, started_at AS s, ended_at AS e
    FROM traffic.assignment
    WHERE access_ref = toFixedString(unhex(?), 16) AND started_at >= fromUnixTimestamp64Milli(?, 'UTC') AND started_at < fromUnixTimestamp64Milli(?, 'UTC')
) AS h
INNER JOIN
(
    SELECT DISTINCT inside_address, toStartOfHour(started_at) AS hour
    FROM traffic.assignment
    WHERE inside_address != toIPv6('::') AND started_at >= fromUnixTimestamp64Milli(?, 'UTC') AND started_at < fromUnixTimestamp64Milli(?, 'UTC')
) AS t ON 1 = 1
WHERE inside_address BETWEEN h.low AND h.high AND t.hour >= toStartOfHour(h.s) AND t.hour <= h.e
GROUP BY inside_address, h.s
ORDER BY inside_address, h.s`, r.Ref.String(), r.HeldFrom.UnixMilli(), r.HeldUntil.UnixMilli(), r.HeldFrom.UnixMilli(), r.HeldUntil.UnixMilli())
		if err != nil {
			return nil, fmt.Errorf("erase: inside addresses: %w", err)
		}
		for rows.Next() {
			var t Tombstone
			if err := rows.Scan(&t.Inside, &t.HeldFrom, &t.HeldUntil); err != nil {
				rows.Close()
				return nil, fmt.Errorf("erase: inside addresses: %w", err)
			}
			t.HeldFrom, t.HeldUntil = t.HeldFrom.UTC(), t.HeldUntil.UTC()
			// A lease of months is a slice a day, and one tombstone: each costs every look-up 5 µs.
			if n := len(out); n > 0 && out[n-1].Inside == t.Inside && !t.HeldFrom.After(out[n-1].HeldUntil) {
				if t.HeldUntil.After(out[n-1].HeldUntil) {
					out[n-1].HeldUntil = t.HeldUntil
				}
				continue
			}
			out = append(out, t)
		}
		err = rows.Err()
		rows.Close()
		if err != nil {
			return nil, fmt.Errorf("erase: inside addresses: %w", err)
		}
	}
	return out, nil
}

// maxTombstonesAtOnce keeps one statement well below the engine's limit of text.
const maxTombstonesAtOnce = 500

// RewriteErased takes the rows of all tombstones off the disk: it rewrites the
// parts that hold any, and links the others. When it returns no part in use holds
// one; what it replaced is unlinked minutes later ([ReplacedParts] lists it until
// then). The statements, which the store keeps for a while, hold hashes only.
func RewriteErased(ctx context.Context, conn driver.Conn) error {
	stones, err := readTombstones(ctx, conn)
	if err != nil {
		return err
	}
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	const settings = " SETTINGS mutations_sync = 2"
	for ; len(stones) > 0; stones = stones[min(len(stones), maxTombstonesAtOnce):] {
		batch := stones[:min(len(stones), maxTombstonesAtOnce)]
		subjects := make([]string, len(batch))
		triples := make([]string, len(batch))
		for i, s := range batch {
			subjects[i] = "unhex('" + s.subject + "')"
			triples[i] = fmt.Sprintf("(toFixedString(unhex('%s'), 16), fromUnixTimestamp64Milli(toInt64(%d), 'UTC'), fromUnixTimestamp64Milli(toInt64(%d), 'UTC'))",
				s.subject, s.from.UnixMilli(), s.until.UnixMilli())
		}
		in, list := "("+strings.Join(subjects, ", ")+")", "["+strings.Join(triples, ", ")+"]"
		for _, t := range erasureTables {
			what := fmt.Sprintf("DELETE WHERE arrayExists(t -> tupleElement(t, 1) = %s AND %s >= tupleElement(t, 2) AND %s < tupleElement(t, 3), if(%s IN %s, %s, []))",
				t.subject, t.start, t.start, t.subject, in, list)
			if err := conn.Exec(ctx, cluster.Alter(tables[t.class], what)+settings); err != nil {
				return fmt.Errorf("erase: rewrite class %s: %w", t.class, spaceError(err))
			}
		}
		of := "arrayExists(r -> sipHash128(r, toIPv6('::')) IN " + in + ", access_refs)"
		what := "UPDATE access_refs = arrayFilter(r -> NOT sipHash128(r, toIPv6('::')) IN " + in + ", access_refs) WHERE " + of
		if err := conn.Exec(ctx, cluster.Alter(tables[ClassAccessLog], what)+settings); err != nil {
			return fmt.Errorf("erase: rewrite class %s: %w", ClassAccessLog, spaceError(err))
		}
	}
	return nil
}

type storedTombstone struct {
	subject     string // hexadecimal
	from, until time.Time
}

func readTombstones(ctx context.Context, conn driver.Conn) ([]storedTombstone, error) {
	rows, err := conn.Query(ctx, "SELECT hex(subject), held_from, held_until FROM traffic.gate FINAL WHERE held_from < held_until ORDER BY subject, held_from")
	if err != nil {
		return nil, fmt.Errorf("erase: tombstones: %w", err)
	}
	defer rows.Close()
	var out []storedTombstone
	for rows.Next() {
		var t storedTombstone
		if err := rows.Scan(&t.subject, &t.from, &t.until); err != nil {
			return nil, fmt.Errorf("erase: tombstones: %w", err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// PruneTombstones removes those that no row can be under any more, because every
// class has expired all that started before their end. It reports how many are left.
func PruneTombstones(ctx context.Context, conn driver.Conn) (left int, err error) {
	limits, now, err := Limits(ctx, conn)
	if err != nil {
		return 0, err
	}
	oldest := now
	for _, limit := range limits {
		if limit.Present && limit.ReadableFrom.Before(oldest) {
			oldest = limit.ReadableFrom
		}
	}
	// A slice that started within the interval ends a day later at most, and a day's
	// partition leaves within another.
	before := oldest.Add(-longestDay - DropWithin)
	stones, err := readTombstones(ctx, conn)
	if err != nil {
		return 0, err
	}
	for _, s := range stones {
		if !s.until.Before(before) {
			left++
		}
	}
	if left == len(stones) {
		return left, nil
	}
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return 0, fmt.Errorf("erase: %w", err)
	}
	what := fmt.Sprintf("DELETE WHERE held_from < held_until AND held_until < fromUnixTimestamp64Milli(toInt64(%d), 'UTC') SETTINGS mutations_sync = 2", before.UnixMilli())
	if err := conn.Exec(ctx, cluster.Alter("traffic.gate", what)); err != nil {
		return 0, fmt.Errorf("erase: prune tombstones: %w", spaceError(err))
	}
	return left, nil
}

// ErasedRows counts, per class, stored rows under tombstones, readable or not: what
// [RewriteErased] has still to do, and what came late since.
func ErasedRows(ctx context.Context, conn driver.Conn) (map[Class]uint64, error) {
	out := map[Class]uint64{}
	for _, t := range erasureTables {
		var n uint64
		query := fmt.Sprintf(`WITH (SELECT groupArray((subject, held_from, held_until)) FROM traffic.gate WHERE held_from < held_until) AS tombstones
SELECT count() FROM %s
WHERE arrayExists(t -> tupleElement(t, 1) = %s AND %s >= tupleElement(t, 2) AND %s < tupleElement(t, 3),
    if(%s IN (SELECT subject FROM traffic.gate WHERE held_from < held_until), tombstones, []))`, tables[t.class], t.subject, t.start, t.start, t.subject)
		if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
			return nil, fmt.Errorf("erase: count class %s: %w", t.class, err)
		}
		out[t.class] = n
	}
	return out, nil
}
