// Package backup copies the embedded store and the ledger, and brings them back.
//
// A backup is a folder: a manifest in clear, without anything of anybody, and a
// sealed piece for each table and the ledger. What seals the pieces is a key of
// the backup's own, which only the keystore has; it is destroyed [Keep] after the
// backup was made, and after that no copy of the folder can be read by anyone. The
// keys themselves are copied into another folder ([CopyKeys]), whose copies are
// kept [KeysKeep]. The two together are why erased and expired data is out of every
// backup after [MaxLife].
//
// [Restore] needs an empty store. It leaves a marker in it: griffierd serves nothing
// from a restored store before it has put the policy in force, carried out every
// erasure and restriction of the ledger again, and dropped what has expired.
package backup

import "time"

const (
	// MaxLife is how long a backup can be read by anyone, at most.
	MaxLife = 30 * 24 * time.Hour
	// KeysKeep is how long copies of the keys are kept.
	KeysKeep = 7 * 24 * time.Hour
	// Keep is how long the key of a backup is kept. Copies of it go KeysKeep later.
	Keep = MaxLife - KeysKeep
)
