// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

// ClangVersion is the compiler that made the committed objects. Another one makes
// other, equally valid bytes, so the test that regenerates them runs only with it.
const ClangVersion = "14.0.6"

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go@v0.22.0 -cc clang -no-global-types -cflags "-O2 -mcpu=v3 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare" -target bpfel -go-package bpf -type bucket -type other_key -type count -type slot_counters -type direction_totals -type slot_owner -type config -type prefix_mask -type punt_header accounting accounting.bpf.c
