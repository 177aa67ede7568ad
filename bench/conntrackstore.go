package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/collector/cgnat"
	"griffier/schema"
)

const (
	translationRows      = 1_000_000 // a day of short flows over 16 public addresses
	translationAddresses = 16
	translationLookups   = 200
)

// conntrackStore measures what rows of single ports take on disk and to find: who
// had this port of this address at this instant, as a task asks it. The floor is
// the same question of a table without any other row of that address.
func conntrackStore(emit func(result)) error {
	return withStore(func(ctx context.Context, conn driver.Conn) error {
		p, err := schema.NewPseudonymiser(make([]byte, schema.KeyLength))
		if err != nil {
			return err
		}
		table := cgnat.NewTable(cgnat.TableConfig{CollectorID: "edge1", Pseudonymiser: p, Linger: time.Nanosecond})
		day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
		random := rand.New(rand.NewPCG(1, 2))
		var asked []cgnat.Event
		step := 20 * time.Hour / translationRows
		for i := range translationRows {
			at := day.Add(time.Duration(i) * step)
			e := cgnat.Event{Kind: cgnat.New, Protocol: []uint8{6, 17}[random.IntN(2)], Port: uint16(1024 + random.IntN(64000)), ID: uint32(i), At: at.UnixNano(),
				Inside:  netip.AddrFrom4([4]byte{100, 64, byte(random.IntN(8)), byte(random.IntN(256))}),
				Outside: netip.AddrFrom4([4]byte{203, 0, 113, byte(random.IntN(translationAddresses))})}
			table.Apply(&e, at)
			if i%(translationRows/translationLookups) == 0 {
				asked = append(asked, e)
			}
			e.Kind, e.At = cgnat.Destroy, at.Add(time.Duration(5+random.IntN(120))*time.Second).UnixNano()
			table.Apply(&e, at)
			if i%50_000 == 49_999 {
				if err := schema.Insert(ctx, conn, "translation-"+strconv.Itoa(i), table.Records(at.Add(time.Hour), false)); err != nil {
					return err
				}
			}
		}
		if err := conn.Exec(ctx, "OPTIMIZE TABLE traffic.assignment_slice FINAL"); err != nil {
			return err
		}
		var rows, bytes uint64
		if err := conn.QueryRow(ctx, "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'traffic' AND table = 'assignment_slice'").Scan(&rows, &bytes); err != nil {
			return err
		}
		emit(result{Name: "conntrack/stored", Value: float64(bytes) / float64(rows), Unit: fmt.Sprintf("B/row on disk of %d", rows)})
		var took, floor []time.Duration
		for _, e := range asked {
			for _, x := range []struct {
				address netip.Addr
				into    *[]time.Duration
				want    bool
			}{{e.Outside, &took, true}, {netip.MustParseAddr("203.0.113.200"), &floor, false}} {
				start := time.Now()
				found, err := whoHadPort(ctx, conn, x.address, e)
				if err != nil {
					return err
				}
				*x.into = append(*x.into, time.Since(start))
				if found > 0 != x.want {
					return fmt.Errorf("%d rows for a port that was in use: %t", found, x.want)
				}
			}
		}
		for _, q := range []float64{0.5, 0.99} {
			ours, none := quantile(took, q), quantile(floor, q)
			emit(result{fmt.Sprintf("conntrack/lookup_p%g", q*100), ours, "ms", "address without rows", none, ours / none})
		}
		return nil
	})
}

func whoHadPort(ctx context.Context, conn driver.Conn, address netip.Addr, e cgnat.Event) (n uint64, err error) {
	at := time.Unix(0, e.At)
	err = conn.QueryRow(ctx, `SELECT count() FROM traffic.assignment WHERE prefix_address = toIPv6({address:String})
		AND started_at >= {since:DateTime64(3)} AND started_at <= {at:DateTime64(3)} AND ended_at >= {at:DateTime64(3)}
		AND port_start <= {port:UInt16} AND port_end >= {port:UInt16} AND protocol IN (0, {protocol:UInt8})`,
		clickhouse.Named("address", address.String()), clickhouse.Named("port", e.Port), clickhouse.Named("protocol", e.Protocol),
		clickhouse.DateNamed("since", at.Add(-24*time.Hour).UTC(), clickhouse.MilliSeconds), clickhouse.DateNamed("at", at.Add(time.Millisecond).UTC(), clickhouse.MilliSeconds)).Scan(&n)
	return n, err
}
