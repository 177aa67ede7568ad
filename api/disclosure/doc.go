// Package disclosure plans the one question that a task asks, judges what the
// store holds, and makes and verifies the sealed package with the answer.
//
// It is pure: evidence comes in as values, bytes go out. Package execute does
// the reading, the ledger entries and the files.
//
// An answer is one of the catalogue's, never a best guess: a wrong line means a
// wrong door. Where the evidence does not single out one line for the whole
// uncertainty interval, the answer says why not, and names nobody.
package disclosure
