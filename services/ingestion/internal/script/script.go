// Package script splits SQL scripts into statements, and refuses those that cannot run within a transaction that is
// rolled back. It is pure: Postgres itself parses the statements, and the preview has a second wall behind this one.
package script

import (
	"fmt"
	"strings"
)

// Statement is one statement of a script.
type Statement struct {
	// Text of the statement, without the semicolon.
	Text string
	// Source is the name of the script, and Line the line in it on which the statement begins, from 1.
	Source string
	Line   int
	// Savepoint is set if the statement is SAVEPOINT, RELEASE or ROLLBACK TO. Such a statement is run by its meaning.
	Savepoint Savepoint
	// Words are the identifiers and keywords of the statement in lower case, those in function bodies included.
	Words []string

	tokens []token
}

// Savepoint is a command about a savepoint.
type Savepoint struct {
	// Verb is SAVEPOINT, RELEASE SAVEPOINT or ROLLBACK TO SAVEPOINT. It is empty for other statements.
	Verb string
	// Name is the name as Postgres folds it.
	Name string
}

// At returns where the statement is: "migration.sql:12".
func (s Statement) At() string { return fmt.Sprintf("%s:%d", s.Source, s.Line) }

// maxSize is the largest script that is read, in bytes.
const maxSize = 64 << 20

// Parse splits a script into statements. It returns an error that names the line of a statement that cannot be
// previewed, and says what to do.
func Parse(source, text string) ([]Statement, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s: has more than %d MiB: preview it in parts", source, maxSize>>20)
	}
	text = strings.TrimPrefix(text, "\ufeff")
	all, err := tokenize(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", source, err)
	}
	var out []Statement
	for _, tokens := range split(all) {
		first, last := tokens[0], tokens[len(tokens)-1]
		s := Statement{
			Text: text[first.start:last.end], Source: source, Line: first.line, Words: words(text, tokens, maxDepth),
			tokens: tokens,
		}
		var err error
		if s.Savepoint, err = s.check(text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.At(), err)
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: has no statement", source)
	}
	return out, nil
}

// split separates the tokens at the semicolons that end statements. Semicolons in parentheses, as in CREATE RULE, and
// in the body of a function (BEGIN ATOMIC) do not.
func split(tokens []token) (out [][]token) {
	var s []token
	parentheses, bodies := 0, 0
	end := func() {
		if len(s) > 0 {
			out = append(out, s)
		}
		s, parentheses, bodies = nil, 0, 0
	}
	for _, t := range tokens {
		switch {
		case t.kind == symbol && t.text == ";" && parentheses == 0 && bodies == 0:
			end()
			continue
		case t.kind == symbol && t.text == "(":
			parentheses++
		case t.kind == symbol && t.text == ")":
			parentheses = max(parentheses-1, 0)
		case t.kind == word && t.text == "begin" && parentheses == 0 && createsRoutine(s):
			bodies++
		case t.kind == word && t.text == "case" && bodies > 0:
			bodies++
		case t.kind == word && t.text == "end" && bodies > 0:
			bodies--
		}
		s = append(s, t)
	}
	end()
	return out
}

// createsRoutine reports whether a statement begins as CREATE [OR REPLACE] FUNCTION or PROCEDURE.
func createsRoutine(s []token) bool {
	rest, ok := after(s, "create")
	if !ok {
		return false
	}
	if replace, ok := after(rest, "or", "replace"); ok {
		rest = replace
	}
	_, function := after(rest, "function")
	_, procedure := after(rest, "procedure")
	return function || procedure
}

// after returns the tokens after some keywords, if the statement begins with them.
func after(s []token, keywords ...string) ([]token, bool) {
	if len(s) < len(keywords) {
		return nil, false
	}
	for i, k := range keywords {
		if s[i].kind != word || s[i].text != k {
			return nil, false
		}
	}
	return s[len(keywords):], true
}

// maxDepth is how deep strings in dollar quotes are looked into.
const maxDepth = 3

// words returns the identifiers of a statement. It looks into strings in dollar quotes, which may be function bodies.
func words(text string, tokens []token, depth int) (out []string) {
	for _, t := range tokens {
		switch t.kind {
		case word, quoted:
			out = append(out, t.text)
		case dollarString:
			if depth == 0 {
				continue
			}
			body := text[t.start:t.end]
			tag := strings.IndexByte(body[1:], '$') + 2
			// A body in another language may not be SQL. Then nothing in it is known.
			if inner, err := tokenize(body[tag : len(body)-tag]); err == nil {
				out = append(out, words(body[tag:len(body)-tag], inner, depth-1)...)
			}
		case symbol, otherString:
		}
	}
	return out
}
