package script

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

type kind int

const (
	// word is a keyword, or an identifier without quotes. Its text is in lower case.
	word kind = iota
	// quoted is an identifier in quotes. Its text is without them.
	quoted
	// dollarString is a string in dollar quotes. otherString is any other.
	dollarString
	otherString
	// symbol is any other character.
	symbol
)

// token is a part of a script that is neither space nor comment.
type token struct {
	kind kind
	text string
	// start and end are its bytes in the script, and line is its line, from 1.
	start, end, line int
}

// lexer follows https://www.postgresql.org/docs/current/sql-syntax-lexical.html with standard_conforming_strings on.
type lexer struct {
	text string
	at   int
	line int
}

// lexicalError is an error on a line: "12: ...".
func (l *lexer) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%d: %w", line, fmt.Errorf(format, args...))
}

func tokenize(text string) (out []token, err error) {
	l := &lexer{text: text, line: 1}
	if i := strings.IndexByte(text, 0); i >= 0 {
		l.skip(i)
		return nil, l.errorf(l.line, "has a zero byte: is this SQL?")
	}
	if !utf8.ValidString(text) {
		return nil, l.errorf(1, "is not UTF-8: convert it")
	}
	for {
		if err := l.space(); err != nil {
			return nil, err
		}
		if l.at == len(l.text) {
			return out, nil
		}
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
}

func (l *lexer) rest() string { return l.text[l.at:] }

// skip moves n bytes ahead.
func (l *lexer) skip(n int) {
	l.line += strings.Count(l.text[l.at:l.at+n], "\n")
	l.at += n
}

// space skips spaces and comments.
func (l *lexer) space() error {
	for {
		rest := l.rest()
		spaces := len(rest) - len(strings.TrimLeft(rest, " \t\n\r\f\v"))
		l.skip(spaces)
		rest = l.rest()
		switch {
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexAny(rest, "\n\r")
			if end < 0 {
				end = len(rest)
			}
			l.skip(end)
		case strings.HasPrefix(rest, "/*"):
			if err := l.comment(); err != nil {
				return err
			}
		case spaces == 0:
			return nil
		}
	}
}

// comment skips a comment. Comments nest.
func (l *lexer) comment() error {
	begun, depth := l.line, 0
	for l.at < len(l.text) {
		switch rest := l.rest(); {
		case strings.HasPrefix(rest, "/*"):
			depth++
			l.skip(2)
		case strings.HasPrefix(rest, "*/"):
			depth--
			l.skip(2)
			if depth == 0 {
				return nil
			}
		default:
			l.skip(1)
		}
	}
	return l.errorf(begun, "a comment begins here and does not end")
}

var (
	identifier  = regexp.MustCompile(`^[A-Za-z_\x{80}-\x{10ffff}][A-Za-z0-9_$\x{80}-\x{10ffff}]*`)
	dollarQuote = regexp.MustCompile(`^\$(?:[A-Za-z_\x{80}-\x{10ffff}][A-Za-z0-9_\x{80}-\x{10ffff}]*)?\$`)
	// number is taken whole, so that 1e5 has no word. parameter is $1.
	number    = regexp.MustCompile(`^(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?`)
	parameter = regexp.MustCompile(`^\$[0-9]+`)
)

var errUnterminated = errors.New("does not end")

// next returns the token that begins here.
func (l *lexer) next() (token, error) {
	rest, t := l.rest(), token{start: l.at, line: l.line}
	length := 1
	switch {
	case rest[0] == '\\':
		return t, l.errorf(l.line, "a command of psql (%s) cannot be previewed: only SQL can, so remove it",
			strings.Fields(rest)[0])
	case rest[0] == '\'':
		t.kind, length = otherString, quotedLength(rest, '\'', false)
	case len(rest) > 1 && strings.ContainsRune("eE", rune(rest[0])) && rest[1] == '\'':
		t.kind = otherString
		if length = quotedLength(rest[1:], '\'', true); length > 0 {
			length++
		}
	case rest[0] == '"':
		t.kind, length = quoted, quotedLength(rest, '"', false)
	case rest[0] == '$' && dollarQuote.MatchString(rest):
		tag := dollarQuote.FindString(rest)
		t.kind, length = dollarString, 0
		if end := strings.Index(rest[len(tag):], tag); end >= 0 {
			length = end + 2*len(tag)
		}
	case identifier.MatchString(rest):
		t.kind, length = word, len(identifier.FindString(rest))
	case number.MatchString(rest):
		t.kind, length = symbol, len(number.FindString(rest))
	case parameter.MatchString(rest):
		t.kind, length = symbol, len(parameter.FindString(rest))
	default:
		t.kind = symbol
	}
	if length == 0 {
		return t, l.errorf(l.line, "what begins here with %.1s %w", rest, errUnterminated)
	}
	l.skip(length)
	t.end = l.at
	switch t.text = l.text[t.start:t.end]; t.kind {
	case word:
		// Postgres folds letters of ASCII, and others only in single-byte encodings.
		t.text = strings.ToLower(t.text)
	case quoted:
		t.text = strings.ReplaceAll(t.text[1:len(t.text)-1], `""`, `"`)
	case dollarString, otherString, symbol:
	}
	return t, nil
}

// quotedLength returns the length of a text in quotes, 0 if it does not end. A doubled quote does not end it, and with
// escapes neither does one after a backslash.
func quotedLength(s string, quote byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return 0
}
