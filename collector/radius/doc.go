// Package radius receives RADIUS accounting (RFC 2866) and turns it into
// observations of sessions for package binding.
//
// It has three layers. [Decode] reads one datagram. [Tracker] knows every
// session of every NAS and turns a decoded request into observations; it is
// pure: arrival times are handed in, and a capture gives the same observations
// as live traffic. [Server] is the shell: it owns the socket, checks secrets,
// and acknowledges a request only after its observations are durable.
//
// layeh.com/radius is the codec. Its PacketServer is not used: it checks
// authenticators over padding, runs a goroutine per packet, so that a Stop can
// overtake its Start, and takes distinct requests for duplicates.
package radius
