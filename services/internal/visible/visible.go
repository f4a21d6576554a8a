// Package visible makes texts of strangers harmless where people read them: on a terminal, in a log, in a comment of a
// file. What would act on the reader's terminal, or change the order in which text is read, is shown as an escape.
package visible

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns a text as one line in which every character can be seen: control characters (line breaks, ESC, DEL and
// C1 among them), direction marks, invisible characters and bytes that are not UTF-8 become escapes as in Go's strings.
func Text(s string) string { return escape(s, func(rune) bool { return false }) }

// Lines is Text for a text of several lines. A line that follows another is indented, so that it cannot be taken for
// one of the program's own.
func Lines(s string) string {
	s = escape(s, func(r rune) bool { return r == '\n' || r == '\t' })
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if i > 0 && line != "" && !strings.HasPrefix(line, " ") {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}

// JSON returns JSON that means the same, with what Text would escape as JSON's own escapes. Outside of its strings JSON
// has only line breaks, tabs and letters.
func JSON(data []byte) []byte {
	// The text of a foreign program need not be UTF-8, and a terminal may act on a single byte.
	data = bytes.ToValidUTF8(data, []byte(string(utf8.RuneError)))
	escaped := func(r rune) bool { return hidden(r) && r != '\n' && r != '\t' && r != '\r' }
	if !strings.ContainsFunc(string(data), escaped) {
		return data
	}
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case !escaped(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// hidden reports whether a character has no shape of its own, or acts on what shows it. The joiners U+200C and U+200D
// are kept: names in Persian and Hindi, and emoji, need them.
func hidden(r rune) bool {
	return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) && r != '\u200c' && r != '\u200d'
}

func escape(s string, keep func(rune) bool) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return hidden(r) && !keep(r) }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !hidden(r) || keep(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}
