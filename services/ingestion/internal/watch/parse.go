package watch

import (
	"regexp"
	"slices"
	"strings"
)

// piece is a part of an SQL text: code, or what is not code.
type piece struct {
	text string
	code bool
	// name is set on quoted identifiers: code, whose name is within the quotes.
	name string
}

var dollar = regexp.MustCompile(`^\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$`)

// pieces splits SQL into code on the one hand and strings and comments on the other
// (https://www.postgresql.org/docs/current/sql-syntax-lexical.html).
func pieces(sql string) []piece {
	var out []piece
	start := 0
	flush := func(to int) {
		if to > start {
			out = append(out, piece{text: sql[start:to], code: true})
		}
	}
	for i := 0; i < len(sql); {
		rest, n, quoted := sql[i:], 0, false
		switch {
		case rest[0] == '\'':
			n = quote(rest, '\'', i > 0 && (sql[i-1] == 'e' || sql[i-1] == 'E'))
		case rest[0] == '"':
			n, quoted = quote(rest, '"', false), true
		case strings.HasPrefix(rest, "--"):
			if n = strings.IndexByte(rest, '\n'); n < 0 {
				n = len(rest)
			}
		case strings.HasPrefix(rest, "/*"):
			n = comment(rest)
		case rest[0] == '$':
			if tag := dollar.FindString(rest); tag != "" {
				n = len(rest)
				if end := strings.Index(rest[len(tag):], tag); end >= 0 {
					n = end + 2*len(tag)
				}
			}
		}
		if n == 0 {
			i++
			continue
		}
		flush(i)
		p := piece{text: rest[:n]}
		if quoted {
			p.code, p.name = true, strings.ReplaceAll(strings.Trim(rest[:n], `"`), `""`, `"`)
		}
		out = append(out, p)
		i += n
		start = i
	}
	flush(len(sql))
	return out
}

// quote is the length of a quoted text with its quotes.
func quote(s string, mark byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == mark && i+1 < len(s) && s[i+1] == mark:
			i++
		case s[i] == mark:
			return i + 1
		}
	}
	return len(s)
}

// comment is the length of a comment; comments nest.
func comment(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

var (
	parameter  = regexp.MustCompile(`@("(?:[^"]|"")+"|[A-Za-z_\x80-\xff][\w\x80-\xff]*)`)
	identifier = regexp.MustCompile(`[A-Za-z_\x80-\xff][\w$\x80-\xff]*`)
)

// bind replaces the parameters @column of a query by columns of a row, and returns the columns that it used. unknown is
// a parameter that is not a column; empty if there is none.
func bind(sql, row string, columns []string) (bound string, used []string, unknown string) {
	var b strings.Builder
	replaced := func(found string) string {
		name, ok := column(found[1:], columns)
		if !ok {
			unknown = found
			return found
		}
		if !slices.Contains(used, name) {
			used = append(used, name)
		}
		return row + "." + sanitized(parameterColumn+name)
	}
	at := false
	for _, p := range pieces(sql) {
		text := p.text
		switch {
		case !p.code:
		case p.name != "" && at:
			text = replaced("@" + p.text)
		case p.name == "":
			text, at = strings.CutSuffix(text, "@")
			b.WriteString(parameter.ReplaceAllStringFunc(text, replaced))
			continue
		}
		if at && p.name == "" {
			b.WriteByte('@')
		}
		at = false
		b.WriteString(text)
	}
	if at {
		b.WriteByte('@')
	}
	return b.String(), used, unknown
}

// parameterColumn is put before the name of a column that is a parameter: in the operator's query no name without
// quotes can mean the row by mistake, as after a column of its own tables was renamed.
const parameterColumn = "@"

// mentioned are the columns that an expression uses, and perhaps more: whatever in it looks like one.
func mentioned(sql string, columns []string) (used []string) {
	add := func(name string) {
		if slices.Contains(columns, name) && !slices.Contains(used, name) {
			used = append(used, name)
		}
	}
	for _, p := range pieces(sql) {
		switch {
		case p.name != "":
			add(p.name)
		case p.code:
			for _, word := range identifier.FindAllString(p.text, -1) {
				// Postgres folds names without quotes; a column with upper-case letters is accepted without them, too.
				add(strings.ToLower(word))
			}
		}
	}
	return used
}

// column finds the column that a name stands for, in quotes or not: the name as it is, or else as Postgres folds it.
func column(name string, columns []string) (string, bool) {
	if len(name) > 1 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
		return name, slices.Contains(columns, name)
	}
	if slices.Contains(columns, name) {
		return name, true
	}
	folded := strings.ToLower(name)
	return folded, slices.Contains(columns, folded)
}
