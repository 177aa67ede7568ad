// Package signedfile reads the files by which a provider's lawyer says what
// griffierd may do: the retention policy and the legal-basis profile. They are
// strict YAML in which everything has its line and column, and signatures below.
//
// # Signatures
//
// The text, to its last line, is signed with Ed25519 as a signed note (C2SP
// signed-note): a blank line and one line a signature follow it, which are not
// part of the YAML. A file is taken when one of the keys that griffierd's own
// configuration names signed it.
package signedfile
