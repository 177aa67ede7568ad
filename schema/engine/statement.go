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
	// The table's name may be any words, even VALUES; step over it first.
	if l.next().kind == lexEnd {
		return insertText{}, false
	}
	for l.sign(".") {
		l.next()
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

// outsideWords are names by which a statement reads or writes files of this
// host without a grant standing in the way: the function file, and the INTO
// OUTFILE and FROM INFILE that a ClickHouse client carries out itself, which in
// the embedded engine is this process.
var outsideWords = map[string]bool{"FILE": true, "INFILE": true, "OUTFILE": true}

// reachesOutside returns the word by which a statement would reach the host's
// files, or "". Strings and comments do not count; a quoted name does.
func reachesOutside(statement string) string {
	l := lexer{text: statement}
	for {
		token := l.next()
		switch {
		case token.kind == lexEnd:
			return ""
		case outsideWords[strings.ToUpper(token.text)]:
			return token.text
		case token.kind == lexName && strings.Contains(token.text, `\`):
			return "an escaped name" // it may spell anything
		}
	}
}
