// Package keystore holds the named keys under which evidence and personal data
// are sealed, and can destroy them one at a time.
//
// A key has a name such as "case:<warrant id>", "class:support:2026-11" or
// "person:<line id>". Each is a tink AES256-GCM keyset in a file of its own,
// encrypted under a master key that lives in another file. File names are keyed
// hashes of the names, so that a listing of the folder tells nothing.
//
// Destroying a key ("shredding") is how content is erased from an append-only
// log: the ciphertext stays, and no one can read it again. A tombstone remains,
// so that "destroyed" is told apart from "never existed". Overwriting a file
// cannot be promised to reach the old blocks of a solid-state disk, a journal or
// a copy-on-write file system: put the folder on a plain file system, keep its
// backups no longer than the stated rotation, and replace the master key when a
// disk leaves the house.
//
// A folder belongs to one process. All methods are safe for concurrent use.
package keystore
