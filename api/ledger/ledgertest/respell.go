// Package ledgertest is for tests of what reads the ledger's files.
package ledgertest

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

var (
	padded    = regexp.MustCompile(`[A-Za-z0-9+/]{6,}={1,2}`)
	signature = regexp.MustCompile(`(\\n|\n)(— [^ ]+ )([A-Za-z0-9+/]{20})([A-Za-z0-9+/=]*)`)
	member    = regexp.MustCompile(`([{,])"([a-z_]+)":`)
)

// Respellings are other bytes that a lax reader takes for the same text: of JSON, of
// base64 and of signed notes, by what is done to them. All of them differ from it, and
// each call gives the same.
func Respellings(text []byte) map[string][]byte {
	s := string(text)
	out := map[string]string{
		"a line end more": s + "\n", "a blank at the end": s + " ", "a zero byte at the end": s + "\x00",
		"a blank before": " " + s, "a byte order mark": "\ufeff" + s,
		"no last line end": strings.TrimSuffix(s, "\n"),
		"CRLF":             strings.ReplaceAll(s, "\n", "\r\n"),
		"CRLF in a string": strings.ReplaceAll(s, `\n`, `\r\n`),
	}
	for i, at := range padded.FindAllStringIndex(s, -1) {
		run := s[at[0]:at[1]]
		last := strings.IndexByte(run, '=') - 1
		spare := 0
		for spare = 1; strings.IndexByte(digits, run[last])&spare != 0; spare <<= 1 {
		}
		if strings.HasSuffix(run, "==") && spare <= 8 || spare <= 2 {
			changed := run[:last] + string(digits[strings.IndexByte(digits, run[last])|spare]) + run[last+1:]
			out[fmt.Sprintf("spare bits of base64 %d", i)] = s[:at[0]] + changed + s[at[1]:]
		}
		out[fmt.Sprintf("a line end in base64 %d", i)] = s[:at[0]+4] + "\n" + s[at[0]+4:]
		out[fmt.Sprintf("an escaped line end in base64 %d", i)] = s[:at[0]+4] + `\n` + s[at[0]+4:]
		out[fmt.Sprintf("no padding of base64 %d", i)] = s[:at[0]] + strings.TrimRight(run, "=") + s[at[1]:]
	}
	for i, at := range signature.FindAllStringSubmatchIndex(s, -1) {
		end, line := s[at[2]:at[3]], s[at[4]:at[1]]
		out[fmt.Sprintf("signature %d twice", i)] = s[:at[1]] + end + line + s[at[1]:]
		// The key's hash is in the first digits; what follows is looked at once only.
		out[fmt.Sprintf("a false one by the same after signature %d", i)] = s[:at[1]] + end + s[at[4]:at[7]] + strings.Repeat("A", 68) + s[at[1]:]
	}
	if strings.HasPrefix(s, "{") {
		for i, at := range member.FindAllStringSubmatchIndex(s, -1) {
			name := s[at[4]:at[5]]
			out[fmt.Sprintf("%s, member %d, twice", name, i)] = s[:at[3]] + `"` + name + `":null,` + s[at[3]:]
			out[fmt.Sprintf("%s, member %d, in capitals", name, i)] = s[:at[4]] + strings.ToUpper(name) + s[at[5]:]
			out[fmt.Sprintf("%s, member %d, escaped", name, i)] = s[:at[4]] + fmt.Sprintf(`\u%04x`, name[0]) + s[at[4]+1:]
			out[fmt.Sprintf("a blank after %s, member %d", name, i)] = s[:at[1]] + " " + s[at[1]:]
			out[fmt.Sprintf("an unknown member before %s, member %d", name, i)] = s[:at[3]] + `"x":1,` + s[at[3]:]
		}
	}
	altered := map[string][]byte{}
	for how, other := range out {
		if !bytes.Equal([]byte(other), text) {
			altered[how] = []byte(other)
		}
	}
	return altered
}
