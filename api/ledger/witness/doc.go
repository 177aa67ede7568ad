// Package witness watches ledgers from another machine: the data protection
// officer's, say, or another provider's. It holds a key of its own and, for each
// ledger, the newest checkpoint that it has signed; it signs the next one only if
// the ledger proves that it extends that one. So nobody, with whatever keys, can
// take entries back or show two ledgers, and have it signed.
//
// The protocol is C2SP tlog-witness (POST /add-checkpoint), the signature C2SP
// tlog-cosignature (cosignature/v1, Ed25519), the ledger's part any log that makes
// C2SP checkpoints. GET /checkpoint?origin=NAME is our addition: what is
// remembered, for a ledger that starts.
//
// [Witness] is the server, [Client] calls one, [Gatherer] keeps a ledger cosigned.
package witness
