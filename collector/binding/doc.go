// Package binding decides who holds which address, from when until when. It is
// the one place that does.
//
// It is pure: it reads no clock, does no I/O and draws no randomness. Sources
// (RADIUS accounting, DHCP, PPPoE, configured lines) report [Observation] values;
// the caller adds ticks and counter readings; out come records for the store and
// changes for the kernel's address table.
//
// # What becomes of rival claims
//
// An address that is not the provider's own at the time ([Range]) is nobody's, and
// counted in [Ignored]. Else, of two sessions that claim one address (in one
// scope) at once:
//
//	same source                    recorded                        counts for
//	  the later began while the    the earlier ends there:         the later
//	  earlier was silent since     superseded, inferred
//	  the earlier was told to      both, overlapping: a conflict   nobody, if the
//	  hold it after that, or both                                  lines differ
//	  began at the same instant
//	different sources              both: a conflict only if the    the stronger
//	                               register knows two lines        source
//
// Records of different sources never correct each other: a modem's MAC in DHCP and
// a user name in RADIUS are two references of, as a rule, one line, and only the
// register knows. If they are of two, a disclosure answers DATA_CONFLICT, as it
// does for two overlapping claims of one source. To the kernel's table, which has
// room for one, sources count in this order, and a weaker one while no stronger
// one holds the address:
//
//	1 radius   authenticated, by the equipment that terminates the session
//	2 pppoe    the same session, read on the wire
//	3 dhcpv4   a lease as the server acknowledged it
//	4 dhcpv6   likewise
//	5 static   what is configured, whether or not anybody is there
//
// # How sure an interval is
//
//	observed     both ends were seen (a Start or ACK; a Stop, a release)
//	synthesised  one was computed: a start from Acct-Session-Time, an end from the
//	             lease time or a range's validity
//	inferred     one was concluded: superseded, NAS restarted, nothing heard for
//	             StaleAfter; then all that lies after the last sign of life is
//
// Of two ends of one session the surer counts, then the earlier; of two starts
// one that was seen before one that was told. A prefix per host (RFC 8273) or a
// SLAAC prefix comes as Framed-IPv6-Prefix from RADIUS or as a configured line.
package binding
