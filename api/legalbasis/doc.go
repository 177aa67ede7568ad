// Package legalbasis keeps the legal-basis profile in force: which article permits
// which category of data, who must sign, and under what conditions. The profile is
// a file that a lawyer signs (package signedfile, [warrant.OpenProfile]).
//
// griffierd takes its first profile from the file that its configuration names.
// From then on the ledger says which is in force, and a change takes two people:
// a legal officer proposes a signed file of a higher generation, a privacy
// controller, another person, approves exactly that. It applies to the next
// command. What cannot be taken changes nothing: the profile in force stays.
//
// Every version stands in the ledger, whole and in the clear (it is about the law,
// not about anybody), so that losing everything but the ledger loses no version. A
// version that this program cannot read, since a later one wrote it, denies
// everything until it is replaced.
package legalbasis
