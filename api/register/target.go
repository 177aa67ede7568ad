package register

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"

	"griffier/schema"
)

// LinesOfIdentifier returns which lines had an access identifier during any part of
// [start, end]. Of [schema.IdentMAC] the value may be a bare MAC address, which finds
// whatever port and VLAN the equipment was on.
func (r *Register) LinesOfIdentifier(ctx context.Context, id schema.Identifier, start, end time.Time) ([]Held, error) {
	return r.LinesOfRefs(ctx, []schema.AccessRef{r.pseudonyms.Ref(id)}, start, end)
}

// equipment returns the bare MAC address of an identifier that has one: that of a
// port and VLAN, or a DHCP client id of hardware type 1 (RFC 2132 §9.14).
func equipment(id schema.Identifier) (schema.Identifier, bool) {
	value := id.Value[strings.LastIndex(id.Value, "/")+1:]
	switch id.Kind {
	case schema.IdentMAC:
		mac, err := net.ParseMAC(value)
		return schema.Identifier{Kind: schema.IdentMAC, Value: mac.String()}, err == nil && len(mac) == 6 && value != id.Value
	case schema.IdentClientID:
		b, err := hex.DecodeString(value)
		if err != nil || len(b) != 7 || b[0] != 1 {
			return schema.Identifier{}, false
		}
		return schema.Identifier{Kind: schema.IdentMAC, Value: net.HardwareAddr(b[1:]).String()}, true
	}
	return schema.Identifier{}, false
}

// withEquipment adds, to the identifiers of a line, the bare MAC addresses among
// them. No traffic has such a pseudonym; only an order that names the equipment finds
// the line by it.
func withEquipment(identifiers []Identifier) []Identifier {
	out := identifiers[:len(identifiers):len(identifiers)]
	for _, id := range identifiers {
		bare, ok := equipment(id.Identifier)
		if !ok {
			continue
		}
		added := false
		for i := len(identifiers); i < len(out); i++ { // the same on two VLANs: as long as on either
			if out[i].Identifier == bare && out[i].ValidFrom.Equal(id.ValidFrom) {
				added = true
				if id.ValidTo.After(out[i].ValidTo) {
					out[i].ValidTo = id.ValidTo
				}
			}
		}
		if !added {
			out = append(out, Identifier{bare, id.ValidFrom, id.ValidTo})
		}
	}
	return out
}

// Sought is whom an order names: a person by the whole name, an installation address
// by postcode and house number, or both. There is no part of either to search by.
type Sought struct {
	Name        string // empty: whoever
	Country     string // ISO 3166-1 alpha-2
	Postcode    string
	HouseNumber string // with its addition
}

// LinesOfSought returns the lines whose subscribers are exactly those that are sought,
// by the blind index, in order, at most limit. Of somebody who was erased there is
// nothing. Only the disclosure executor may call it.
func (r *Register) LinesOfSought(ctx context.Context, s Sought, limit int) ([]string, error) {
	keys := []string{hex.EncodeToString(r.blind("place", placeOf(PostalAddress{Country: s.Country, Postcode: s.Postcode, HouseNumber: s.HouseNumber})))}
	if s.Name != "" {
		keys = append(keys, hex.EncodeToString(r.blind("name", Normalise(s.Name))))
	}
	rows, err := r.conn.Query(ctx, `SELECT line_id FROM register.person FINAL
		WHERE hasAll(blind_index, arrayMap(k -> unhex(k), {keys:Array(String)})) ORDER BY line_id LIMIT {limit:UInt32}`,
		named("keys", keys), named("limit", uint32(limit)))
	if err != nil {
		return nil, fmt.Errorf("find lines: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, fmt.Errorf("find lines: %w", err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find lines: %w", err)
	}
	return out, nil
}

// RangesIn returns the ranges that were valid at any time in [start, end], ours and
// those of others, the longest prefix first.
func (r *Register) RangesIn(ctx context.Context, start, end time.Time) ([]Range, error) {
	return r.ranges(ctx, "", start, end)
}
