// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

// Package bpf is the kernel side of the collector: the accounting programs, and
// what it takes to load, attach and pin them.
//
// The programs count L3 bytes and packets by slot. Which address belongs to which
// slot, and which slot to which access line, is decided elsewhere (package
// griffier/collector/datapath): this package only puts keys into maps and reads
// counters out of them. Counters are cumulative; nothing here resets them.
//
// Which slot an address counts in is looked up in a table of our own (lines.go):
// one cache line read for most packets, where a hash map reads three, and 27 bytes
// an address, where a hash map takes 80 to 96. Counters lie in stripes, one for each
// CPU that may exist, which user space reads where they are.
//
// Kernel memory a line, in bytes, with S stripes (Options.CounterStripes, by default
// the number of possible CPUs), K addresses and prefixes up to /64, L longer ones:
//
//	64 S + 88 + 27 K + 96 L + (17 to 33)
//
// being counters, owner, places in the table, elements of the hash map, and its
// buckets with the filter. A dual-stack line (K = 2) on 2 CPUs takes 292 of 100,000
// lines; on 64 CPUs 4260, or with 4 shared stripes 420 for two atomic additions more a
// packet. All but the 96 L is taken at the start, for MaxSlots lines.
//
// What is not exact, because the kernel does not show it to such a program: an
// aggregate of tunnelled packets (VXLAN, GRE, IP in IP) counts the outer headers
// for each segment but the inner ones once; frames that an egress queue drops
// after TCX have been counted. Interfaces must carry Ethernet frames.
//
// The files of this folder are dual licensed, BSD-3-Clause or GPL-2.0-only, as
// programs that call GPL helpers have to be.
package bpf
