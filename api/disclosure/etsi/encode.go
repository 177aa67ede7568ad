package etsi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Namespace and HeaderID name the one version that is written.
const (
	Namespace = "http://uri.etsi.org/02657/v1.28.1#/RetainedData"
	HeaderID  = "0.4.0.2.3.0.28"
)

// Status is the responseStatus. The names of all but the first are not verified.
type Status string

// Statuses.
const (
	Complete    Status = "responseComplete"
	Incomplete  Status = "responseIncomplete"  // a gap, an unsynchronised clock: what there is may not be all
	Unavailable Status = "responseUnavailable" // nothing of it is held
	Failed      Status = "responseFailed"      // the question cannot be answered as it was put
)

var statuses = []Status{Complete, Incomplete, Unavailable, Failed}

// Response is one retainedDataMessage with a responseMessage.
type Response struct {
	CountryCode    string // two capitals, of the authority
	OrganisationID string // the authority
	RequestNumber  string // unique per country and authority
	CSPID          string // the provider
	At             time.Time
	Status         Status
	Records        []Record
}

// Record is one ResponseRecord: a subscriber, a use of the service, or neither,
// when it says only what stands in Other.
type Record struct {
	Subscriber *Subscriber
	Usage      *Usage
	Other      []Pair // in the order of [Keys], each once
}

// Subscriber is an naSubscriber: whose line it is. There is no billing address.
type Subscriber struct {
	ID                 string // of the line
	Name               string
	ValidFrom, ValidTo time.Time // zero: not told, or open
	ServiceID          string    // plan
	Installation       Address
}

// Address is where a line is. The names of its elements are not verified.
type Address struct{ Street, HouseNumber, Postcode, Town, Country string }

// Usage is an naServiceUsage: a connection, or an address that a line held.
type Usage struct {
	AccessTime time.Time // zero: not told
	AuthID     string    // user name on the network
	Start, End time.Time // half-open; zero: not told
	DeviceID   string    // the line
	ElementID  string    // the router
	Address    netip.Addr
	// Octets are nil where volume is not told. Elements 12 and 13: names known,
	// order not verified.
	OctetsDownloaded, OctetsUploaded *uint64
}

// Pair is one entry of otherInformation.
type Pair struct{ Key, Value string }

// Key is a key of otherInformation.
type Key struct{ Name, Meaning string }

// Keys are all the keys there are, in the order in which they are written.
var Keys = []Key{
	{"task-id", "the task that the record answers"},
	{"record", "kind of record: ATTRIBUTION, IDENTITY, HISTORY, TIME or VOLUME; or CERTIFICATE, which says that there is none"},
	{"answer", "the typed answer, a reason of the provider's catalogue; this and the next seven are in the first record only"},
	{"incomplete", "reasons for which records may be missing"},
	{"asked-target", "what was asked about"},
	{"uncertainty", "FROM/TO: the interval in which the true instant lies, or the window with it, both inclusive, UTC"},
	{"coverage", "complete, or incomplete: whether collectors saw the whole interval with their clocks synchronised"},
	{"neighbouring", "number band of other lines that had the address close to the interval, see the letter"},
	{"log-index", "index of the intent in the provider's ledger"},
	{"disclaimer", "what the answer does not say"},
	{"asked-instant", "the instant that was asked about, UTC, RFC 3339"},
	{"line-id", "the line, where no element names it"},
	{"port", "the source port that was asked about"},
	{"protocol", "its transport protocol, IANA number"},
	{"held-prefix", "what the line held: one address, or a delegated prefix"},
	{"range", "block of ports that the line had, FIRST-LAST; absent: the whole address"},
	{"held-protocol", "transport protocol of the block, IANA number; absent: every one"},
	{"source", "where the record comes from: radius, dhcp, …"},
	{"certainty", "how certain its interval is: observed, estimated, …"},
	{"beyond-window", "before, after or both: it goes on outside of the window, of which nothing is told"},
	{"end-cause", "why a connection ended"},
	{"packets-downloaded", "packets to the line"},
	{"packets-uploaded", "packets from the line"},
	{"counted-by", "what counted the volume: kernel or radius"},
	{"address-role", "installation: the address is where the line is, never where bills go"},
}

// columnKey begins the key of a record's column for which the outline has no element
// and [Keys] no key of its own.
const columnKey = "column-"

func keyRank(name string) int {
	if strings.HasPrefix(name, columnKey) && len(name) > len(columnKey) {
		return len(Keys)
	}
	return slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
}

// Encode returns response.xml. The same response has the same bytes. Text that
// XML cannot hold, an unknown key or status, and a record that is two things are
// errors: nothing is bent to fit.
func Encode(r Response) ([]byte, error) {
	w := writer{}
	w.b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	w.b.WriteString("<!-- Outline-conformant to ETSI TS 102 657 v1.28.1 (NetworkAccess); not validated against its schema. -->\n")
	w.openWith("retainedDataMessage", ` xmlns="`+Namespace+`"`)
	w.text("rdHeaderId", HeaderID)
	w.open("retainedDataHeader")
	w.open("requestID")
	w.text("countryCode", r.CountryCode)
	w.text("authorisedOrganisationID", r.OrganisationID)
	w.text("requestNumber", r.RequestNumber)
	w.close("requestID")
	w.text("cSPID", r.CSPID)
	w.time("timeStamp", r.At)
	w.close("retainedDataHeader")
	w.open("retainedDataPayload")
	w.open("responseMessage")
	if !slices.Contains(statuses, r.Status) {
		w.fail("status %q is unknown", r.Status)
	}
	w.choice("responseStatus", string(r.Status))
	w.open("responsePayload")
	for i, record := range r.Records {
		w.record(i+1, record)
	}
	w.close("responsePayload")
	w.close("responseMessage")
	w.close("retainedDataPayload")
	w.close("retainedDataMessage")
	if w.err != nil {
		return nil, fmt.Errorf("encode response: %w", w.err)
	}
	return w.b.Bytes(), nil
}

func (w *writer) record(number int, r Record) {
	w.open("ResponseRecord")
	w.text("recordNumber", strconv.Itoa(number))
	if r.Subscriber != nil && r.Usage != nil {
		w.fail("record %d is a subscriber and a use", number)
	}
	if r.Subscriber != nil || r.Usage != nil {
		w.open("recordPayload")
		w.open("networkAccessRecord") // named by analogy with telephonyRecord, not verified
		if r.Subscriber != nil {
			w.subscriber(*r.Subscriber)
		} else {
			w.usage(*r.Usage)
		}
		w.close("networkAccessRecord")
		w.close("recordPayload")
	}
	if len(r.Other) > 0 {
		w.open("additionalInformation")
		w.text("otherInformation", w.other(r.Other))
		w.close("additionalInformation")
	}
	w.close("ResponseRecord")
}

func (w *writer) subscriber(s Subscriber) {
	w.open("naSubscriber")
	w.text("subscriberID", s.ID)
	if s.Name != "" {
		// The members of genericSubscriberInfo are not verified.
		w.open("genericSubscriberInfo")
		w.text("name", s.Name)
		w.close("genericSubscriberInfo")
	}
	if subscribed := s.ServiceID != "" || s.Installation != (Address{}) || !s.ValidFrom.IsZero() || !s.ValidTo.IsZero(); subscribed {
		w.open("subscription")
		w.open("NASubscription")
		if !s.ValidFrom.IsZero() || !s.ValidTo.IsZero() {
			w.open("validity")
			w.time("startTime", s.ValidFrom)
			w.time("endTime", s.ValidTo)
			w.close("validity")
		}
		w.text("naServiceID", s.ServiceID)
		if a := s.Installation; a != (Address{}) {
			w.open("installationAddress")
			w.text("streetName", a.Street)
			w.text("buildingNumber", a.HouseNumber)
			w.text("postalCode", a.Postcode)
			w.text("city", a.Town)
			w.text("country", a.Country)
			w.close("installationAddress")
		}
		w.close("NASubscription")
		w.close("subscription")
	}
	w.close("naSubscriber")
}

func (w *writer) usage(u Usage) {
	w.open("naServiceUsage")
	w.time("naAccessTime", u.AccessTime)
	w.text("naAuthID", u.AuthID)
	w.choice("naStatus", "succeeded")
	if !u.Start.IsZero() || !u.End.IsZero() {
		if !u.End.IsZero() && u.End.Before(u.Start) {
			w.fail("an interval ends before it starts")
		}
		w.open("interval")
		w.time("startTime", u.Start)
		w.time("endTime", u.End)
		if !u.Start.IsZero() && !u.End.IsZero() {
			w.text("durationTime", strconv.FormatInt(int64(u.End.Sub(u.Start)/time.Second), 10))
		}
		w.close("interval")
	}
	w.text("naDeviceId", u.DeviceID)
	w.text("naNwElementID", u.ElementID)
	if u.Address.IsValid() {
		w.open("naAssignedAddress")
		w.text("iPTextAddress", ipText(u.Address))
		w.close("naAssignedAddress")
	}
	if u.OctetsDownloaded != nil {
		w.text("octetsDownloaded", strconv.FormatUint(*u.OctetsDownloaded, 10))
	}
	if u.OctetsUploaded != nil {
		w.text("octetsUploaded", strconv.FormatUint(*u.OctetsUploaded, 10))
	}
	w.close("naServiceUsage")
}

// ipText is an address in 7 to 45 characters, as iPTextAddress must have: the
// shortest IPv6 ones are written out.
func ipText(a netip.Addr) string {
	if s := a.String(); len(s) >= 7 {
		return s
	}
	return a.StringExpanded()
}

// other writes pairs in the form seen in the field: "key"="value";"key"="value".
func (w *writer) other(pairs []Pair) string {
	var out []string
	last := -1
	for i, p := range pairs {
		rank := keyRank(p.Key)
		repeated := slices.ContainsFunc(pairs[:i], func(q Pair) bool { return q.Key == p.Key })
		if rank < 0 || rank < last || repeated || strings.ContainsAny(p.Key, escaped) {
			w.fail("otherInformation: key %q is unknown, repeated or out of order", p.Key)
		}
		last = rank
		out = append(out, `"`+p.Key+`"="`+escape.Replace(p.Value)+`"`)
	}
	return strings.Join(out, ";")
}

// A value keeps its quotes, semicolons and percent signs, percent-encoded.
const escaped = "\"%;"

var (
	escape   = strings.NewReplacer("%", "%25", `"`, "%22", ";", "%3B")
	unescape = strings.NewReplacer("%22", `"`, "%3B", ";", "%25", "%")
)

// writer writes elements in the order in which it is told to, and keeps the
// first error.
type writer struct {
	b     bytes.Buffer
	depth int
	err   error
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *writer) indent() { w.b.WriteString(strings.Repeat("  ", w.depth)) }

func (w *writer) open(name string) { w.openWith(name, "") }

func (w *writer) openWith(name, attributes string) {
	w.indent()
	w.b.WriteString("<" + name + attributes + ">\n")
	w.depth++
}

func (w *writer) close(name string) {
	w.depth--
	w.indent()
	w.b.WriteString("</" + name + ">\n")
}

// text writes an element, or nothing for an empty text: optional elements are
// left out.
func (w *writer) text(name, text string) {
	if text == "" {
		return
	}
	if err := legal(text); err != nil {
		w.fail("%s: %w", name, err)
		return
	}
	w.indent()
	w.b.WriteString("<" + name + ">" + markup.Replace(text) + "</" + name + ">\n")
}

// choice writes a CHOICE or ENUMERATED: an empty child element.
func (w *writer) choice(name, chosen string) {
	w.indent()
	w.b.WriteString("<" + name + "><" + chosen + "/></" + name + ">\n")
}

// time writes a GeneralizedTime in UTC with its offset, so that the hour that a
// clock change repeats is never in doubt.
func (w *writer) time(name string, at time.Time) {
	if !at.IsZero() {
		w.text(name, FormatTime(at))
	}
}

// FormatTime returns a GeneralizedTime, UTC, offset written out; a fraction only
// if there is one.
func FormatTime(at time.Time) string {
	return at.UTC().Format("20060102150405.999999999-0700")
}

var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;", "\n", "&#10;", "\t", "&#9;")

var errText = errors.New("text that XML cannot hold")

// legal refuses what is no character of XML 1.0 (§2.2), and broken UTF-8.
func legal(s string) error {
	if !utf8.ValidString(s) {
		return errText
	}
	for _, r := range s {
		if (r < 0x20 && r != '\t' && r != '\n' && r != '\r') || r == 0xfffe || r == 0xffff {
			return errText
		}
	}
	return nil
}

// Pairs returns otherInformation from values by key, in the order in which they are
// written; empty values are left out.
func Pairs(values map[string]string) []Pair {
	var out []Pair
	for _, k := range Keys {
		if v := values[k.Name]; v != "" {
			out = append(out, Pair{k.Name, v})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if strings.HasPrefix(name, columnKey) && values[name] != "" {
			out = append(out, Pair{name, values[name]})
		}
	}
	return out
}
