// Package lease follows DHCPv4 (RFC 2131) between subscribers and this router
// and turns it into observations of sessions for package binding.
//
// [Message.Parse] reads one Ethernet frame without allocating. [Tracker] is
// pure: it pairs a client's REQUEST with the server's ACK and knows every lease;
// time comes with the frames, so a capture gives the same observations as live
// traffic. What a subscriber sends and what a server sends are told apart by the
// direction of the frame on the access interface, never by what it says.
package lease
