// Package cgnat computes who had which ports of a shared address from the
// parameters of a deterministic translator (RFC 7422). Nothing is recorded per
// flow: the parameters, with the time during which they held, are all there is,
// and the computation is exact in both directions.
//
// It is pure, and shared by the collector, the register and disclosure.
package cgnat
