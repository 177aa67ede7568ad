package signedfile

import (
	"bytes"
	"unicode/utf8"
)

// byteOrderMark is what some editors begin a UTF-8 file with.
const byteOrderMark = "\ufeff"

// unreadable finds the first thing that makes bytes no plain text, which an editor or
// a transfer put there: a signature over it would not be of what people read, and
// what YAML says of it helps nobody.
func unreadable(text []byte) (Problem, bool) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Problem{What: "is empty"}, true
	}
	if bytes.HasPrefix(text, []byte(byteOrderMark)) {
		return Problem{1, 1, "begins with a byte order mark: save it as UTF-8 without one"}, true
	}
	line, column := 1, 1
	for rest := text; len(rest) > 0; column++ {
		r, size := utf8.DecodeRune(rest)
		what := ""
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == '\r':
			what = "the line ends as on Windows (CR LF): save it with line ends of LF, and sign it again"
		case r == '\t':
			what = "there is a tab: indent with blanks"
		case r == utf8.RuneError && size == 1:
			what = "this is not UTF-8: save it as UTF-8"
		case r < ' ' || r == 0x7f:
			what = "there is a control character: save it as plain UTF-8 text"
		}
		if what != "" {
			return Problem{line, column, what}, true
		}
		rest = rest[size:]
	}
	return Problem{}, false
}
