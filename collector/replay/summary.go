package replay

import (
	"fmt"
	"io"
	"slices"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// Summary is what a replay came across. It names no subscriber.
type Summary struct {
	Packets      int
	Counted      int            // IP packets of a line
	Unattributed int            // IP packets of nobody
	Classes      map[string]int // other packets, by reason
	Control      map[string]int // DHCP and PPPoE frames by protocol and reason, "used" if there is none
	RADIUS       map[string]int // RADIUS datagrams likewise
	Ignored      binding.Ignored
	Refused      int  // addresses that no counter could be given
	Backwards    int  // packets that were earlier than one before them
	Cut          int  // DHCP, PPPoE and RADIUS packets of which the capture holds a part only
	Elsewhere    int  // packets of interfaces that are not of Options.Access
	Together     int  // interfaces that were taken for one, if several
	CutOff       bool // the file ends within a packet
	First, Last  time.Time
	Records      map[schema.Kind]int
}

// Write writes the summary for people.
func (s Summary) Write(w io.Writer) {
	fmt.Fprintf(w, "%d packets from %s to %s: %d counted for a line, %d for nobody\n",
		s.Packets, s.First.Format(time.RFC3339Nano), s.Last.Format(time.RFC3339Nano), s.Counted, s.Unattributed)
	for _, x := range []struct {
		what   string
		counts map[string]int
	}{{"other packets", s.Classes}, {"control frames", s.Control}, {"RADIUS datagrams", s.RADIUS}} {
		for _, reason := range sortedKeys(x.counts) {
			fmt.Fprintf(w, "%s: %s: %d\n", x.what, reason, x.counts[reason])
		}
	}
	for _, x := range []struct {
		what string
		n    uint64
	}{
		{"observations older than the horizon", s.Ignored.TooLate}, {"observations without a session", s.Ignored.NoIdentifier},
		{"sessions that changed line", s.Ignored.IdentifierChanged}, {"sessions with too many prefixes", s.Ignored.TooManyPrefixes},
		{"prefixes outside the provider's ranges", s.Ignored.OutsideRanges},
		{"prefixes of another provider", s.Ignored.OtherProvider},
		{"prefixes too short to count by", uint64(s.Refused)}, {"packets earlier than the one before, so that answers may have been missed; reordercap puts them in order", uint64(s.Backwards)},
		{"packets of interfaces that are not access interfaces", uint64(s.Elsewhere)},
	} {
		if x.n > 0 {
			fmt.Fprintf(w, "%s: %d\n", x.what, x.n)
		}
	}
	if len(s.Control) == 0 && len(s.RADIUS) == 0 && s.Records[schema.KindSession] == 0 {
		fmt.Fprintln(w, "nothing tells who holds what: no DHCP, no PPPoE, no RADIUS on the port of radius.listen, which is 1813 if not set")
	}
	if s.CutOff {
		fmt.Fprintln(w, "the capture ends within a packet")
	}
	if s.Cut > 0 {
		fmt.Fprintf(w, "DHCP, PPPoE and RADIUS packets captured in part only: %d; what they told may be lost: capture whole packets, with tcpdump -s 0\n", s.Cut)
	}
	if s.Together > 0 {
		fmt.Fprintf(w, "%d interfaces are taken for one, and what passed two of them counts twice; -interface NAME takes that one only\n", s.Together)
	}
	for _, k := range []schema.Kind{schema.KindSession, schema.KindAssignment, schema.KindUsage, schema.KindCoverage} {
		fmt.Fprintf(w, "%s records: %d\n", k, s.Records[k])
	}
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
