package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shellWord is a word of a command line, perhaps in single quotes.
var shellWord = regexp.MustCompile(`'[^']*'|\S+`)

func TestExamples_EveryCommandHasOneThatParses(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("driftless.yaml", nil, 0o600))
	parser, _ := newParser(t.Context())
	commands := map[string]bool{}
	for _, node := range parser.Model.Leaves(false) {
		command := commandOf(node)
		commands[command] = true
		if node.Passthrough || node.Hidden {
			continue // its help is that of another program, or nobody reads it
		}
		require.NotEmpty(t, examples[command], "the command %s has no example", command)
		for _, e := range examples[command] {
			args := shellWord.FindAllString(e.command, -1)
			for i, arg := range args {
				args[i] = strings.Trim(arg, "'")
			}
			fresh, _ := newParser(t.Context())
			parsed, err := fresh.Parse(args)
			require.NoError(t, err, "driftless %s", e.command)
			require.Equal(t, command, commandOf(parsed.Selected()), "driftless %s", e.command)
		}
	}
	for command := range examples {
		require.Contains(t, commands, command, "there are examples of a command that does not exist")
	}
}

// TestHelp_EveryCommandHasItsPlace: the help of driftless shows commands by purpose.
func TestHelp_EveryCommandHasItsPlace(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	known := map[string]bool{}
	for _, node := range parser.Model.Children {
		require.NotNil(t, node.Group, "the command %s has no place in commandGroups (help.go)", node.Name)
		known[node.Name] = true
	}
	for _, group := range commandGroups {
		for _, name := range group.commands {
			require.True(t, known[name], "commandGroups has the unknown command %s", name)
		}
	}
}

func TestHelp_OwnFlagsComeFirst(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	var out strings.Builder
	parser.Stdout, parser.Exit = &out, func(int) {}
	_, _ = parser.Parse([]string{"status", "--help"})
	own, global := strings.Index(out.String(), "--watch"), strings.Index(out.String(), globalFlagsTitle)
	require.Positive(t, own)
	require.Greater(t, global, own)
	require.Greater(t, strings.Index(out.String(), "--log-level"), global)
	require.Greater(t, global, strings.Index(out.String(), "Examples:"))
}
