// Package execute carries out disclosure tasks: it is the shell around packages
// warrant and disclosure, and the only place where traffic data and persons are
// read together.
//
// The order of an execution is the product's promise. The warrant is checked;
// the intent is in the ledger before the query; the package is sealed, on disk
// and synced before the result entry; the receipt proves that entry; and nothing
// leaves before the release entry, at whose time the warrant must still last.
// Whatever fails on the way leaves an abort entry and no package. A second
// execution returns what the first one sealed and never queries again.
package execute
