// Package enrol gives collectors their client certificates: a one-time token
// that an engineer makes, a certificate for a key that the collector made, and
// its renewal by itself. Who is let in is a fold over the ledger, and nothing is
// issued before its entry is durable.
//
// A token is 130 random bits, kept as a hash, good for one collector, one key and
// a day at most. A certificate is good for 90 days at most, and can be renewed
// while it is its collector's newest, or the one that the newest was issued for:
// a collector that never got an answer asks again, and a copy of an old
// certificate is worth nothing once the collector has gone on.
package enrol
