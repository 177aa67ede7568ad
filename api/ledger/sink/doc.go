// Package sink keeps a second copy of a ledger on another host: whole entries, as
// they are hashed, with bodies sealed as they are. The copy is append-only and
// complete by proof: a batch is taken only with a checkpoint, signed by the
// ledger's key, whose root is the root over all that the copy then holds. So a
// copy can be behind, and can be lost, but cannot be wrong; and a ledger that was
// shortened or rewritten, with whatever keys, is refused.
//
// [Store] is the copy, [Handler] serves it, [Client] calls it, [Shipper] keeps it
// up to date from griffierd, and ledger.Rebuild makes a ledger from it again.
package sink
