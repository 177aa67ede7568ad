// Package radius receives RADIUS accounting (RFC 2866) over UDP and TLS (RFC
// 6614) and turns it into observations of sessions for package binding.
//
// It has three layers. [Decoder] reads one request. [Tracker] knows every
// session of every NAS and turns a decoded request into observations; it is
// pure: arrival times are handed in, and a capture gives the same observations
// as live traffic. [Server] is the shell: it owns the sockets, checks secrets and
// certificates, and acknowledges a request only after its observations are
// durable.
//
// The codec is ours because it is hot; layeh.com/radius is its oracle in the
// tests. Its PacketServer would not do either: it checks authenticators over
// padding, runs a goroutine per packet, so that a Stop can overtake its Start,
// and takes distinct requests for duplicates.
//
// What a NAS counts is told too, as [binding.Octets]: a source of usage of its
// own, made cumulative over 32-bit counters that wrap and counters that begin
// again.
package radius
