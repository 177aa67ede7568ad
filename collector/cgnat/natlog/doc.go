// Package natlog receives what a translator logs of the ports that it gives to
// subscribers (RFC 8158), over UDP by IPFIX (RFC 7011) or NetFlow 9 (RFC 3954):
// blocks of ports as they are assigned and taken back, and mappings and sessions
// as they begin and end.
//
// The far end of a session is no part of it. A template is compiled to what is
// read of a record: the event, its time, the source, the source's public side, the
// protocol and the realm. Every other element, destinations among them, is a
// number of octets to step over, and neighbours are one number, so that the
// decoder does not know where in a record a destination is (RFC 6888 REQ-12).
//
// [Decoder] is pure and the hot path. [Receiver] is the shell: the socket, the
// exporters that may send, and a queue until the next tick of the collector.
// Datagrams are not acknowledged and nobody repeats them. What sequence numbers
// and missing templates show to be lost is declared as a gap, from the last
// datagram in order on; after it, open blocks count as inferred and open flows as
// ended. Blocks that were assigned before the collector first ran, or while it did
// not, are not known until they are assigned anew: let a translator begin with the
// collector, or tell blocks by RADIUS (RFC 8045), which is acknowledged.
package natlog
