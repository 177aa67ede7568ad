// Package disclosuretest is the legal path with everything real, for the tests of
// the packages that it runs through: engine, register, key store, ledger, and the
// services behind gRPC. Only who calls is told by metadata instead of a token.
//
// A test declares a lab of its own around it, for what only that test does:
//
//	type lab struct{ *disclosuretest.Lab }
package disclosuretest
