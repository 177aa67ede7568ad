package engine

import "strings"

type lexKind int

const (
	lexEnd   lexKind = iota
	lexWord          // a bare word: keyword, name or number
	lexName          // a quoted name
	lexText          // a string
	lexOpen          // an opening bracket
	lexClose         // a closing bracket
	lexOther         // any other sign
)

type lexToken struct {
	kind lexKind
	text string // of a word, or between the quotes of a name
}

// lexer splits a statement the way ClickHouse's Lexer.cpp does, as far as this
// package needs to tell words from strings, names and comments.
type lexer struct {
	text string
	at   int
}

// keyword steps over word if it comes next.
func (l *lexer) keyword(word string) bool {
	save := l.at
	if token := l.next(); token.kind == lexWord && strings.EqualFold(token.text, word) {
		return true
	}
	l.at = save
	return false
}

// sign steps over a single sign if it comes next.
func (l *lexer) sign(sign string) bool {
	save := l.at
	if token := l.next(); token.kind == lexOther && token.text == sign {
		return true
	}
	l.at = save
	return false
}

// The typographic quotes that ClickHouse accepts as quotes.
const (
	openText, closeText = "\u2018", "\u2019"
	openName, closeName = "\u201c", "\u201d"
)

func (l *lexer) next() lexToken {
	l.skipBlank()
	if l.at >= len(l.text) {
		return lexToken{kind: lexEnd}
	}
	start, rest := l.at, l.text[l.at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, openText):
		return lexToken{kind: lexText, text: l.until(openText, closeText)}
	case strings.HasPrefix(rest, openName):
		return lexToken{kind: lexName, text: l.until(openName, closeName)}
	case c == '$' && l.skipHeredoc():
		return lexToken{kind: lexText}
	case isWordByte(c) || c == '$':
		for l.at < len(l.text) && (isWordByte(l.text[l.at]) || l.text[l.at] == '$') && !l.typographic() {
			l.at++
		}
		return lexToken{kind: lexWord, text: l.text[start:l.at]}
	case c == '\'':
		return lexToken{kind: lexText, text: l.quoted(c)}
	case c == '"' || c == '`':
		return lexToken{kind: lexName, text: l.quoted(c)}
	case c == '(' || c == '[' || c == '{':
		l.at++
		return lexToken{kind: lexOpen}
	case c == ')' || c == ']' || c == '}':
		l.at++
		return lexToken{kind: lexClose}
	default:
		l.at++
		return lexToken{kind: lexOther, text: l.text[start:l.at]}
	}
}

// typographic reports whether one of the typographic quotes comes next.
func (l *lexer) typographic() bool {
	rest := l.text[l.at:]
	return strings.HasPrefix(rest, openText) || strings.HasPrefix(rest, openName)
}

func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.at++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest) - 1
			}
			l.at += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				l.at = len(l.text)
				return
			}
			l.at += end + 4
		default:
			return
		}
	}
}

// quoted steps over a quoted run and returns what is between the quotes; a
// backslash or a doubled quote does not end it.
func (l *lexer) quoted(quote byte) string {
	l.at++
	start := l.at
	for l.at < len(l.text) {
		switch l.text[l.at] {
		case '\\':
			l.at += 2
		case quote:
			l.at++
			if l.at >= len(l.text) || l.text[l.at] != quote {
				return l.text[start : l.at-1]
			}
			l.at++
		default:
			l.at++
		}
	}
	l.at = len(l.text)
	return l.text[start:]
}

// until steps over a run between typographic quotes, which know no escapes.
func (l *lexer) until(opening, closing string) string {
	rest := l.text[l.at+len(opening):]
	end := strings.Index(rest, closing)
	if end < 0 {
		l.at = len(l.text)
		return rest
	}
	l.at += len(opening) + end + len(closing)
	return rest[:end]
}

// skipHeredoc steps over $tag$…$tag$, if that is what comes next.
func (l *lexer) skipHeredoc() bool {
	rest := l.text[l.at:]
	end := 1
	for end < len(rest) && isWordByte(rest[end]) {
		end++
	}
	if end >= len(rest) || rest[end] != '$' {
		return false
	}
	tag := rest[:end+1]
	closing := strings.Index(rest[len(tag):], tag)
	if closing < 0 {
		return false
	}
	l.at += len(tag) + closing + len(tag)
	return true
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
