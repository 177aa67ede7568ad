package retention

import (
	"slices"

	"griffier/schema"
)

// Classes of what is kept beside the traffic store. A policy has a rule for each
// of these too; the store's views know nothing of them.
const (
	ClassDossier   schema.Class = "dossier"    // keys of sealed ledger bodies, counted from the warrant's or the month's end (package dossier)
	ClassPackage   schema.Class = "package"    // sealed answers, counted from their first fetch
	ClassKeyBackup schema.Class = "key_backup" // copies of the keystore, counted from when they were made; removing them is the operator's
)

// Classes lists what a policy file has a rule for, each once, in the order in
// which reports print them. Adding a class to the store adds it here; until the
// policy file has a rule for it nobody can read it. Every class has a rule in
// profile/*.yaml and, where the law sets a limit, a maximum in law/*.yaml; a file
// of before it was added is refused, and the policy in force goes on.
func Classes() []schema.Class {
	return append(slices.Clone(schema.Classes), ClassDossier, ClassPackage, ClassKeyBackup)
}

// stored tells whether the class has rows in the traffic store.
func stored(c schema.Class) bool { return slices.Contains(schema.Classes, c) }
