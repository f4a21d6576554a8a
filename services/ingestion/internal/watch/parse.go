package watch

import (
	"regexp"
	"slices"
	"strings"
)

// piece is a part of an SQL text: code, or a string or comment.
type piece struct {
	text string
	code bool
	// name is the name within the quotes of a quoted identifier, which is code.
	name string
}

var dollar = regexp.MustCompile(`^\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$`)

// pieces splits SQL into code, and strings and comments
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

// quote returns the length of a quoted text with its quotes.
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

// comment returns the length of a comment. Comments nest.
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
// the first parameter that is not a column, empty if there is none.
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

// parameterColumn is the prefix of the name of a column that is a parameter. No unquoted name in the operator's query
// can then mean the row by mistake, for example after a column of its own tables was renamed.
const parameterColumn = "@"

// mentionedColumns returns the columns that an expression uses, and possibly more: every name in it that looks like a
// column.
func mentionedColumns(sql string, columns []string) (used []string) {
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
				// Postgres folds unquoted names. A column with upper-case letters is accepted without quotes, too.
				add(strings.ToLower(word))
			}
		}
	}
	return used
}

// column finds a column by its name, quoted or not: first as it is, then as Postgres folds it.
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
