package visible

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestText_EscapesWhatActsOnATerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Käse 茶 😀 a\u00a0b":                                "Käse 茶 😀 a\u00a0b",
		"می\u200cخواهم 👩\u200d💻":                           "می\u200cخواهم 👩\u200d💻",
		"\x1b[31mNAME\x1b[0m\x1b]0;pwned\x07":              `\x1b[31mNAME\x1b[0m\x1b]0;pwned\x07`,
		"a\r\nb\tc\x00\x7f":                                `a\r\nb\tc\x00\x7f`,
		"\u0085\u009b31m":                                  `\u0085\u009b31m`,
		"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e": `\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e`,
		"\u2066\u2067\u2068\u2069":                         `\u2066\u2067\u2068\u2069`,
		"\u2028\u2029\ufeff\u200b\u2060\u00ad":             `\u2028\u2029\ufeff\u200b\u2060\u00ad`,
		"\U000e0041":                                       `\U000e0041`,
		"\xff\x9b":                                         `\xff\x9b`,
		"\ufffd":                                           "\ufffd",
	} {
		require.Equal(t, want, Text(in))
	}
}

func TestLines_IndentsWhatFollows(t *testing.T) {
	t.Parallel()
	require.Equal(
		t, "refused:\n  name: \\x1b\n  driftless: all is well\n",
		Lines("refused:\n  name: \x1b\ndriftless: all is well\n"),
	)
}

func FuzzVisible(f *testing.F) {
	for _, seed := range []string{
		"", "a\nb", "\x1b[0m", "\u202e", "\xff\xfe", "\U000e0041", "\u009b", `"\u0000"`, "👩\u200d💻",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := Text(s)
		if !utf8.ValidString(shown) || strings.ContainsFunc(shown, hidden) || Text(shown) != shown {
			t.Fatalf("%q is shown as %q", s, shown)
		}
		for i, line := range strings.Split(Lines(s), "\n") {
			if strings.ContainsFunc(
				line, func(r rune) bool { return hidden(r) && r != '\t' },
			) || i > 0 && line != "" && line[0] != ' ' {
				t.Fatalf("%q has the line %q", s, line)
			}
		}
		data, err := json.MarshalIndent(map[string]string{"k" + s: s}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		safe := JSON(data)
		var was, is map[string]string
		if json.Unmarshal(data, &was) != nil || json.Unmarshal(safe, &is) != nil || len(is) != 1 ||
			is["k"+strings.ToValidUTF8(s, "\ufffd")] != was["k"+strings.ToValidUTF8(s, "\ufffd")] {
			t.Fatalf("%q becomes %q", data, safe)
		}
		if strings.ContainsFunc(string(safe), func(r rune) bool { return hidden(r) && r != '\n' && r != '\t' }) {
			t.Fatalf("%q holds what cannot be seen", safe)
		}
	})
}
