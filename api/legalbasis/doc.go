// Package legalbasis keeps the legal-basis profiles in force: which article permits
// which category of data, who must sign, and under what conditions. A profile is
// a file that a lawyer signs (package signedfile, [warrant.OpenProfile]).
//
// In force together are the profile of the provider's nation and, beside it, that
// of the Union (profile eu): each has its own generation and is changed without
// touching the other. What would be ambiguous is refused: a second nation, and a
// basis whose id another profile has.
//
// griffierd takes its first profiles from the files that its configuration names.
// From then on the ledger says which are in force, and a change or an addition
// takes two people: a legal officer proposes a signed file of a higher generation,
// a privacy controller, another person, approves exactly that. It applies to the
// next command. What cannot be taken changes nothing: the profiles in force stay.
//
// Every version stands in the ledger, whole and in the clear (it is about the law,
// not about anybody), so that losing everything but the ledger loses no version. A
// version that this program cannot read, since a later one wrote it, denies
// everything until it is replaced.
package legalbasis
