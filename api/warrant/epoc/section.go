package epoc

import "strings"

// Section is a lettered section of a certificate and the fields of [Form] that stand
// in it.
type Section struct {
	Letter, Title string
	Fields        []string
}

// production are the sections of Annex I. Of these the letters and contents of A, B, C, E, I, J
// and of L, point (a), were read in the text of the Regulation; the titles of the
// others are general knowledge, to be checked against it. Section M, further
// information for the enforcing authority, is not sent to the addressee.
var production = []Section{
	{"A", "Issuing/validating authority", []string{"kind", "case_number", "validating_case_number", "issued_at"}},
	{"B", "Addressee", []string{"addressee"}},
	{"C", "Deadlines", []string{"deadline", "emergency", "emergency_reason", "other_deadline"}},
	{"D", "Relation to a previous production/preservation request", []string{"previous"}},
	{"E", "Information to support identification of the requested data", []string{"identifier", "range"}},
	{"F", "Electronic evidence to be produced", []string{"data", "traffic"}},
	{"G", "Information on the underlying conditions", []string{"offence"}},
	{"H", "Information to the user", []string{"delay_informing_user"}},
	{"I", "Details of the issuing authority", []string{"issuing_authority"}},
	{"J", "Details of the validating authority", []string{"validating_authority"}},
	{"K", "Notification and details of the enforcing authority notified", []string{"enforcing_authority"}},
	{"L", "Transfer of data", []string{"transfer_to"}},
}

// preservation are those of Annex II, of which A was read; the others are general
// knowledge, to be checked.
var preservation = []Section{
	{"A", "Issuing/validating authority", []string{"kind", "case_number", "validating_case_number", "issued_at"}},
	{"B", "Addressee", []string{"addressee"}},
	{"C", "Information to support identification of the data requested to be preserved", []string{"identifier", "range"}},
	{"D", "Electronic evidence to be preserved", []string{"data", "traffic"}},
	{"E", "Information on the underlying conditions", []string{"offence"}},
	{"F", "Details of the issuing authority", []string{"issuing_authority"}},
	{"G", "Details of the validating authority", []string{"validating_authority"}},
}

// Sections returns the sections of a kind of form, in order; none of an unknown one.
func Sections(k Kind) []Section {
	switch k {
	case Production:
		return production
	case Preservation:
		return preservation
	}
	return nil
}

// section is the letter of the section that a field, or a part of one, stands in, or "".
func section(k Kind, field string) string {
	field = field[:len(field)-len(strings.TrimLeft(field, "abcdefghijklmnopqrstuvwxyz_"))]
	for _, s := range Sections(k) {
		for _, f := range s.Fields {
			if f == field {
				return s.Letter
			}
		}
	}
	return ""
}
