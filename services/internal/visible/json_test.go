package visible

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestJSON_HoldsNoByteThatATerminalObeys(t *testing.T) {
	t.Parallel()
	safe := JSON([]byte("{\"a\":\"\x9b31m red\"}"))
	require.True(t, utf8.Valid(safe))
	require.NotContains(t, string(safe), "\x9b")
	plain := []byte(`{"a":"plain"}`)
	require.Equal(t, plain, JSON(plain))
}
