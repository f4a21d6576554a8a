package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEscapeFor_ProtectsTerminals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format     string
		onTerminal bool
		text, want string
	}{
		{"json", false, "\"a\x7f\"\n", "\"a\\u007f\"\n"},
		{"jsonl", true, "\"a\u202e\"\n", "\"a\\u202e\"\n"},
		{"csv", false, "a\x1b[31m,b\r\n", "a\x1b[31m,b\r\n"},
		{"csv", true, "a\x1b[31m,b\nc\n", "a\\x1b[31m,b\nc\n"},
		{"yaml", true, "- \"a\u202e\"\n", "- \"a\\u202e\"\n"},
	} {
		require.Equal(t, c.want, string(escapeFor(c.format, c.onTerminal)([]byte(c.text))), c.format)
	}
}
