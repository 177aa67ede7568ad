package engine

import "strings"

// insertText is an INSERT whose data follows it, split into its parts.
type insertText struct {
	statement string // up to the FORMAT clause or the VALUES keyword
	format    string // "Native", "Values", …
	data      string // what of the data is in the text itself
}

// splitInsert recognises an INSERT that takes data from outside: one that ends
// in FORMAT name or VALUES, with or without data after it. It reports false for
// every other statement, INSERT … SELECT among them. It follows ClickHouse's
// lexer for what it must skip: comments, strings, quoted names, brackets.
func splitInsert(text string) (insertText, bool) {
	l := lexer{text: text}
	if !l.keyword("INSERT") {
		return insertText{}, false
	}
	l.keyword("INTO")
	l.keyword("TABLE")
	l.keyword("FUNCTION")
	// The name may be any word, even VALUES; step over it before looking.
	if l.next().kind == lexEnd {
		return insertText{}, false
	}
	depth := 0
	for {
		before := l.at
		token := l.next()
		switch token.kind {
		case lexEnd:
			return insertText{}, false
		case lexOpen:
			depth++
		case lexClose:
			depth--
		case lexWord:
			if depth != 0 {
				continue
			}
			switch strings.ToUpper(token.text) {
			case "SELECT", "WITH", "WATCH", "INFILE", "EXPLAIN":
				return insertText{}, false
			case "VALUES":
				return insertText{statement: text[:before], format: "Values", data: text[l.at:]}, true
			case "FORMAT":
				name := l.next()
				if name.kind != lexWord {
					return insertText{}, false
				}
				return insertText{statement: text[:before], format: name.text, data: trimOneBreak(text[l.at:])}, true
			}
		}
	}
}

// trimOneBreak drops the white space that separates a format's name from its
// data: blanks and one line break, as ClickHouse does.
func trimOneBreak(s string) string {
	trimmed := strings.TrimLeft(s, " \t\r\f\v")
	if strings.HasPrefix(trimmed, "\n") {
		return trimmed[1:]
	}
	return trimmed
}

type lexKind int

const (
	lexEnd lexKind = iota
	lexWord
	lexOpen
	lexClose
	lexOther
)

type lexToken struct {
	kind lexKind
	text string
}

// lexer splits a statement as far as splitInsert needs.
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

func (l *lexer) next() lexToken {
	l.skipBlank()
	if l.at >= len(l.text) {
		return lexToken{kind: lexEnd}
	}
	start := l.at
	switch c := l.text[l.at]; {
	case isWordByte(c):
		for l.at < len(l.text) && isWordByte(l.text[l.at]) {
			l.at++
		}
		return lexToken{kind: lexWord, text: l.text[start:l.at]}
	case c == '\'' || c == '"' || c == '`':
		l.skipQuoted(c)
		return lexToken{kind: lexOther}
	case c == '(' || c == '[' || c == '{':
		l.at++
		return lexToken{kind: lexOpen}
	case c == ')' || c == ']' || c == '}':
		l.at++
		return lexToken{kind: lexClose}
	case c == '.':
		// A qualified name: the word after the dot is part of it.
		l.at++
		l.skipBlank()
		for l.at < len(l.text) && isWordByte(l.text[l.at]) {
			l.at++
		}
		return lexToken{kind: lexOther}
	default:
		l.at++
		return lexToken{kind: lexOther}
	}
}

func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.at++
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "#!") || strings.HasPrefix(rest, "# "):
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

// skipQuoted steps over a quoted run; a backslash or a doubled quote does not
// end it.
func (l *lexer) skipQuoted(quote byte) {
	l.at++
	for l.at < len(l.text) {
		switch l.text[l.at] {
		case '\\':
			l.at += 2
		case quote:
			l.at++
			if l.at >= len(l.text) || l.text[l.at] != quote {
				return
			}
			l.at++
		default:
			l.at++
		}
	}
	l.at = min(l.at, len(l.text))
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
