// Package binding decides who holds which address, from when until when.
//
// It is pure: it reads no clock, does no I/O and draws no randomness. Sources
// (RADIUS accounting, DHCPv4, static lines) report [Observation] values; the
// caller adds ticks and counter readings; out come records for the store and
// changes for the kernel's address table.
package binding
