package letter

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	portForm      = regexp.MustCompile(`(?i)(bestemmings|doel|ziel|destination[ -]?|dst[ -]?)?(?:bron|source[ -]?|quell|src[ -]?|client[ -]?)?(?:poort|port|porte)(?:nummers?|nummer| number| numbers|s)?( source| de destination)?(?: ?(?:nr|no|n°|num)\.?)? ?[:=#]? ?(\d{1,6})`)
	protocolForm  = regexp.MustCompile(`(?i)(icmpv6|icmp|tcp|udp|sctp|dccp)`)
	articleForm   = regexp.MustCompile(`(?i)126 ?(zh|ua|na|nd|ng|ni|n|u)(?:[ ,]*(?:,? ?(?:lid|paragraaf|paragraph|par\.?|abs\.?) ?)?\(?([12])(?:\)|e lid|de lid)?(?:[^0-9a-z]|$))?|(46|88) ?(bis)|(39) ?(ter)|(EPOC[- ]?PR)|(EPOC)|(2023/1543)`)
	referenceForm = regexp.MustCompile(`(?i)(?:(?:ons|uw|our|your|unser|ihr|notre|votre|nos|vos) )?(?:kenmerk|referentie(?:nummer)?|reference(?: number| no\.?)?|référence|ref\.?|réf\.?|parketnummer|notitienummer|proces-verbaal(?:nummer)?|pv[- ]?(?:nummer|nr)\.?|zaaknummer|dossiernummer|dossier(?: no\.?| nr\.?| n°)?|case(?: no\.?| number| ref\.?)|aktenzeichen|az\.|geschäftszeichen|numéro de (?:dossier|notice)|n° de (?:dossier|notice)|rc-nummer)[ \t]*(?:nr\.?|no\.?|n°)?[ \t]*[:=#]?[ \t]+([^\s,;]{2,80})`)
)

// bases are those of the shipped profiles that an article may stand for.
var bases = map[string][]string{
	"126na": {"NL-126na", "NL-126na-2"}, "126ua": {"NL-126na"}, "126n": {"NL-126n"}, "126u": {"NL-126n"}, "126zh": {"NL-126n"},
	"126nd": {"NL-126nd"}, "126ng": {"NL-126nd"}, "126ni": {"NL-126ni"}, "46bis": {"BE-46bis"}, "88bis": {"BE-88bis"}, "39ter": {"BE-39ter"},
	"epoc": {"EPOC-SUBSCRIBER", "EPOC-USER", "EPOC-TRAFFIC"}, "epoc-pr": {"EPOC-PR"},
}

func articles(line string) []span {
	var out []span
	for _, m := range articleForm.FindAllStringSubmatchIndex(line, -1) {
		start, end := m[0], m[1]
		f := Finding{Kind: Article}
		var options []string
		switch {
		case m[2] >= 0:
			paragraph := sub(line, m, 2)
			if paragraph == "" {
				end = m[3]
			} else {
				end = m[5]
			}
			article := "126" + strings.ToLower(sub(line, m, 1))
			if options = bases[article]; article == "126na" {
				switch paragraph {
				case "1":
					options = options[:1]
				case "2":
					options = options[1:]
				default:
					f.Notes = append(f.Notes, "Paragraph 1 and paragraph 2 are two bases: which is it?")
				}
			}
		case m[6] >= 0:
			options = bases[sub(line, m, 3)+"bis"]
		case m[10] >= 0:
			options = bases["39ter"]
		case m[14] >= 0:
			options = bases["epoc-pr"]
		case m[16] >= 0:
			options = bases["epoc"]
			f.Notes = append(f.Notes, "An EPOC is for subscriber data, for identifying a user, or for traffic data: its form says which.")
		default:
			options = append(append([]string{}, bases["epoc"]...), bases["epoc-pr"]...)
			f.Notes = append(f.Notes, "The Regulation knows orders for production and for preservation.")
		}
		if !bounded(line, start, end) {
			continue
		}
		if len(options) == 1 {
			f.Value = options[0]
		} else {
			f.Options = options
		}
		out = append(out, span{start: start, end: end, finding: f})
	}
	return out
}

// references are what stands behind a word for one and has a digit in it.
func references(line string) []span {
	var out []span
	for _, m := range referenceForm.FindAllStringSubmatchIndex(line, -1) {
		start, end := m[2], m[3]
		for end > start && strings.ContainsRune(".)", rune(line[end-1])) {
			end--
		}
		text := line[start:end]
		if before, _ := lastRune(line[:m[0]]); unicode.IsLetter(before) || !strings.ContainsAny(text, "0123456789") {
			continue
		}
		f := Finding{Kind: Reference}
		if strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII || r < ' ' }) >= 0 {
			f.Notes = append(f.Notes, "It has characters that are not plain ASCII and may look like others: type it from the order, it is refused as it stands.")
		} else {
			f.Value = text
		}
		out = append(out, span{start: start, end: end, finding: f})
	}
	return out
}

func lastRune(s string) (rune, bool) {
	last, ok := rune(0), false
	for _, r := range s[max(0, len(s)-4):] {
		last, ok = r, true
	}
	return last, ok
}

func ports(line string) []span {
	var out []span
	for _, m := range portForm.FindAllStringSubmatchIndex(line, -1) {
		destination := m[2] >= 0 || sub(line, m, 2) == " de destination"
		if bounded(line, m[0], m[1]) {
			out = append(out, portSpan(line, m[6], m[7], destination))
		}
	}
	return out
}

func protocols(line string) []span {
	var out []span
	for _, m := range protocolForm.FindAllStringIndex(line, -1) {
		if bounded(line, m[0], m[1]) {
			out = append(out, span{start: m[0], end: m[1], finding: Finding{Kind: Protocol, Value: strings.ToUpper(line[m[0]:m[1]])}})
		}
	}
	return out
}
