package retention

import (
	"slices"

	"griffier/schema"
)

// Classes of what is kept beside the traffic store. A policy has a rule for each
// of these too; the store's views know nothing of them.
const (
	ClassDossier   schema.Class = "dossier"    // case keys: what a warrant, its approvals and answers said, counted from the warrant's end
	ClassPackage   schema.Class = "package"    // sealed answers, counted from the authority's acknowledgement
	ClassKeyBackup schema.Class = "key_backup" // copies of the keystore, counted from when they were made
)

// Classes lists what a policy file has a rule for, each once, in the order in
// which reports print them. Adding a class to the store adds it here; until the
// policy file has a rule for it nobody can read it.
func Classes() []schema.Class {
	return append(slices.Clone(schema.Classes), ClassDossier, ClassPackage, ClassKeyBackup)
}

// stored tells whether the class has rows in the traffic store.
func stored(c schema.Class) bool { return slices.Contains(schema.Classes, c) }
