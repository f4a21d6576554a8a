package visible

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestArgument_IsOneArgumentForAShell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"club-mug_2.a:b/c@d": "club-mug_2.a:b/c@d",
		"":                   "''",
		"-x":                 "'-x'",
		"a b; rm -rf $HOME":  "'a b; rm -rf $HOME'",
		"it's":               `'it'\''s'`,
		`a\b`:                `'a\b'`,
		"`id`":               `$'\x60id\x60'`,
		"a\n\x1b[31m\\'":     `$'a\n\x1b[31m\\\''`,
		"a\u202eb":           `$'a\u202eb'`,
	} {
		require.Equal(t, want, Argument(in))
		out, err := exec.CommandContext(t.Context(), "bash", "-c", "LC_ALL=C.UTF-8; printf %s "+Argument(in)).Output()
		require.NoError(t, err)
		require.Equal(t, in, string(out))
	}
}
