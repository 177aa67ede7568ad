package disclosure

import (
	"slices"

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

// Record is one answer row before it is cut down to the permitted columns.
type Record struct {
	TaskID     string
	Address    string
	Port       string // empty if not stated
	Protocol   string
	InstantUTC string
	LineID     string
	HeldPrefix string
	Source     string
	Certainty  string
	Subscriber Person
}

// Column is one column of records.csv and one key of records.jsonl.
type Column struct {
	Name     string
	Category warrant.Category // the category that permits it
	value    func(Record) string
}

// Columns is every column there is. A package holds those of the task's
// category and, where the warrant covers identity, those of identity; nothing
// about the holder's connection times is in any of them.
var Columns = []Column{
	{"task_id", warrant.Attribution, func(r Record) string { return r.TaskID }},
	{"address", warrant.Attribution, func(r Record) string { return r.Address }},
	{"port", warrant.Attribution, func(r Record) string { return r.Port }},
	{"protocol", warrant.Attribution, func(r Record) string { return r.Protocol }},
	{"instant_utc", warrant.Attribution, func(r Record) string { return r.InstantUTC }},
	{"line_id", warrant.Attribution, func(r Record) string { return r.LineID }},
	{"held_prefix", warrant.Attribution, func(r Record) string { return r.HeldPrefix }},
	{"attribution_source", warrant.Attribution, func(r Record) string { return r.Source }},
	{"attribution_certainty", warrant.Attribution, func(r Record) string { return r.Certainty }},
	{"subscriber_of_line_name", warrant.Identity, func(r Record) string { return r.Subscriber.Name }},
	{"installation_street", warrant.Identity, func(r Record) string { return r.Subscriber.InstallationAddress.Street }},
	{"installation_house_number", warrant.Identity, func(r Record) string { return r.Subscriber.InstallationAddress.HouseNumber }},
	{"installation_postcode", warrant.Identity, func(r Record) string { return r.Subscriber.InstallationAddress.Postcode }},
	{"installation_town", warrant.Identity, func(r Record) string { return r.Subscriber.InstallationAddress.Town }},
	{"installation_country", warrant.Identity, func(r Record) string { return r.Subscriber.InstallationAddress.Country }},
}

// ColumnsFor returns the columns that a task of a category may show under a
// warrant of the given categories. A category that the warrant does not have
// shows nothing.
func ColumnsFor(task warrant.Category, covered []warrant.Category) []Column {
	if !slices.Contains(covered, task) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(Columns), func(c Column) bool {
		return c.Category != task && !(task == warrant.Attribution && c.Category == warrant.Identity && slices.Contains(covered, warrant.Identity))
	})
}

// NeedsIdentity reports whether any of the columns is about the person. If not,
// the person is not even read.
func NeedsIdentity(columns []Column) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Category == warrant.Identity })
}
