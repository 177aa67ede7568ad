package disclosure

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"griffier/api/disclosure/etsi"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Addressee is who asked and who answers: what response.xml and the letter say of
// that. The manifest has none of it but a hash of the reference.
type Addressee struct {
	Country     string // of the authority, ISO 3166-1 alpha-2
	Authority   string
	RequestedBy string
	Reference   string
	Provider    string
}

// responseOf returns what response.xml says. It follows from the manifest and the
// rows of records.csv alone, so that a verifier can ask whether they agree.
func responseOf(m Manifest, to Addressee, rows [][]string) (etsi.Response, error) {
	r := etsi.Response{CountryCode: to.Country, OrganisationID: to.Authority, RequestNumber: to.Reference, CSPID: to.Provider, At: m.QueriedAt.Round(0).UTC(), Status: statusOf(m)}
	first := map[string]string{
		"answer": string(m.Answer.Reason), "asked-target": m.Question.Address, "asked-instant": m.Question.InstantUTC.UTC().Format(time.RFC3339Nano),
		"port": number(m.Question.Port), "protocol": number(m.Question.Protocol),
		"uncertainty":  m.Question.IntervalFromUTC.UTC().Format(time.RFC3339Nano) + "/" + m.Question.IntervalToUTC.UTC().Format(time.RFC3339Nano),
		"neighbouring": m.Answer.Neighbours, "log-index": strconv.FormatUint(m.IntentIndex, 10), "disclaimer": m.Disclaimer,
	}
	var incomplete []string
	for _, why := range m.Answer.Incomplete {
		incomplete = append(incomplete, string(why))
	}
	first["incomplete"] = strings.Join(incomplete, " ")
	if len(m.Coverage) > 0 {
		first["coverage"] = "complete"
		if !wholly(m) {
			first["coverage"] = "incomplete"
		}
	}
	if m.Answer.Reason != reason.Match {
		first["record"], first["task-id"] = "CERTIFICATE", m.TaskID
		r.Records = []etsi.Record{{Other: etsi.Pairs(first)}}
		return r, nil
	}
	for _, row := range rows {
		records, err := recordsOf(m, row, first)
		if err != nil {
			return r, err
		}
		r.Records, first = append(r.Records, records...), nil
	}
	return r, nil
}

// wholly reports whether the manifest knows of nothing that could have hidden a record.
func wholly(m Manifest) bool {
	for _, c := range m.Coverage {
		if c.State != "covered" || !c.ClockSynced {
			return false
		}
	}
	return len(m.Answer.Incomplete) == 0
}

func statusOf(m Manifest) etsi.Status {
	switch m.Answer.Reason {
	case reason.Match:
		if !wholly(m) {
			return etsi.Incomplete
		}
		return etsi.Complete
	case reason.NoMatch, reason.NotOurRange, reason.OtherProvider, reason.Preserved:
		return etsi.Complete
	case reason.CoverageGap:
		return etsi.Incomplete
	case reason.RetentionElapsed, reason.DataNotHeld:
		return etsi.Unavailable
	}
	return etsi.Failed
}

// recordsOf returns the records of one row: what happened, and where the columns say
// so whose line it is. first is what only the first record says.
func recordsOf(m Manifest, row []string, first map[string]string) ([]etsi.Record, error) {
	other := map[string]string{"record": m.Category}
	for k, v := range first {
		other[k] = v
	}
	var usage etsi.Usage
	var subscriber etsi.Subscriber
	var lines splitColumns
	for i, name := range m.Columns {
		if err := place(name, row[i], &usage, &subscriber, &lines, other); err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
	}
	if lines.first != "" && (lines.first != "0" || lines.last != "65535") {
		other["range"] = lines.first + "-" + lines.last
	}
	if err := lines.volume(&usage, other); err != nil {
		return nil, err
	}
	role := ""
	if subscriber.Installation != (etsi.Address{}) {
		role = "installation"
	}
	if warrant.Category(m.Category) == warrant.Identity {
		other["address-role"] = role
		return []etsi.Record{{Subscriber: &subscriber, Other: etsi.Pairs(other)}}, nil
	}
	out := []etsi.Record{{Usage: &usage, Other: etsi.Pairs(other)}}
	if subscriber.Name != "" || role != "" {
		out = append(out, etsi.Record{Subscriber: &subscriber, Other: etsi.Pairs(map[string]string{
			"task-id": m.TaskID, "record": string(warrant.Identity), "address-role": role})})
	}
	return out, nil
}

// splitColumns are the columns of a row that only together are one thing.
type splitColumns struct{ first, last, direction, bytes, packets string }

// volume puts octets and packets where their direction says.
func (l splitColumns) volume(u *etsi.Usage, other map[string]string) error {
	if l.bytes == "" {
		return nil
	}
	octets, err := strconv.ParseUint(l.bytes, 10, 64)
	if err != nil {
		return fmt.Errorf("column volume_bytes: not a number")
	}
	switch l.direction {
	case "down":
		u.OctetsDownloaded, other["packets-downloaded"] = &octets, l.packets
	case "up":
		u.OctetsUploaded, other["packets-uploaded"] = &octets, l.packets
	default:
		return fmt.Errorf("column volume_direction: neither up nor down")
	}
	return nil
}

// place puts a column's value where the outline has an element for it, else into
// otherInformation.
func place(name, value string, u *etsi.Usage, s *etsi.Subscriber, l *splitColumns, other map[string]string) error {
	if value == "" {
		return nil
	}
	instant := func(to *time.Time) error {
		at, err := time.Parse(time.RFC3339Nano, value)
		*to = at.UTC()
		return err
	}
	switch name {
	case "task_id":
		other["task-id"] = value
	case "address":
		if a, err := netip.ParseAddr(value); err == nil {
			u.Address = a
		}
		other["asked-target"] = value
	case "line_id":
		u.DeviceID, s.ID = value, value
	case "held_prefix":
		other["held-prefix"] = value
		if p, err := netip.ParsePrefix(value); err == nil && p.IsSingleIP() && !u.Address.IsValid() {
			u.Address = p.Addr()
		}
	case "held_from_utc", "volume_from_utc":
		return instant(&u.Start)
	case "connected_from_utc":
		return instant(&u.Start)
	case "held_until_utc", "connected_until_utc", "volume_until_utc":
		return instant(&u.End)
	case "held_port_first":
		l.first = value
	case "held_port_last":
		l.last = value
	case "volume_direction":
		l.direction = value
	case "volume_bytes":
		l.bytes = value
	case "volume_packets":
		l.packets = value
	case "subscriber_of_line_name":
		s.Name = value
	case "installation_street":
		s.Installation.Street = value
	case "installation_house_number":
		s.Installation.HouseNumber = value
	case "installation_postcode":
		s.Installation.Postcode = value
	case "installation_town":
		s.Installation.Town = value
	case "installation_country":
		s.Installation.Country = value
	default:
		key, ok := otherKeys[name]
		if !ok {
			key = "column-" + name
		}
		other[key] = value
	}
	return nil
}

// otherKeys are the keys of otherInformation for columns that no element has.
var otherKeys = map[string]string{
	"instant_utc": "asked-instant", "port": "port", "protocol": "protocol",
	"attribution_source": "source", "attribution_certainty": "certainty",
	"held_protocol": "held-protocol", "held_beyond_window": "beyond-window", "held_source": "source", "held_certainty": "certainty",
	"connected_beyond_window": "beyond-window", "connection_end_cause": "end-cause", "connection_certainty": "certainty",
	"volume_counted_by": "counted-by",
}
