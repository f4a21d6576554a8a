package visible

import (
	"strings"
	"unicode/utf8"
)

// ListFlag returns a flag of a command with a list of texts, once for each text, and reports whether the command can
// say that. The flag splits what it gets at commas, but for those behind a backslash. So it cannot get a backslash
// before a comma. An empty text would leave the flag out, which often stands for all.
func ListFlag(name string, values ...string) (flags string, ok bool) {
	given := make([]string, len(values))
	for i, v := range values {
		if v == "" || !utf8.ValidString(v) || strings.Contains(v, "\x00") || hasEscapedComma(v) {
			return "", false
		}
		given[i] = "--" + name + "=" + Argument(strings.ReplaceAll(v, ",", `\,`))
	}
	return strings.Join(given, " "), len(given) > 0
}

// hasEscapedComma reports whether a text has a comma behind an odd number of backslashes. The flag reads backslashes in
// pairs, so it would take the last one for its own.
func hasEscapedComma(s string) bool {
	odd := false
	for _, r := range s {
		if r == ',' && odd {
			return true
		}
		odd = r == '\\' && !odd
	}
	return false
}
