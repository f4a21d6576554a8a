package ledger

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClean_KeepsStorableText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "Mug", "Käse\n\t\x1b[31m", "\u2400", "\ufffd", "\u202e", `\u0000`} {
		require.Equal(t, text, clean(text))
	}
}

func TestClean_KeepsDifferentTextsDifferent(t *testing.T) {
	t.Parallel()
	texts := []string{
		"a", "a\x00", "\x00a", "a\x00\x00", "a\xff", "a\xfe", "a\xff\xfe", "a\ufffd", "a\u2400", "\x00", "\xc3",
		"\xed\xa0\x80",
		strings.Repeat("k", 1020), strings.Repeat("k", 1021), strings.Repeat("k", 1022), strings.Repeat("é", 2000),
		strings.Repeat("\x00", 2000),
	}
	seen := map[string]string{}
	for _, text := range texts {
		key := cleanKey(text)
		require.True(t, isStorable(key))
		require.LessOrEqual(t, len(key), maxKey)
		require.Equal(t, key, cleanKey(key), "a key that was cleaned stays")
		other, taken := seen[key]
		require.False(t, taken, "%q and %q", text, other)
		seen[key] = text
	}
	require.Regexp(t, `^Edited␀by␀nul \(cleaned, sha256 [0-9a-f]{16}\)$`, clean("Edited\x00by\x00nul"))
}

func TestCleanJSON_CleansKeysAndValues(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a":"b\n","c":[1,null,"😀"]}`: `^\{"a":"b\\n","c":\[1,null,"😀"\]\}$`,
		`{"a":"\\u0000 as text"}`:      `^\{"a":"\\\\u0000 as text"\}$`,
		`{"a":"\ud83d\ude00"}`:         `^\{"a":"\\ud83d\\ude00"\}$`,
		`{"k\u0000":"v\u0000","k":1}`:  `^\{"k␀ \(cleaned, sha256 \w{16}\)":"v␀ \(cleaned, sha256 \w{16}\)","k":1\}$`,
		`["\\\u0000","\"\u0000"]`:      `^\["\\\\␀ \(cleaned, sha256 \w{16}\)","\\"␀ \(cleaned, sha256 \w{16}\)"\]$`,
		`{"half":"\ud83d"}`:            "^\\{\"half\":\"\ufffd \\(cleaned, sha256 \\w{16}\\)\"\\}$",
		"[\"\xff\"]":                   "^\\[\"\ufffd \\(cleaned, sha256 \\w{16}\\)\"\\]$",
	} {
		require.Regexp(t, want, string(cleanJSON([]byte(in))), in)
	}
}

func TestCleanArgs_CleansEveryKindOfText(t *testing.T) {
	t.Parallel()
	bad := "a\x00"
	args := []any{
		nil, 7, "fine", bad, &bad, State(bad),
		[]string{"fine", bad},
		[]State{State(bad)},
		[]byte(`{"a":"\u0000"}`),
		json.RawMessage(`["\u0000"]`),
		[]byte("\x0a\x02a\x00"), (*string)(nil),
	}
	before := append([]any(nil), args...)
	out := cleanArgs(args)
	require.Equal(t, before, args, "the caller's stay")
	shown := clean(bad)
	require.Equal(t, []any{nil, 7, "fine", shown, shown, shown, []string{"fine", shown}, []string{shown}}, out[:8])
	require.NotContains(t, string(out[8].([]byte)), "u0000")
	require.NotContains(t, string(out[9].([]byte)), "u0000")
	require.Equal(t, args[10:], out[10:], "an encoded message stays")
	require.Empty(t, cleanArgs(nil))
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{
		"", "a", "a\x00", "\xff", "\u2400", `{"a":"\u0000"}`, `["\ud800"]`, strings.Repeat("\x00é", 600),
	} {
		f.Add(seed, seed+"\x00")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, how := range []func(string) string{clean, cleanKey} {
			x, y := how(a), how(b)
			if !isStorable(x) || how(x) != x {
				t.Fatalf("%q becomes %q", a, x)
			}
			if a != b && x == y && (!isStorable(a) || !isStorable(b)) {
				t.Fatalf("%q and %q both become %q", a, b, x)
			}
		}
		if key := cleanKey(a); len(key) > maxKey {
			t.Fatalf("a key of %d bytes", len(key))
		}
		data := cleanJSON([]byte(a))
		if !json.Valid([]byte(a)) {
			return
		}
		if !json.Valid(data) || !utf8.Valid(data) || !bytes.Equal(cleanJSON(data), data) {
			t.Fatalf("%q becomes %q", a, data)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		each(v, func(text string) {
			if !isStorable(text) {
				t.Fatalf("%q holds %q", data, text)
			}
		})
	})
}

// each calls f for the texts of decoded JSON, including its keys.
func each(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, item := range v {
			each(item, f)
		}
	case map[string]any:
		for key, item := range v {
			f(key)
			each(item, f)
		}
	}
}
