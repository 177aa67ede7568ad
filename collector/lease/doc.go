// Package lease follows DHCPv4 (RFC 2131), DHCPv6 (RFC 8415) and PPPoE (RFC
// 2516) between subscribers and this router and turns them into observations of
// sessions for package binding.
//
// [Message], [Message6] and [MessagePPP] read one Ethernet frame each without
// allocating. The trackers are pure: they pair a client's request with its
// answer and know every lease and session; time comes with the frames, so a
// capture gives the same observations as live traffic. [Follower] is all of them
// together. What a subscriber sends and what a server sends are told apart by the
// direction of the frame on the access interface, never by what it says.
//
// After a restart the trackers go on from the collector's own spool: snapshot and
// observations since. That is the whole bootstrap; servers are not asked (RFC 4388,
// RFC 6926), since an answer would tell who holds a lease and not since when. A
// lease that was given while the collector did not run is known from its renewal
// on, and the time before is a declared gap.
package lease
