package warrant

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"griffier/api/reason"
)

// Limits of a warrant's content.
const (
	MaxTargets    = 100 // however many approve: more is no order about persons
	maxText       = 200
	maxIdentifier = 128
	// clockTolerance is how far the clock of whoever types the date may be ahead.
	clockTolerance = time.Minute
)

// Content is what a warrant says and what approvals are bound to. Instants stay
// as they were entered, offset included: they are what the letter says.
type Content struct {
	LegalBasis     string     `json:"legal_basis"`
	Authority      string     `json:"authority"`
	Reference      string     `json:"reference"`
	RequestedBy    string     `json:"requested_by"`
	IssuedAt       string     `json:"issued_at"`
	ValidFrom      string     `json:"valid_from"`
	ValidUntil     string     `json:"valid_until"` // exclusive
	DocumentSHA256 string     `json:"document_sha256"`
	Categories     []Category `json:"categories"`
	Targets        []string   `json:"targets"`
	WindowStart    string     `json:"window_start"`
	WindowEnd      string     `json:"window_end"` // exclusive
	Recipient      string     `json:"recipient"`  // age public key, or sha256:HEX of a registered certificate
	// ExaminingMagistrateAuthorisation is the reference of the rechter-commissaris'
	// authorisation, where the basis needs one.
	ExaminingMagistrateAuthorisation string `json:"examining_magistrate_authorisation"`
	// Priority drives the deadline; empty means what is usual under the basis.
	Priority Priority `json:"priority,omitempty"`
	// Emergency: the order was given orally. Its document may follow.
	Emergency bool `json:"emergency,omitempty"`
	// EnforcingAuthorityNotified: the authority of this country that an EPOC is
	// notified to may still refuse it.
	EnforcingAuthorityNotified bool `json:"enforcing_authority_notified,omitempty"`
	// ExaminingMagistrateDate is its calendar date, as 2026-11-19, and
	// ExaminingMagistrateScope the categories that it covers.
	ExaminingMagistrateDate  string     `json:"examining_magistrate_date"`
	ExaminingMagistrateScope []Category `json:"examining_magistrate_scope"`
}

// Times are the instants of a valid content.
type Times struct {
	IssuedAt, ValidFrom, ValidUntil, WindowStart, WindowEnd time.Time
}

// identifierForm keeps to printable ASCII, so that two references that look the
// same are the same: a homoglyph cannot make a second one.
var identifierForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/()&, +-]*$`)

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate checks the form of c against nothing but itself and now, and lists
// every missing or invalid field at once. When all that is wrong is of one kind
// the reason says so (TIME_ZONE_MISSING and the two of clock changes,
// TARGET_NOT_SPECIFIC), otherwise it is WARRANT_INCOMPLETE.
func (c Content) Validate(now time.Time) (Times, *reason.Error) {
	v := violations{}
	v.identifier("legal_basis", c.LegalBasis)
	v.identifier("authority", c.Authority)
	v.identifier("reference", c.Reference)
	switch {
	case c.RequestedBy == "":
		v.missing("requested_by")
	case len(c.RequestedBy) > maxText || strings.TrimSpace(c.RequestedBy) != c.RequestedBy || strings.ContainsFunc(c.RequestedBy, notPrintable):
		v.add(reason.WarrantIncomplete, "requested_by", "must be printable text of at most "+strconv.Itoa(maxText)+" bytes without space around it")
	}
	var t Times
	instants := []struct {
		field, text string
		to          *time.Time
	}{
		{"issued_at", c.IssuedAt, &t.IssuedAt},
		{"valid_from", c.ValidFrom, &t.ValidFrom},
		{"valid_until", c.ValidUntil, &t.ValidUntil},
		{"window_start", c.WindowStart, &t.WindowStart},
		{"window_end", c.WindowEnd, &t.WindowEnd},
	}
	for _, i := range instants {
		if i.text == "" {
			v.missing(i.field)
			continue
		}
		at, err := ParseInstant(i.text)
		if err != nil {
			v.add(err.Reason, i.field, strings.TrimSpace(err.Reason.Entry().Meaning+" "+err.Detail))
			continue
		}
		*i.to = at
	}
	if t.IssuedAt.After(now.Add(clockTolerance)) {
		v.add(reason.WarrantIncomplete, "issued_at", "lies in the future")
	}
	if !t.ValidFrom.IsZero() && !t.ValidUntil.IsZero() && !t.ValidFrom.Before(t.ValidUntil) {
		v.add(reason.WarrantIncomplete, "valid_until", "must be later than valid_from")
	}
	if !t.WindowStart.IsZero() && !t.WindowEnd.IsZero() && !t.WindowStart.Before(t.WindowEnd) {
		v.add(reason.WarrantIncomplete, "window_end", "must be later than window_start")
	}
	switch {
	case c.DocumentSHA256 == "" && c.Emergency:
	case c.DocumentSHA256 == "":
		v.missing("document_sha256")
	case !sha256Form.MatchString(c.DocumentSHA256):
		v.add(reason.WarrantIncomplete, "document_sha256", "must be 64 lower-case hexadecimal digits")
	}
	if len(c.Categories) == 0 {
		v.missing("categories")
	}
	for i, category := range c.Categories {
		if !category.Known() || slices.Contains(c.Categories[:i], category) {
			v.add(reason.WarrantIncomplete, "categories["+strconv.Itoa(i)+"]", "is unknown or stands there twice")
		}
	}
	if c.Priority != "" && !slices.Contains(Priorities, c.Priority) {
		v.add(reason.WarrantIncomplete, "priority", "is unknown")
	}
	v.targets(c.Targets)
	switch _, ok := RecipientFingerprint(c.Recipient); {
	case c.Recipient == "":
		v.missing("recipient")
	case !ok:
		v.add(reason.WarrantIncomplete, "recipient", "must be an age public key (age1…), or sha256: and the fingerprint of a registered certificate")
	}
	if c.ExaminingMagistrateAuthorisation != "" {
		v.identifier("examining_magistrate_authorisation", c.ExaminingMagistrateAuthorisation)
	}
	v.magistrate(c, now)
	return t, v.err()
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

// Canonical returns the content in the form that is hashed: targets canonical
// and sorted, categories sorted, one JSON object with its keys in fixed order.
// Two contents with the same canonical form ask for the same.
func (c Content) Canonical() []byte {
	c.Categories = slices.Sorted(slices.Values(c.Categories))
	c.ExaminingMagistrateScope = slices.Sorted(slices.Values(c.ExaminingMagistrateScope))
	targets := make([]string, 0, len(c.Targets))
	for _, s := range c.Targets {
		if t, err := ParseTarget(s); err == nil {
			s = t.String()
		}
		targets = append(targets, s)
	}
	slices.Sort(targets)
	c.Targets = targets
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil { // strings and slices of strings: cannot fail
		panic(err)
	}
	return b.Bytes()
}

// Hash returns the SHA-256 of the canonical form under a random salt, in
// hexadecimal. The salt is kept in the sealed body: the hash stands in the clear
// header for ever, and without a salt the one address that a shredded warrant
// named could be found by trying them all.
func (c Content) Hash(salt string) string {
	h := sha256.New()
	h.Write([]byte("griffier warrant 1\n" + salt + "\n"))
	h.Write(c.Canonical())
	return hex.EncodeToString(h.Sum(nil))
}

// violations collects what is wrong, with the reason that each would have alone.
type violations struct {
	list    []reason.Violation
	reasons []reason.Reason
}

func (v *violations) add(r reason.Reason, field, description string) {
	v.list = append(v.list, reason.Violation{Field: "content." + field, Description: description})
	v.reasons = append(v.reasons, r)
}

func (v *violations) missing(field string) { v.add(reason.WarrantIncomplete, field, "is missing") }

func (v *violations) identifier(field, s string) {
	switch {
	case s == "":
		v.missing(field)
	case len(s) > maxIdentifier || !identifierForm.MatchString(s) || strings.TrimSpace(s) != s:
		v.add(reason.WarrantIncomplete, field, "must be at most "+strconv.Itoa(maxIdentifier)+
			" letters, digits and . _ : / ( ) & , + - or space, plain ASCII")
	}
}

func (v *violations) targets(targets []string) {
	switch {
	case len(targets) == 0:
		v.missing("targets")
		return
	case len(targets) > MaxTargets:
		v.add(reason.TargetNotSpecific, "targets", "are more than "+strconv.Itoa(MaxTargets))
		return
	}
	seen := map[string]bool{}
	for i, s := range targets {
		field := "targets[" + strconv.Itoa(i) + "]"
		t, err := ParseTarget(s)
		switch {
		case err != nil:
			v.add(reason.TargetNotSpecific, field, "is not one concrete target. "+err.Detail)
		case seen[t.String()]:
			v.add(reason.WarrantIncomplete, field, "stands there twice")
		default:
			seen[t.String()] = true
		}
	}
}

func (v *violations) err() *reason.Error {
	if len(v.list) == 0 {
		return nil
	}
	r := v.reasons[0]
	for _, other := range v.reasons[1:] {
		if other != r {
			r = reason.WarrantIncomplete
		}
	}
	return reason.Invalid(r, v.list...)
}
