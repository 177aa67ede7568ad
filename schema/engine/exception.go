package engine

import (
	"fmt"
	"regexp"
	"strconv"
)

// exception is an error reported by ClickHouse: its numeric code
// (system.errors) and its whole text, "Code: 60. DB::Exception: …".
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

var exceptionCode = regexp.MustCompile(`^Code: (\d+)\.`)

// codeUnknown is ClickHouse's UNKNOWN_EXCEPTION, for texts without a code.
const codeUnknown = 1002

// ClickHouse's codes for what this package itself refuses (system.errors).
const (
	codeBadArguments    = 36
	codeNotImplemented  = 48
	codeSyntaxError     = 62
	codeCannotRead      = 33
	codeTooLarge        = 307 // TOO_MANY_BYTES
	codeQueryCancelled  = 394 // QUERY_WAS_CANCELLED
	codeAccessDenied    = 497
	codeUnknownSettings = 115 // UNKNOWN_SETTING
)

// exceptionFrom reads the engine's error text.
func exceptionFrom(text string) *exception {
	if m := exceptionCode.FindStringSubmatch(text); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil && code > 0 {
			return &exception{code: code, text: text}
		}
	}
	return &exception{code: codeUnknown, text: fmt.Sprintf("Code: %d. DB::Exception: %s", codeUnknown, text)}
}

// refuse makes an exception of our own in the engine's form.
func refuse(code int, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s", code, fmt.Sprintf(format, args...))}
}
