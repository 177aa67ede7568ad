package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Limit is how far back a class can be read.
type Limit struct {
	Policy  Policy
	Present bool // false: the class has no policy, and nothing of it can be read
	// ReadableFrom is such that every row that ended at or before it cannot be
	// read: it has expired under the policy in force or under an earlier one, or
	// left with its day ([DropDay]).
	ReadableFrom time.Time
	// ExpiredThrough is such that every row that ended at or before it was made
	// unreadable for good, at ExpiredAt or earlier, whatever the policy in force says.
	// Zero: nothing was.
	ExpiredThrough, ExpiredAt time.Time
}

// Limits returns the limit of every class at now, which is the store's own time
// ([Now]).
func Limits(ctx context.Context, conn driver.Conn) (limits map[Class]Limit, now time.Time, err error) {
	if now, err = Now(ctx, conn); err != nil {
		return nil, now, err
	}
	stored, err := readStoredPolicies(ctx, conn)
	if err != nil {
		return nil, now, err
	}
	expiredAt, err := readExpiredAt(ctx, conn)
	if err != nil {
		return nil, now, err
	}
	limits = make(map[Class]Limit)
	for _, class := range Classes {
		p := stored[class]
		l := Limit{Policy: p.Policy, Present: p.present, ReadableFrom: now}
		l.Policy.Class = class
		if p.expiredThrough.After(time.Unix(0, 0)) {
			l.ExpiredThrough, l.ExpiredAt = p.expiredThrough.UTC(), expiredAt[class]
		}
		if p.present {
			if l.ReadableFrom, err = p.ReadableFrom(now); err != nil {
				return nil, now, err
			}
			if p.expiredThrough.After(l.ReadableFrom) {
				l.ReadableFrom = p.expiredThrough.UTC()
			}
		}
		limits[class] = l
	}
	return limits, now, nil
}

// readExpiredAt returns when each class's newest expired_through was first written.
func readExpiredAt(ctx context.Context, conn driver.Conn) (map[Class]time.Time, error) {
	rows, err := conn.Query(ctx, `
SELECT class, min(written_at)
FROM traffic.gate
WHERE class != '' AND (class, expired_through) IN (SELECT class, max(expired_through) FROM traffic.gate GROUP BY class)
GROUP BY class`)
	if err != nil {
		return nil, fmt.Errorf("read retention policy: %w", err)
	}
	defer rows.Close()
	at := make(map[Class]time.Time)
	for rows.Next() {
		var class string
		var written time.Time
		if err := rows.Scan(&class, &written); err != nil {
			return nil, fmt.Errorf("read retention policy: %w", err)
		}
		at[Class(class)] = written.UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read retention policy: %w", err)
	}
	return at, nil
}
