package disclosure

import (
	"slices"
	"strconv"
	"time"

	"griffier/api/warrant"
)

// Person is who a line belongs to, as far as a package may say. There is no
// billing address here: it is never a substitute for where the line is.
type Person struct {
	Name                string
	InstallationAddress PostalAddress
}

// PostalAddress is where something is.
type PostalAddress struct {
	Street, HouseNumber, Postcode, Town, Country string
}

// Record is one answer row before it is cut down to the permitted columns. Which
// fields are set depends on the category of the task; LineID always is.
type Record struct {
	TaskID string
	LineID string
	// Of ATTRIBUTION the question and what the line held; of IDENTITY the instant.
	Address    string
	Port       string // empty if not stated
	Protocol   string
	InstantUTC string
	HeldPrefix string // of HISTORY too: one address, or a delegated prefix
	Source     string // of HISTORY too
	Certainty  string // of HISTORY and TIME too
	Subscriber Person
	// Of HISTORY, TIME and VOLUME the half-open interval, UTC, cut to the window;
	// Beyond is "before", "after" or "both" where it goes on outside of that, which no
	// record tells more of.
	From, To time.Time
	Beyond   string
	// Of HISTORY the ports, both inclusive, and their protocol (IANA number), 0 for
	// every one. The whole address has ports 0 to 65535.
	PortStart, PortEnd uint16
	ProtocolNumber     uint8
	EndCause           string // of TIME; empty where the session goes on outside of the window
	// Of VOLUME: up or down as seen from the line, L3 bytes by a kernel, or what a BNG
	// reported.
	Direction      string
	Bytes, Packets uint64
	CountedBy      string // kernel or radius
}

// Column is one column of records.csv and one key of records.jsonl.
type Column struct {
	Name       string
	Categories []warrant.Category // those that have it
	value      func(Record) string
}

func of(categories ...warrant.Category) []warrant.Category { return categories }

// subscriberOf are the categories that may show who a line's subscriber is.
var subscriberOf = of(warrant.Identity)

// Columns is every column there is. A package holds those of the task's category
// and, of an attribution under a warrant that covers identity, those about the
// subscriber; nothing about the holder's connection times is in an attribution.
var Columns = []Column{
	{"task_id", of(warrant.Attribution, warrant.Identity, warrant.History, warrant.TimeCategory, warrant.Volume), func(r Record) string { return r.TaskID }},
	{"address", of(warrant.Attribution), func(r Record) string { return r.Address }},
	{"port", of(warrant.Attribution), func(r Record) string { return r.Port }},
	{"protocol", of(warrant.Attribution), func(r Record) string { return r.Protocol }},
	{"instant_utc", of(warrant.Attribution, warrant.Identity), func(r Record) string { return r.InstantUTC }},
	{"line_id", of(warrant.Attribution, warrant.Identity, warrant.History, warrant.TimeCategory, warrant.Volume), func(r Record) string { return r.LineID }},
	{"held_prefix", of(warrant.Attribution, warrant.History), func(r Record) string { return r.HeldPrefix }},
	{"attribution_source", of(warrant.Attribution), func(r Record) string { return r.Source }},
	{"attribution_certainty", of(warrant.Attribution), func(r Record) string { return r.Certainty }},
	{"held_port_first", of(warrant.History), func(r Record) string { return strconv.Itoa(int(r.PortStart)) }},
	{"held_port_last", of(warrant.History), func(r Record) string { return strconv.Itoa(int(r.PortEnd)) }},
	{"held_protocol", of(warrant.History), func(r Record) string { return number(r.ProtocolNumber) }},
	{"held_from_utc", of(warrant.History), func(r Record) string { return instantText(r.From) }},
	{"held_until_utc", of(warrant.History), func(r Record) string { return instantText(r.To) }},
	{"held_beyond_window", of(warrant.History), func(r Record) string { return r.Beyond }},
	{"held_source", of(warrant.History), func(r Record) string { return r.Source }},
	{"held_certainty", of(warrant.History), func(r Record) string { return r.Certainty }},
	{"connected_from_utc", of(warrant.TimeCategory), func(r Record) string { return instantText(r.From) }},
	{"connected_until_utc", of(warrant.TimeCategory), func(r Record) string { return instantText(r.To) }},
	{"connected_beyond_window", of(warrant.TimeCategory), func(r Record) string { return r.Beyond }},
	{"connection_end_cause", of(warrant.TimeCategory), func(r Record) string { return r.EndCause }},
	{"connection_certainty", of(warrant.TimeCategory), func(r Record) string { return r.Certainty }},
	{"volume_from_utc", of(warrant.Volume), func(r Record) string { return instantText(r.From) }},
	{"volume_until_utc", of(warrant.Volume), func(r Record) string { return instantText(r.To) }},
	{"volume_direction", of(warrant.Volume), func(r Record) string { return r.Direction }},
	{"volume_bytes", of(warrant.Volume), func(r Record) string { return strconv.FormatUint(r.Bytes, 10) }},
	{"volume_packets", of(warrant.Volume), func(r Record) string { return strconv.FormatUint(r.Packets, 10) }},
	{"volume_counted_by", of(warrant.Volume), func(r Record) string { return r.CountedBy }},
	{"subscriber_of_line_name", subscriberOf, func(r Record) string { return r.Subscriber.Name }},
	{"installation_street", subscriberOf, func(r Record) string { return r.Subscriber.InstallationAddress.Street }},
	{"installation_house_number", subscriberOf, func(r Record) string { return r.Subscriber.InstallationAddress.HouseNumber }},
	{"installation_postcode", subscriberOf, func(r Record) string { return r.Subscriber.InstallationAddress.Postcode }},
	{"installation_town", subscriberOf, func(r Record) string { return r.Subscriber.InstallationAddress.Town }},
	{"installation_country", subscriberOf, func(r Record) string { return r.Subscriber.InstallationAddress.Country }},
}

func instantText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// aboutSubscriber reports whether a column says who a line's subscriber is.
func (c Column) aboutSubscriber() bool { return slices.Equal(c.Categories, subscriberOf) }

// Permits reports whether a package of a task of a category may have the column,
// under a warrant of the given categories. A category that the warrant does not have
// shows nothing.
func (c Column) Permits(task warrant.Category, covered []warrant.Category) bool {
	return slices.Contains(covered, task) && (slices.Contains(c.Categories, task) ||
		task == warrant.Attribution && c.aboutSubscriber() && slices.Contains(covered, warrant.Identity))
}

// ColumnsFor returns the columns that a task of a category may show under a warrant
// of the given categories.
func ColumnsFor(task warrant.Category, covered []warrant.Category) (out []Column) {
	for _, c := range Columns {
		if c.Permits(task, covered) {
			out = append(out, c)
		}
	}
	return out
}

// NeedsIdentity reports whether any of the columns is about the person. If not,
// the person is not even read.
func NeedsIdentity(columns []Column) bool {
	return slices.ContainsFunc(columns, Column.aboutSubscriber)
}
