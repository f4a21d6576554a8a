package visible

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

func TestListFlag(t *testing.T) {
	t.Parallel()
	for want, values := range map[string][]string{
		"--field=name":                            {"name"},
		`--field='metadata.a\,b' --field=name`:    {"metadata.a,b", "name"},
		`--field='metadata.a\' --field=name`:      {`metadata.a\`, "name"},
		`--field='a\\\,b'`:                        {`a\\,b`},
		"--field='-' --field='prices.x y.amount'": {"-", "prices.x y.amount"},
	} {
		flags, ok := ListFlag("field", values...)
		require.True(t, ok)
		require.Equal(t, want, flags)
	}
	for _, values := range [][]string{
		{}, {""}, {"name", ""}, {`a\,b`}, {`a\\\,b`}, {`,\,`}, {"a\x00"}, {"a\xff"},
	} {
		flags, ok := ListFlag("field", values...)
		require.False(t, ok, "%q", values)
		require.Empty(t, flags)
	}
}

// TestListFlag_IsReadAsTheSameList asks the shell and the parser of the command line.
func TestListFlag_IsReadAsTheSameList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune(`aa\\\,,,-='" $éb*`)
	var lists [][]string
	var script strings.Builder
	for len(lists) < 3000 {
		list := make([]string, 1+random.IntN(3))
		for i := range list {
			text := make([]rune, 1+random.IntN(6))
			for j := range text {
				text[j] = alphabet[random.IntN(len(alphabet))]
			}
			list[i] = string(text)
		}
		if flags, ok := ListFlag("field", list...); ok {
			lists = append(lists, list)
			script.WriteString("printf '%s\\0' " + flags + "; printf '\\0'\n")
		}
	}
	shell := exec.CommandContext(t.Context(), "bash")
	shell.Stdin = strings.NewReader(script.String())
	out, err := shell.Output()
	require.NoError(t, err)
	commands := strings.Split(strings.TrimSuffix(string(out), "\x00\x00"), "\x00\x00")
	require.Len(t, commands, len(lists))
	for i, args := range commands {
		var read struct{ Field []string }
		parser, err := kong.New(&read)
		require.NoError(t, err)
		_, err = parser.Parse(strings.Split(args, "\x00"))
		require.NoError(t, err, "%q", args)
		require.Equal(t, lists[i], read.Field, "%q", args)
	}
}
