package topology

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table of docs/runbooks/DriftlessDeadLetters.md")

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
		require.NotZero(t, r.About, r.Name)
		require.NotEmpty(t, r.Title, r.Name)
		require.NotEmpty(t, r.Meaning, r.Name)
	}
}

// TestReasons_AreDocumented compares the table of the runbook with the reasons.
func TestReasons_AreDocumented(t *testing.T) {
	const path = "../../../docs/runbooks/DriftlessDeadLetters.md"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	const heading = "| reason | meaning |\n|---|---|\n"
	before, after, found := strings.Cut(string(text), heading)
	require.True(t, found, "%s has no table of reasons", path)
	_, after, found = strings.Cut(after, "\n\n")
	require.True(t, found)
	want := before + heading
	for _, r := range Reasons() {
		want += "| `" + r.Name + "` | " + r.Meaning + " |\n"
	}
	want += "\n" + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "update it with: go test ./internal/topology -update")
}
