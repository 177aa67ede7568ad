// Package cgnat observes who had which port of a shared address: mappings that
// Linux conntrack reports as flows begin and end, and blocks of ports that a NAS
// (RFC 8045) or the configuration assigns. Deterministic translators need no
// observation; package schema/cgnat computes them.
//
// The far end of a flow is no part of it. The conntrack decoder reads the source
// of the original direction, which is the subscriber, and the destination of the
// reply direction, which is the subscriber's public side; it steps over every
// other attribute by its length. What it yields has no field for more (RFC 6888
// REQ-12).
//
// A Linux translator may give one public port to several subscribers at once, as
// long as they talk to different far ends. Both rows are then kept, and readers
// answer that it is ambiguous. Blocks of ports avoid that, and their volume.
//
// The decoder and [Table] are pure. [Listener] is the shell around them.
package cgnat
