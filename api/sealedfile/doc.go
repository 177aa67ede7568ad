// Package sealedfile keeps what is kept in files of its own and not in the ledger
// or the store: holds, and orders as they were received.
//
// A file is sealed in chunks, each to its place, so that none can be altered, left
// out, doubled, moved, or put into another file, and none cut off. It appears on its
// [Shelf] whole or not at all, and is synced when it does.
package sealedfile
