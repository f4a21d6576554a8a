package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// otherwiseRun are the commands that a test runs in another form.
var otherwiseRun = map[string]string{
	"topology permissions": "TestTopologyPermissions_ReaderNeedsEvents",
	"webhook rotate":       "TestWebhookRotate_KeepsAnEndpointAtAllTimes",
}

// A command that no test runs prints what nobody has looked at, and its help could change unseen.
func TestScripts_RunEveryCommand(t *testing.T) {
	t.Parallel()
	var ran []string
	note := func(pattern, line string) {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, match := range regexp.MustCompile(line).FindAllStringSubmatch(string(text), -1) {
				ran = append(ran, strings.ReplaceAll(match[1], `", "`, " ")+" ")
			}
		}
	}
	note("testdata/script/*.txtar", `(?m)^(?:run \S+|await \S+ \S+) (.*)$`)
	note("*_test.go", `(?:output|outputOf|printed|run|Main)\(.*?"([a-z]+(?:", "[^"]+)*)"`)
	note("../../test/e2e/*_test.go", `"driftless", \[\]string\{"([a-z]+(?:", "[^"]+)*)"`)
	parser, _ := newParser(t.Context())
	requireScripted(t, parser.Model.Children, ran)
}

func requireScripted(t *testing.T, nodes []*kong.Node, ran []string) {
	t.Helper()
	for _, node := range nodes {
		requireScripted(t, node.Children, ran)
		if node.Passthrough || node.Hidden {
			continue
		}
		command, help, runs := commandOf(node), false, false
		for _, line := range ran {
			switch rest, isThis := strings.CutPrefix(line, command+" "); {
			case isThis && strings.HasPrefix(rest, "--help"):
				help = true
			case isThis:
				runs = true
			}
		}
		if !help {
			t.Errorf("run %q in help.txtar, and compare what it prints", command+" --help")
		}
		isElsewhere := node == node.Parent.DefaultCmd || otherwiseRun[command] != ""
		if len(node.Children) == 0 && !runs && !isElsewhere {
			t.Errorf("run %q in a script of testdata/script", command)
		}
	}
}
