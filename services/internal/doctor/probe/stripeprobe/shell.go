package stripeprobe

import (
	"regexp"
	"strings"
)

// plainWord is a text that a shell reads as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// quoteShell returns a text as one word of a shell's command.
func quoteShell(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
