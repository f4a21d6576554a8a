package writeback

import (
	"slices"
	"strconv"
	"strings"
)

// pruneAssignments removes from an UPDATE the assignments that use only unchanged parameters. A column whose value was
// not changed is then not written: the query may compute its value, and the column may hold another. An assignment
// without parameters, such as updated_at = now(), stays. Any other statement is returned as it is, and so is an UPDATE
// that would keep no assignment of a changed parameter.
func pruneAssignments(sql string, params []string, changed func(param string) bool) string {
	tokens := lex(sql)
	start, end, ok := assignments(tokens)
	if !ok {
		return sql
	}
	var kept []string
	sets, dropped := false, false
	for first := start; first < end; {
		next := first
		for next < end && (tokens[next].depth > 0 || tokens[next].text != ",") {
			next++
		}
		used := false
		wanted := false
		for _, t := range tokens[first:next] {
			if name := t.param(params); name != "" && name != "id" {
				used, wanted = true, wanted || changed(name)
			}
		}
		if sets = sets || wanted; !used || wanted {
			kept = append(kept, sql[tokens[first].from:tokens[next-1].to])
		} else {
			dropped = true
		}
		first = next + 1
	}
	if !sets || !dropped {
		return sql
	}
	return sql[:tokens[start].from] + strings.Join(kept, ", ") + sql[tokens[end-1].to:]
}

// assignments finds the tokens between SET and the next clause of an UPDATE.
func assignments(tokens []lexeme) (start, end int, ok bool) {
	if len(tokens) == 0 || !tokens[0].is("update") {
		return 0, 0, false
	}
	start = slices.IndexFunc(tokens, func(t lexeme) bool { return t.depth == 0 && t.is("set") }) + 1
	if start == 0 {
		return 0, 0, false
	}
	for end = start; end < len(tokens); end++ {
		t := tokens[end]
		// In IS DISTINCT FROM, an operator, FROM begins no clause.
		if t.depth == 0 && (t.is("where") || t.is("returning") || t.is("from") && !tokens[end-1].is("distinct")) {
			break
		}
	}
	// There must be something between two commas, and at either end.
	empty := start == end
	for i := start; i < end; i++ {
		comma := tokens[i].depth == 0 && tokens[i].text == ","
		empty = empty || comma && (i == start || i == end-1 || tokens[i-1].depth == 0 && tokens[i-1].text == ",")
	}
	return start, end, !empty
}

// lexeme is a word, a parameter, a string, a quoted name, or another single character of SQL. Blanks and comments are
// not lexemes.
type lexeme struct {
	text     string
	from, to int
	// depth is the number of parentheses and brackets around it. It counts an opening or closing one as inside itself.
	depth int
}

func (t lexeme) is(keyword string) bool { return strings.EqualFold(t.text, keyword) }

// param returns the name of the parameter that the lexeme is, "" if it is not a parameter.
func (t lexeme) param(names []string) string {
	if n, err := strconv.Atoi(strings.TrimPrefix(t.text, "$")); t.text[0] == '$' && err == nil && n >= 1 &&
		n <= len(names) {
		return names[n-1]
	}
	return ""
}

// lex splits SQL as PostgreSQL does (https://www.postgresql.org/docs/current/sql-syntax-lexical.html), as far as
// pruneAssignments needs it.
func lex(sql string) []lexeme {
	var out []lexeme
	depth := 0
	for i := 0; i < len(sql); {
		to, blank := lexemeEnd(sql, i)
		if !blank {
			t := lexeme{text: sql[i:to], from: i, to: to}
			switch t.text {
			case "(", "[":
				depth++
				t.depth = depth
			case ")", "]":
				t.depth = depth
				depth--
			default:
				t.depth = depth
			}
			out = append(out, t)
		}
		i = to
	}
	return out
}

// lexemeEnd returns the end of the lexeme, blank or comment at i, and whether it is a blank or comment.
func lexemeEnd(sql string, i int) (to int, blank bool) {
	rest := sql[i:]
	switch c := rest[0]; {
	case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
		return i + 1, true
	case strings.HasPrefix(rest, "--"):
		if n := strings.IndexByte(rest, '\n'); n >= 0 {
			return i + n, true
		}
		return len(sql), true
	case strings.HasPrefix(rest, "/*"):
		return i + commentLength(rest), true
	case c == '\'' || c == '"':
		return i + quotedLength(rest, false), false
	case (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		return i + 1 + quotedLength(rest[1:], true), false
	case c == '$':
		return i + dollarLength(rest), false
	case isWord(c):
		n := 1
		for n < len(rest) && (isWord(rest[n]) || rest[n] == '$') {
			n++
		}
		return i + n, false
	default:
		return i + 1, false
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// commentLength returns the length of a comment of the form /* */, which may nest.
func commentLength(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			if i++; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// quotedLength returns the length of a string or a quoted name. A doubled quote does not end it.
func quotedLength(s string, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] != s[0]:
		case i+1 < len(s) && s[i+1] == s[0]:
			i++
		default:
			return i + 1
		}
	}
	return len(s)
}

// dollarLength returns the length of a parameter, $1, or of a string in dollar quotes, $tag$...$tag$.
func dollarLength(s string) int {
	n := 1
	for n < len(s) && isWord(s[n]) {
		n++
	}
	if n > 1 && '0' <= s[1] && s[1] <= '9' || n == len(s) || s[n] != '$' {
		return n
	}
	tag := s[:n+1]
	if end := strings.Index(s[len(tag):], tag); end >= 0 {
		return len(tag) + end + len(tag)
	}
	return len(s)
}
