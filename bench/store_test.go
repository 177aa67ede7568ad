package main

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// awayFromMidnight waits for UTC midnight to pass if it is near: what is filled and
// what is asked count their days from it.
func awayFromMidnight() {
	if left := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)); left < 3*time.Minute {
		time.Sleep(left + time.Second)
	}
}

// TestStoreAnswersWhatWasFilled runs the questions of the bench store on a small
// one: each of them fails if its answer is not the generator's.
func TestStoreAnswersWhatWasFilled(t *testing.T) {
	awayFromMidnight()
	defer func(questions, warmUp int) { storeQuestions, storeWarmUp = questions, warmUp }(storeQuestions, storeWarmUp)
	storeQuestions, storeWarmUp = 50, 2
	figures := map[string]float64{}
	emit := func(r result) { figures[r.Name] = r.Value }
	err := withStore(func(ctx context.Context, conn driver.Conn) error {
		addresses, usage := assignmentFill(1e5), usageFill(1e6)
		if err := addresses.fill(ctx, conn); err != nil {
			return err
		}
		if err := whoHeld(ctx, conn, addresses, 1e5, emit); err != nil {
			return err
		}
		if err := addressesOfLine(ctx, conn, addresses, emit); err != nil {
			return err
		}
		if err := dropDay(ctx, conn, addresses, emit); err != nil {
			return err
		}
		if err := usage.fill(ctx, conn); err != nil {
			return err
		}
		return monthOfLine(ctx, conn, usage, emit)
	})
	if err != nil {
		t.Fatal(err)
	}
	// Sizes are the same on any machine, but small parts have more beside their rows.
	if got := figures["store/usage_bytes_"+scaleName(storeScale)]; got == 0 || got > 8 {
		t.Errorf("usage takes %.1f bytes a row on disk, want at most 8", got)
	}
}

// TestSoak soaks for seconds: no row is lost or doubled, nothing fails.
func TestSoak(t *testing.T) {
	defer func(length time.Duration) { soakLength = length }(soakLength)
	soakLength = 6 * time.Second
	figures := map[string]float64{}
	if err := benchSoak(func(r result) { figures[r.Name] = r.Value }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"soak/rows", "soak/questions", "soak/given_up", "soak/resident", "soak/open_files", "soak/parts"} {
		if figures[name] == 0 {
			t.Errorf("%s is nothing", name)
		}
	}
}

// TestPartsOfADayAreItsRows fills one day in one part and in three, which must be
// the same rows.
func TestPartsOfADayAreItsRows(t *testing.T) {
	awayFromMidnight()
	err := withStore(func(ctx context.Context, conn driver.Conn) error {
		for _, f := range []storeFill{assignmentFill(1e5), usageFill(1e6)} {
			var sums [2]uint64
			for i, parts := range []int{1, 3} {
				if err := conn.Exec(ctx, "TRUNCATE TABLE "+f.table); err != nil {
					return err
				}
				for part := range parts {
					if err := conn.Exec(ctx, f.sql(f.lines, 7, part, parts)); err != nil {
						return err
					}
				}
				columns := "* EXCEPT (version)"
				if f.table == "traffic.usage_bucket" {
					columns = "*"
				}
				if err := conn.QueryRow(ctx, "SELECT sum(cityHash64("+columns+")) FROM "+f.table).Scan(&sums[i]); err != nil {
					return err
				}
			}
			if sums[0] != sums[1] {
				t.Errorf("%s: three parts are not the one", f.table)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
