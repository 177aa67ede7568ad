// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

// Package bpfbench holds the programs that the accounting programs are measured
// against. They are loaded by the bench command only, and never attached.
package bpfbench

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go@v0.22.0 -cc clang -no-global-types -cflags "-O2 -mcpu=v3 -g -I.. -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-function -Wno-sign-compare" -target bpfel -go-package bpfbench Flow flow.bpf.c
