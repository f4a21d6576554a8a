package visible

import "strings"

// Argument returns a text as one argument of a command for a shell, quoted if it needs that. The result has no backtick
// and nothing that Text would escape: such texts are quoted in the form $'...', which bash, zsh and ksh read.
func Argument(s string) string {
	special := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
			!strings.ContainsRune("_-.:/@", r)
	}
	switch {
	case s != "" && !strings.HasPrefix(s, "-") && !strings.ContainsFunc(s, special):
		return s
	case Text(s) == s && !strings.Contains(s, "`"):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	default:
		return "$'" + Text(strings.NewReplacer(`\`, `\\`, "'", `\'`, "`", `\x60`).Replace(s)) + "'"
	}
}
