package visible

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words returns a name of the wire format, such as a reason or a kind, as the words that people read: "archived in
// Stripe" for "archived_in_stripe".
func Words(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words {
		if w == "stripe" {
			words[i] = "Stripe"
		}
	}
	return strings.Join(words, " ")
}

// Sentence begins a text with a capital letter.
func Sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
