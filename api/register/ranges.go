package register

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
	"griffier/schema/cgnat"
)

// PutRange records a prefix. A repetition changes nothing.
func (r *Register) PutRange(ctx context.Context, rg Range) error {
	address, bits := schema.PrefixColumns(rg.Prefix)
	version, err := r.version(ctx, "register.range", "prefix_address = toIPv6({address:String}) AND prefix_length = {bits:UInt8}",
		named("address", address.String()), named("bits", bits))
	if err != nil {
		return err
	}
	inside, insideBits := netip.IPv6Unspecified(), uint8(0)
	if rg.Translation.Algorithm != cgnat.None {
		inside, insideBits = schema.PrefixColumns(rg.Translation.Inside)
	}
	return r.insert(ctx, "register.range (prefix_address, prefix_length, provider, collector_ids, translation, inside_prefix_address, "+
		"inside_prefix_length, first_port, ports_per_subscriber, valid_from, valid_to, version)",
		[]any{address, bits, rg.Provider, rg.CollectorIDs, uint8(rg.Translation.Algorithm), inside, insideBits, rg.Translation.FirstPort,
			rg.Translation.PortsPerSubscriber, rg.ValidFrom, rg.ValidTo, version})
}

// RangesOf returns the ranges that hold addr at any time in [start, end], the
// longest prefix first. None means that the address is not one of ours.
func (r *Register) RangesOf(ctx context.Context, addr netip.Addr, start, end time.Time) ([]Range, error) {
	ranges, err := r.ranges(ctx, "toIPv6({address:String}) BETWEEN IPv6CIDRToRange(prefix_address, prefix_length).1 AND IPv6CIDRToRange(prefix_address, prefix_length).2 AND ",
		start, end, named("address", netip.AddrFrom16(addr.As16()).String()))
	// IPv4 is stored v4-mapped, which ::/0 is not to hold.
	return slices.DeleteFunc(ranges, func(rg Range) bool { return !rg.Prefix.Contains(addr.Unmap()) }), err
}

func (r *Register) ranges(ctx context.Context, where string, start, end time.Time, args ...any) ([]Range, error) {
	rows, err := r.conn.Query(ctx, `SELECT prefix_address, prefix_length, provider, collector_ids, translation,
			inside_prefix_address, inside_prefix_length, first_port, ports_per_subscriber, valid_from, valid_to
		FROM register.range FINAL
		WHERE `+where+`valid_from <= {end:DateTime64(3)} AND valid_to > {start:DateTime64(3)}
		ORDER BY prefix_length DESC, valid_from`, append(args, at("start", start), at("end", end))...)
	if err != nil {
		return nil, fmt.Errorf("read ranges: %w", err)
	}
	defer rows.Close()
	var ranges []Range
	for rows.Next() {
		var rg Range
		var address, inside netip.Addr
		var bits, insideBits, algorithm uint8
		err := rows.Scan(&address, &bits, &rg.Provider, &rg.CollectorIDs, &algorithm, &inside, &insideBits, &rg.Translation.FirstPort,
			&rg.Translation.PortsPerSubscriber, &rg.ValidFrom, &rg.ValidTo)
		if err != nil {
			return nil, fmt.Errorf("read ranges: %w", err)
		}
		if rg.Prefix, err = schema.PrefixFromColumns(address, bits); err != nil {
			return nil, fmt.Errorf("read ranges: %w", err)
		}
		if rg.Translation.Algorithm = cgnat.Algorithm(algorithm); algorithm != 0 {
			rg.Translation.Outside = rg.Prefix
			if rg.Translation.Inside, err = schema.PrefixFromColumns(inside, insideBits); err != nil {
				return nil, fmt.Errorf("read ranges: %w", err)
			}
		}
		ranges = append(ranges, rg)
	}
	return ranges, rows.Err()
}
