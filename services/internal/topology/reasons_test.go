package topology

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// constants returns the values of the string constants of a file whose names begin with a prefix.
func constants(t *testing.T, path, prefix string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, prefix) || i >= len(spec.Values) {
				continue
			}
			if literal, ok := spec.Values[i].(*ast.BasicLit); ok {
				value, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				values = append(values, value)
			}
		}
		return true
	})
	return values
}

func TestReasons_HasEveryConstant(t *testing.T) {
	declared := constants(t, "reasons.go", "Reason")
	require.NotEmpty(t, declared)
	require.ElementsMatch(t, declared, ReasonNames())
	for _, r := range Reasons() {
		require.NotEmpty(t, r.Meaning, r.Name)
	}
}

func TestReasons_AreDocumented(t *testing.T) {
	for path, section := range map[string]string{
		"../../../docs/runbooks/DriftlessDeadLetters.md": `(?s)\| reason \| meaning \|.*?\n\n`,
		"../../../proto/driftless/mesh/v1/mesh.proto":    `(?s)// [^\n]*class of failure.*?string reason`,
		"../../../docs/metrics.md":                       `(?m)^\| .reason. \| .driftless\.dead_letters.*$`,
	} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		found := regexp.MustCompile(section).Find(text)
		require.NotEmpty(t, found, "%s has no list of reasons", path)
		for _, name := range ReasonNames() {
			require.Contains(t, string(found), name, "%s lacks the reason", path)
		}
	}
}
