package warrant

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"filippo.io/age"

	"griffier/api/reason"
)

// AuthorityView is what the registry of authorities holds of one, as it is now.
// Nothing in it is about a person.
type AuthorityView struct {
	ID      string
	Country string // ISO 3166-1 alpha-2
	Offices []string
	// Bases and Categories are what this authority may use, whatever the profile
	// offers to its office (one sheet an authority); none listed: none.
	Bases      []string
	Categories []Category
	CallBack   string // the number that is called back, as NormalNumber writes it
	// Keys are the fingerprints of the keys that packages may be sealed to: those
	// that a second person confirmed and nobody revoked.
	Keys       []string
	Generation uint64 // of its record, which rises with every change
	Retired    bool
}

// MemberStates are the countries of the European Union. A direct request from
// any other is refused: its road is mutual legal assistance.
var MemberStates = []string{"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}

// notDirectly is the pointer that a direct request from outside the Union gets.
const notDirectly = "A direct request from outside the European Union does not compel. It goes through mutual legal assistance, " +
	"or the Second Additional Protocol to the Budapest Convention where both countries are bound by it: refer the authority to the central authority of this country."

const recipientHash = "sha256:"

// RecipientFingerprint returns the fingerprint of the key that a content's
// recipient names: the hexadecimal SHA-256 of an age public key's text, or what
// follows "sha256:", which is that of a registered certificate's DER. False: it
// names neither.
func RecipientFingerprint(recipient string) (string, bool) {
	if sum, ok := strings.CutPrefix(recipient, recipientHash); ok {
		return sum, sha256Form.MatchString(sum)
	}
	if key, err := age.ParseX25519Recipient(recipient); err != nil || key.String() != recipient {
		return "", false
	}
	sum := sha256.Sum256([]byte(recipient))
	return hex.EncodeToString(sum[:]), true
}

// authority asks the registry. A registry that is not there knows nobody.
func (r *Rules) authority(id string) (AuthorityView, bool) {
	if r.Authorities == nil {
		return AuthorityView{}, false
	}
	return r.Authorities(id)
}

// mayUse judges whether an authority may act on a basis at all. One that is not
// registered is left to the two approvers only where the profile says so, and then
// by the country that its id begins with.
func (r *Rules) mayUse(law Law, authority string, b Basis) *reason.Error {
	if authority == "" {
		return nil // reported with everything else that is missing
	}
	a, ok := r.authority(authority)
	refuse := func(why string) *reason.Error { return reason.New(reason.AuthorityNotEntitled, why) }
	switch {
	case !ok && law.Of(b.ID).OnlyRegistered:
		return refuse("The authority is not registered.")
	case !ok:
		if country, _, _ := strings.Cut(authority, "-"); slices.Contains(MemberStates, country) && law.foreign(b, country) != "" {
			return refuse(law.foreign(b, country))
		}
		return nil
	case a.Retired:
		return refuse("The authority was retired from the registry.")
	case !slices.Contains(MemberStates, a.Country):
		return reason.New(reason.NoLegalCompulsion, notDirectly)
	case law.Unfit(b, a.Country, a.Offices) != "":
		return refuse(law.Unfit(b, a.Country, a.Offices))
	case !slices.Contains(a.Bases, b.ID):
		return refuse("The registry does not let this authority use " + b.ID + ".")
	}
	return nil
}

// mayReceive judges, of an authority that may use the basis, whether the registry
// lets it have the categories, and whether the recipient's key is one of its
// confirmed ones. recipient is a fingerprint.
func (r *Rules) mayReceive(authority string, categories []Category, recipient string) *reason.Error {
	a, ok := r.authority(authority)
	if !ok {
		return nil // mayUse has judged that
	}
	for _, c := range categories {
		if !slices.Contains(a.Categories, c) {
			return reason.New(reason.AuthorityNotEntitled, "The registry does not let this authority have "+string(c)+".")
		}
	}
	if !slices.Contains(a.Keys, recipient) {
		return reason.New(reason.AuthorityNotEntitled, "The recipient's key is not, or no longer, a confirmed key of this authority.")
	}
	return nil
}

// MayOrder asks of a warrant whether its authority may use its legal basis, whoever
// would receive what.
func (r *Rules) MayOrder(w Warrant) *reason.Error {
	law := r.Law()
	b, ok := law.Basis(w.Basis)
	if !ok || b.Disabled {
		return reason.New(reason.NoLegalCompulsion, "The warrant's legal basis is in no profile in force any more.")
	}
	return r.mayUse(law, w.Authority, b)
}

// Entitled asks of a warrant, again at every step, what was asked when it was
// made: authorities are retired and keys revoked while a case runs.
func (r *Rules) Entitled(w Warrant) *reason.Error {
	if err := r.MayOrder(w); err != nil {
		return err
	}
	return r.mayReceive(w.Authority, w.Categories, w.Recipient)
}
