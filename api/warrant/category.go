package warrant

import "slices"

// Category is a category of data, a column of the disclosure matrix.
type Category string

// Categories.
const (
	Identity     Category = "IDENTITY"
	Attribution  Category = "ATTRIBUTION"
	History      Category = "HISTORY"
	TimeCategory Category = "TIME"
	Volume       Category = "VOLUME"
	Preservation Category = "PRESERVATION"
)

// Categories lists every category.
var Categories = []Category{Identity, Attribution, History, TimeCategory, Volume, Preservation}

// defaultRecords is how many records a task of the category may disclose unless it
// says otherwise: months of one line, and no more.
func (c Category) defaultRecords() uint32 {
	switch c {
	case History, TimeCategory:
		return 10_000
	case Volume:
		return 20_000
	}
	return 1
}

// Known reports whether c is one of [Categories].
func (c Category) Known() bool { return slices.Contains(Categories, c) }

// Role is what a caller is in the legal workflow.
type Role string

// Roles.
const (
	LegalOfficer  Role = "legal_officer"
	LegalApprover Role = "legal_approver"
	// ExternalApprover is a lawyer from outside, who approves as the legal approver
	// does, and does nothing else.
	ExternalApprover  Role = "external_approver"
	PrivacyController Role = "privacy_controller" // third approver of a warrant with many targets
	Executor          Role = "executor"           // the service itself: results, releases, aborts
)

// Caller is who asks, by pseudonym: two accounts of one person have one Actor.
type Caller struct {
	Actor string
	Roles []Role
	Teams []string // none: the team that has no name
}

// Has reports whether the caller has role r.
func (c Caller) Has(r Role) bool { return slices.Contains(c.Roles, r) }
