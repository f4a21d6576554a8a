package visible

import "strings"

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
