package letter

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"griffier/api/warrant"
)

const (
	dotPattern   = `(?:\.|\[\.\]|\(\.\)|\{\.\}| ?\[dot\] ?| ?\(dot\) ?|\\\.)`
	colonPattern = `(?::|\[:\]|\(:\))`
)

var (
	v4Form   = regexp.MustCompile(`(?i)((\d{1,3})` + dotPattern + `(\d{1,3})` + dotPattern + `(\d{1,3}|\*)` + dotPattern + `(\d{1,3}|\*))(?:` + colonPattern + `(\d{1,5}))?(/\d{1,3})?`)
	v6Form   = regexp.MustCompile(`(?i)(\[?((?:[0-9a-f]{0,4}` + colonPattern + `){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}` + dotPattern + `){3}\d{1,3})?)\]?)(?::(\d{1,5}))?(/\d{1,3})?`)
	macForm  = regexp.MustCompile(`(?i)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}`)
	refanger = strings.NewReplacer("[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "[DOT]", ".", "(DOT)", ".", `\.`, ".", "[:]", ":", "(:)", ":", " ", "")
	afterDot = regexp.MustCompile(`^` + dotPattern + `\d`)
	private  = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("64:ff9b::/96")}
)

// addresses are of both versions, also defanged (192[.]0[.]2[.]1), with a port or a
// prefix length behind them.
func addresses(line string) []span {
	var out []span
	for _, m := range v4Form.FindAllStringSubmatchIndex(line, -1) {
		start, end := m[0], m[1]
		if start > 0 && (line[start-1] == '.' || isDigit(line[start-1])) || end < len(line) && isDigit(line[end]) || afterDot.MatchString(line[end:]) {
			continue // a longer row of numbers
		}
		group := func(i int) string { return sub(line, m, i) }
		text := group(2) + "." + group(3) + "." + group(4) + "." + group(5)
		out = append(out, address(line, text, start, m[3], m[12:14], group(7))...)
	}
	for _, m := range v6Form.FindAllStringSubmatchIndex(line, -1) {
		start, end := m[0], m[1]
		brackets := line[start] == '[' && line[m[3]-1] == ']'
		if !bounded(line, start, end) || m[6] >= 0 && !brackets {
			continue // without brackets a port cannot be told from a group
		}
		text := refanger.Replace(sub(line, m, 2))
		if strings.Count(text, ":") < 2 || len(text) < 3 {
			continue
		}
		if _, err := netip.ParseAddr(text); err != nil {
			continue // a time of day, a MAC address
		}
		out = append(out, address(line, text, start, m[3], m[6:8], sub(line, m, 4))...)
	}
	return out
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// sub is a submatch, empty if it is not there.
func sub(line string, m []int, i int) string {
	if m[2*i] < 0 {
		return ""
	}
	return line[m[2*i]:m[2*i+1]]
}

// address judges the one that stands at a place, and the port behind it.
func address(line, text string, start, end int, port []int, prefix string) []span {
	f := Finding{Kind: Address}
	note := func(s string) { f.Notes = append(f.Notes, s) }
	a, err := netip.ParseAddr(text)
	switch {
	case strings.Contains(text, "*"):
		note("A wildcard: a warrant names single addresses (TARGET_NOT_SPECIFIC).")
	case err != nil:
		note("Not an address: a number is above 255, or begins with 0, which some read as octal.")
	case prefix != "" && prefix != "/"+strconv.Itoa(a.BitLen()):
		note("A prefix, not one address: if the order means all of it, it is too wide (TARGET_NOT_SPECIFIC).")
		f.Options = []string{a.String() + prefix}
	default:
		a = a.Unmap()
		f.Value = a.String()
		if _, refusal := warrant.ParseTarget(f.Value); refusal != nil {
			note("No line can hold that address.")
		}
		for _, p := range private {
			if p.Contains(a) {
				note("Not an address of the public Internet: it says nothing about a line without the public one.")
			}
		}
	}
	if written := strings.ToLower(line[start:end]); strings.ContainsAny(written, "({\\") || strings.Contains(written, "dot") || strings.Contains(written, "[.") || strings.Contains(written, "[:") {
		note("It was written so that nothing makes a link of it; check the digits.")
	}
	out := []span{{start: start, end: end, finding: f}}
	if port[0] >= 0 {
		out = append(out, portSpan(line, port[0], port[1], false))
	}
	return out
}

// portSpan is a port number at a place.
func portSpan(line string, start, end int, destination bool) span {
	f := Finding{Kind: Port}
	n, err := strconv.ParseUint(line[start:end], 10, 32)
	switch {
	case err != nil || n == 0 || n > 65535:
		f.Notes = append(f.Notes, "There is no such port.")
	case destination:
		f.Notes = append(f.Notes, "A destination's port: none is kept, and none can be asked about.")
	default:
		f.Value = strconv.FormatUint(n, 10)
		if n < 1024 {
			f.Notes = append(f.Notes, "A port below 1024 is seldom a source's: check that it is not the destination's.")
		}
	}
	return span{start: start, end: end, finding: f}
}

func macs(line string) []span {
	var out []span
	for _, m := range macForm.FindAllStringIndex(line, -1) {
		if bounded(line, m[0], m[1]) {
			out = append(out, span{start: m[0], end: m[1], finding: Finding{Kind: MAC, Value: strings.ToLower(strings.ReplaceAll(line[m[0]:m[1]], "-", ":"))}})
		}
	}
	return out
}
