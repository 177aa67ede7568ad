// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

// Chosen returns the hook that HookAuto stands for on this machine, or the error
// of Supported.
func Chosen() (Hook, error) { return supportedHook(HookAuto) }
