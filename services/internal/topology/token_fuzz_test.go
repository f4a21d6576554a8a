package topology

import (
	"strings"
	"testing"
)

// Every id has its own token, which is valid in any subject and bucket.
func FuzzToken(f *testing.F) {
	for _, id := range []string{
		"", "mug", "=", "==", "=20", "a b", "a.b", "*", ">", "\x00", "\xff", "漢",
		strings.Repeat("x", 512), strings.Repeat("x", 513), strings.Repeat(".", 171),
	} {
		f.Add(id, id+"x")
		f.Add(id, strings.ToUpper(id))
	}
	f.Add(strings.Repeat("x", 600)+"a", strings.Repeat("x", 600)+"b")
	f.Fuzz(func(t *testing.T, a, b string) {
		token := Token(a)
		if token == "" || len(token) > maxTokenBytes {
			t.Fatalf("a token of %d bytes for %q", len(token), a)
		}
		for i := range len(token) {
			if c := token[i]; c != '=' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') &&
				(c < 'A' || c > 'Z') {
				t.Fatalf("%q has the character %q, for %q", token, c, a)
			}
		}
		if (token == Token(b)) != (a == b) {
			t.Fatalf("%q and %q have the token %q", a, b, token)
		}
		if id := ParseToken(token); id != a && id != "" {
			t.Fatalf("%q became %q, and that %q", a, token, id)
		} else if short := len(escape(a)) <= maxTokenBytes; short && id != a {
			t.Fatalf("%q became %q, and that nothing", a, token)
		}
		// ParseToken returns a text that is not a token unchanged, or an id that has it as its token.
		if id := ParseToken(b); id != "" && id != b && Token(id) != b {
			t.Fatalf("%q is no token, and became %q", b, id)
		}
		if len(FitID(a)) > maxIDBytes || (FitID(a) == FitID(b)) != (a == b) && FitID(a) != b && FitID(b) != a {
			t.Fatalf("%q and %q became %q and %q", a, b, FitID(a), FitID(b))
		}
	})
}
