// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

// Package bpf is the kernel side of the collector: the accounting programs, and
// what it takes to load, attach and pin them.
//
// The programs count L3 bytes and packets by slot. Which address belongs to which
// slot, and which slot to which access line, is decided elsewhere (package
// griffier/collector/datapath): this package only puts keys into maps and reads
// counters out of them. Counters are cumulative; nothing here resets them.
//
// What is not exact, because the kernel does not show it to such a program: an
// aggregate of tunnelled packets (VXLAN, GRE, IP in IP) counts the outer headers
// for each segment but the inner ones once; frames that an egress queue drops
// after TCX have been counted. Interfaces must carry Ethernet frames.
//
// The files of this folder are dual licensed, BSD-3-Clause or GPL-2.0-only, as
// programs that call GPL helpers have to be.
package bpf
