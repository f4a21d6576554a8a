package redact

import (
	"strings"
	"testing"
)

// The secret of an address is hidden, in every form. The exception is an unescaped secret with separators of a URL: it
// cannot be parsed, and no client would connect with it.
func FuzzURL(f *testing.F) {
	const secret = "HUSH"
	for _, text := range []string{
		"", "app", "db:5432", "/shop", "?sslmode=disable", "#x", "%41", "%zz", " ", ",", "'",
		`\`, "=", "host=db", "::1", "\x00", "漢",
	} {
		for form := range uint8(6) {
			f.Add(form, text, "db/shop")
			f.Add(form, "app", text)
			f.Add(form, "app", ":@"+text)
		}
	}
	f.Fuzz(func(t *testing.T, form uint8, user, rest string) {
		if strings.Contains(user+rest, "USH") || strings.ContainsAny(user, ":@") {
			return
		}
		var in string
		switch form % 6 {
		case 0:
			in = "postgres://" + user + ":" + secret + "@" + rest
		case 1:
			in = "nats://" + user + ":" + secret + "@" + rest
		case 2:
			in = "nats://" + secret + "@" + rest
		case 3:
			in = "nats://" + user + ":" + secret + "@a,tls://" + secret + "@" + rest
		case 4:
			in = "host=db password=" + secret + " " + rest
		case 5:
			in = "postgres://db/shop?user=" + user + "&password=" + secret + "&" + rest
		}
		if out := URL(in); strings.Contains(out, secret) {
			t.Fatalf("%q shows it: %q", in, out)
		}
	})
}
