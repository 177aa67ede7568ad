package epoc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"griffier/api/reason"
	"griffier/api/warrant"
)

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// targets are the kinds of identifier that a line is found by, with what begins the
// text of such a target.
var targets = map[string]string{"IP_ADDRESS": "", "IP_PREFIX": "", "LINE": "line:", "CIRCUIT": "circuit:", "RADIUS_USER": "radius:", "MAC": "mac:"}

// traffic is what each part of the traffic data is here.
var traffic = map[string]warrant.Category{AddressHistory: warrant.History, ConnectionTimes: warrant.TimeCategory, ConnectionVolume: warrant.Volume}

// priorities are the deadlines as a warrant has them.
var priorities = map[Deadline]warrant.Priority{TenDaysASAP: warrant.TenDays, TenDaysSubjectToEA: warrant.TenDaysSubjectToEA, EightHours: warrant.EightHours}

// Content returns what a form says as the content of a warrant, and lists at once
// everything by which it contradicts itself or the Regulation, or that this service
// has no data for. What a form does not have is left empty: for how long the order is
// acted on, the key of the recipient, the hash of the document. The legal basis is
// judged with the warrant.
func (f Form) Content() (warrant.Content, *reason.Error) {
	var bad []reason.Violation
	complain := func(field, description string) {
		if letter := section(f.Kind, field); letter != "" {
			description += " (section " + letter + ")"
		}
		bad = append(bad, reason.Violation{Field: field, Description: description})
	}
	c := warrant.Content{Authority: f.IssuingAuthority.ID, Reference: f.CaseNumber, RequestedBy: f.IssuingAuthority.Person, IssuedAt: f.IssuedAt, ValidFrom: f.IssuedAt}
	c.Priority = priorities[f.Deadline]
	c.EnforcingAuthorityNotified = f.EnforcingAuthority != nil && f.EnforcingAuthority.Notified
	need := func(field, value string) {
		if value == "" {
			complain(field, "is missing")
		}
	}
	need("case_number", f.CaseNumber)
	need("issued_at", f.IssuedAt)
	need("offence", f.Offence)
	need("addressee.name", f.Addressee.Name)
	switch f.Addressee.Role {
	case Establishment, Representative:
	case OtherAddressee:
		if !f.Emergency {
			complain("addressee.role", "is another than the designated establishment or legal representative, and it is no emergency (art. 7)")
		}
	default:
		complain("addressee.role", "must be DESIGNATED_ESTABLISHMENT, LEGAL_REPRESENTATIVE or OTHER")
	}
	f.IssuingAuthority.check("issuing_authority", complain)
	if f.ValidatingAuthority != nil {
		f.ValidatingAuthority.check("validating_authority", complain)
		if f.ValidatingAuthority.Office == OtherOffice {
			complain("validating_authority.office", "must be a judge, a court or a prosecutor (art. 4)")
		}
	}
	if f.TransferTo != nil {
		need("transfer_to.id", f.TransferTo.ID)
		need("transfer_to.name", f.TransferTo.Name)
	}
	if f.EnforcingAuthority != nil {
		need("enforcing_authority.country", f.EnforcingAuthority.Country)
		need("enforcing_authority.name", f.EnforcingAuthority.Name)
	}
	switch f.Kind {
	case Production:
		c.LegalBasis, c.Categories = f.production(complain)
	case Preservation:
		c.LegalBasis, c.Categories = "EPOC-PR", []warrant.Category{warrant.Preservation}
		f.preservation(complain)
	default:
		complain("kind", "must be EPOC or EPOC-PR")
	}
	if f.mustValidate() && f.ValidatingAuthority == nil {
		complain("validating_authority", "is missing: such an order must be validated (art. 4)")
	}
	c.Targets = f.targets(complain)
	switch len(f.Ranges) {
	case 0:
		complain("range", "is missing")
	case 1:
		c.WindowStart, c.WindowEnd = f.Ranges[0].From, f.Ranges[0].To
		need("range.from", f.Ranges[0].From)
		need("range.to", f.Ranges[0].To)
	default:
		complain("range", "is more than one: make one warrant of each, so that none covers the time between them")
	}
	for field, text := range map[string]string{"issued_at": f.IssuedAt, "range.from": c.WindowStart, "range.to": c.WindowEnd} {
		if text == "" {
			continue
		}
		if _, err := warrant.ParseInstant(text); err != nil {
			complain(field, err.Reason.Entry().Meaning)
		}
	}
	if len(bad) > 0 {
		slices.SortStableFunc(bad, func(a, b reason.Violation) int {
			if a.Field < b.Field {
				return -1
			} else if a.Field > b.Field {
				return 1
			}
			return 0
		})
		return c, reason.Invalid(reason.WarrantIncomplete, bad...)
	}
	return c, nil
}

func (a Authority) check(field string, complain func(field, description string)) {
	for name, value := range map[string]string{"id": a.ID, "name": a.Name, "person": a.Person} {
		if value == "" {
			complain(field+"."+name, "is missing")
		}
	}
	if !slices.Contains(warrant.MemberStates, a.Country) {
		complain(field+".country", "must be a Member State of the Union")
	}
	if !slices.Contains([]Office{Judge, Court, InvestigatingJudge, PublicProsecutor, OtherOffice}, a.Office) {
		complain(field+".office", "must be JUDGE, COURT, INVESTIGATING_JUDGE, PUBLIC_PROSECUTOR or OTHER")
	}
}

// mustValidate reports whether the issuing authority cannot order this by itself.
func (f Form) mustValidate() bool {
	return f.IssuingAuthority.Office == OtherOffice ||
		f.IssuingAuthority.Office == PublicProsecutor && f.Kind == Production && slices.Contains(f.Data, TrafficData)
}

// production judges what only an EPOC has.
func (f Form) production(complain func(field, description string)) (basis string, categories []warrant.Category) {
	has := func(d Data) bool { return slices.Contains(f.Data, d) }
	put := func(c warrant.Category) {
		if !slices.Contains(categories, c) {
			categories = append(categories, c)
		}
	}
	if len(f.Data) == 0 {
		complain("data", "is missing")
	}
	for i, d := range f.Data {
		switch {
		case slices.Contains(f.Data[:i], d):
			complain("data["+strconv.Itoa(i)+"]", "stands there twice")
		case d == ContentData:
			complain("data["+strconv.Itoa(i)+"]", "is content, of which this service has none (DataNotHeld)")
		case d != SubscriberData && d != IdentifyingData && d != TrafficData:
			complain("data["+strconv.Itoa(i)+"]", "must be SUBSCRIBER, USER_IDENTIFICATION, TRAFFIC or CONTENT")
		}
	}
	if has(SubscriberData) || has(IdentifyingData) {
		put(warrant.Identity)
	}
	if has(IdentifyingData) {
		put(warrant.Attribution)
	}
	switch {
	case has(TrafficData):
		basis = "EPOC-TRAFFIC"
	case has(IdentifyingData):
		basis = "EPOC-USER"
	case has(SubscriberData):
		basis = "EPOC-SUBSCRIBER"
	}
	for i, part := range f.Traffic {
		c, ok := traffic[part]
		switch {
		case !ok || slices.Contains(f.Traffic[:i], part):
			complain("traffic["+strconv.Itoa(i)+"]", "must be ADDRESS_HISTORY, CONNECTION_TIMES or VOLUME, each once")
		default:
			put(c)
		}
	}
	if has(TrafficData) != (len(f.Traffic) > 0) {
		complain("traffic", "must say which traffic data is ordered, and only then")
	}
	notified := f.EnforcingAuthority != nil && f.EnforcingAuthority.Notified
	switch f.Deadline {
	case EightHours, TenDaysASAP, TenDaysSubjectToEA:
	case "":
		complain("deadline", "is missing")
	default:
		complain("deadline", "must be TenDaysASAP, TenDaysSubjectToEA or EightHours")
	}
	if f.Emergency != (f.Deadline == EightHours) {
		complain("emergency", "and a deadline of eight hours go together (art. 10(4))")
	}
	if f.Emergency && f.EmergencyReason == "" {
		complain("emergency_reason", "is missing")
	}
	if f.Deadline == TenDaysSubjectToEA && !notified {
		complain("enforcing_authority", "is not notified, and the deadline depends on it")
	}
	if notified && f.Deadline == TenDaysASAP {
		complain("deadline", "does not wait for the enforcing authority, which is notified (art. 10(2))")
	}
	if f.AnnexV || f.AnnexVI {
		complain("annex_v", "and annex_vi are about an EPOC-PR")
	}
	return basis, categories
}

// preservation judges what only an EPOC-PR has.
func (f Form) preservation(complain func(field, description string)) {
	switch {
	case f.Deadline != "" || f.Emergency:
		complain("deadline", "and emergency are of an EPOC: an EPOC-PR is acted on at once")
	case f.AnnexV && f.AnnexVI:
		complain("annex_vi", "and annex_v exclude each other: what is preserved until production needs no extension")
	case (f.AnnexV || f.AnnexVI) != (f.Preserves != ""):
		complain("preserves", "must name the EPOC-PR that annex V or VI is about, and only then")
	}
	if len(f.Data) > 0 && slices.Equal(f.Data, []Data{ContentData}) {
		complain("data", "is content, of which this service has none (DataNotHeld)")
	}
}

// targets are the identifiers as targets, each once.
func (f Form) targets(complain func(field, description string)) (out []string) {
	if len(f.Identifiers) == 0 {
		complain("identifier", "is missing")
	}
	for i, id := range f.Identifiers {
		field := fmt.Sprintf("identifier[%d]", i)
		prefix, ok := targets[id.Kind]
		if !ok {
			complain(field+".kind", "must be one by which a line is found: IP_ADDRESS, IP_PREFIX, LINE, CIRCUIT, RADIUS_USER or MAC (InsufficientInformation)")
			continue
		}
		target, err := warrant.ParseTarget(prefix + id.Value)
		if err != nil {
			complain(field+".value", "is not one concrete target (TARGET_NOT_SPECIFIC). "+err.Detail)
			continue
		}
		if (id.Port != 0 || id.Protocol != "") && id.Kind != "IP_ADDRESS" {
			complain(field+".port", "and protocol belong to an IP_ADDRESS")
		}
		if text := target.String(); !slices.Contains(out, text) { // one address at two ports is one target
			out = append(out, text)
		}
	}
	return out
}

// Question is a field of a warrant that a form leaves to a person, and why.
type Question struct{ Field, Why string }

// Open returns what a person must decide or enter, besides what the form has.
func (f Form) Open() []Question {
	out := []Question{
		{"authority", "must be the id that the registry has of the issuing authority: compare it"},
		{"valid_until", "is not in the form: until when the order is acted on"},
		{"recipient", "must be a confirmed key of the authority"},
		{"document_sha256", "is of the certificate as it was received"},
	}
	if f.ValidatingAuthority != nil {
		out = append(out, Question{"requested_by", "is of the issuing authority; another authority validated the order: call that one back too"})
	}
	if to := f.TransferTo; to != nil && to.ID != f.IssuingAuthority.ID {
		out = append(out, Question{"recipient", "the data goes to " + to.ID + " (section L), and a warrant's recipient is a key of the authority that orders: register that one's key with it first"})
	}
	if len(f.Previous) > 0 {
		out = append(out, Question{"", "it goes with earlier orders: " + strings.Join(f.Previous, ", ") + "; compare their holds and warrants"})
	}
	if f.OtherDeadline != "" {
		out = append(out, Question{"", "it names another deadline: " + f.OtherDeadline})
	}
	for _, id := range f.Identifiers {
		if id.Port != 0 {
			out = append(out, Question{"targets", "have a port in the form: state it in the task"})
			break
		}
	}
	switch {
	case f.AnnexV:
		out = append(out, Question{"", "Annex V: what " + f.Preserves + " preserved is kept until it is produced"})
	case f.AnnexVI:
		out = append(out, Question{"", "Annex VI: extend the hold of " + f.Preserves + " by 30 days (griffier hold extend), in place of a new warrant"})
	}
	return out
}
