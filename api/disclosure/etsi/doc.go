// Package etsi writes and reads the XML of an answer: the NetworkAccess part of
// ETSI TS 102 657, as far as its outline is known to us.
//
// The file is outline-conformant: names, nesting and order are those of a real
// file of version 1.28.1 and of published fragments of the ASN.1 module. The
// schema itself (RDMessage.xsd) is not in this tree, so nothing here was
// validated against it. What is not verified says so where it is written. The
// whole encoder is encode.go, so that the schema can be pinned in one place.
//
// What the outline has no verified element for stands in otherInformation, under
// the keys in [Keys] and no other: receivers in the field lose data when a
// provider's keys change their spelling.
package etsi
