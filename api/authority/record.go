package authority

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// Limits of a record.
const (
	maxID      = 64
	maxText    = 200
	maxEntries = 50 // of offices and of bases
)

// Record is what the registry says of an authority. None of it is about a person.
type Record struct {
	ID         string             `json:"id"`
	Name       string             `json:"name"`
	Country    string             `json:"country"` // ISO 3166-1 alpha-2
	Offices    []string           `json:"offices"`
	Bases      []string           `json:"bases"`
	Categories []warrant.Category `json:"categories"`
	CallBack   string             `json:"call_back"` // E.164
}

var (
	idForm      = regexp.MustCompile(`^[A-Z]{2}(-[A-Za-z0-9]+)+$`)
	countryForm = regexp.MustCompile(`^[A-Z]{2}$`)
	officeForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)
)

// normal returns the record in the one form in which it is hashed and kept.
func (r Record) normal() Record {
	r.Name = strings.TrimSpace(r.Name)
	r.CallBack = warrant.NormalNumber(r.CallBack)
	r.Offices = slices.Sorted(slices.Values(r.Offices))
	r.Bases = slices.Sorted(slices.Values(r.Bases))
	r.Categories = slices.Sorted(slices.Values(r.Categories))
	return r
}

// Hash returns the SHA-256 of the record's normal form, hexadecimal: what an
// approver sees and approves.
func (r Record) Hash() string {
	text, err := json.Marshal(r.normal())
	if err != nil { // strings: cannot fail
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// validate lists everything that is wrong with a record in normal form, under the
// law in force.
func (r Record) validate(law warrant.Law) (bad []reason.Violation) {
	complain := func(field, description string) {
		bad = append(bad, reason.Violation{Field: field, Description: description})
	}
	if len(r.ID) > maxID || !idForm.MatchString(r.ID) {
		complain("id", "must be the country, a hyphen, and letters, digits and hyphens, at most "+strconv.Itoa(maxID)+": NL-OM-Amsterdam")
	}
	if !countryForm.MatchString(r.Country) || !strings.HasPrefix(r.ID, r.Country+"-") {
		complain("country", "must be two capitals (ISO 3166-1), with which the id begins")
	}
	if r.Name == "" || len(r.Name) > maxText || strings.ContainsFunc(r.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		complain("name", "must be printable text of 1 to "+strconv.Itoa(maxText)+" bytes; an office's, never a person's")
	}
	list := func(field string, values []string, good func(string) bool) {
		if len(values) == 0 || len(values) > maxEntries {
			complain(field, "must be 1 to "+strconv.Itoa(maxEntries))
		}
		for i, v := range values {
			if !good(v) || i > 0 && values[i-1] == v {
				complain(field+"["+strconv.Itoa(i)+"]", "is unknown, malformed, or stands there twice")
			}
		}
	}
	list("offices", r.Offices, officeForm.MatchString)
	list("bases", r.Bases, func(s string) bool { _, ok := law.Basis(s); return ok })
	var categories []string
	for _, c := range r.Categories {
		categories = append(categories, string(c))
	}
	list("categories", categories, func(s string) bool { return warrant.Category(s).Known() })
	if !warrant.NumberForm.MatchString(r.CallBack) {
		complain("call_back", "must be a telephone number as +31201234567")
	}
	if len(bad) > 0 {
		return bad // what a basis fits is judged of a record of good form
	}
	for i, id := range r.Bases {
		b, _ := law.Basis(id)
		if why := law.Unfit(b, r.Country, r.Offices); why != "" {
			complain("bases["+strconv.Itoa(i)+"]", "is not for this authority. "+why)
		}
	}
	return bad
}

var lookalikes = strings.NewReplacer("0", "O", "1", "I", "L", "I", "5", "S", "8", "B", "2", "Z", "-", "", "RN", "M", "VV", "W")

// skeleton is the same for two ids that could be read as one.
func skeleton(id string) string { return lookalikes.Replace(strings.ToUpper(id)) }
