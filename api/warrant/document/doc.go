// Package document keeps orders as they were received: each in one file, sealed in
// chunks under the key of its warrant, never changed, and gone when that key is.
//
// What a document is, is decided by its bytes ([Detect]), never by its name, and as
// little of it is read as that needs: a PDF is not parsed, and of a DOCX only the
// directory of its archive and the one part that says what it is. A scanner, where
// one is configured, sees it before anything is kept.
//
// A document is stored whole or not at all, wherever the process dies: the sealed
// file is synced before it gets its name, and the ledger's entry comes last. What
// has no entry is removed at the next start, and by a sweep.
package document
