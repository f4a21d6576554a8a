package catalog_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestKindNames_HasEveryConstant(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	require.NoError(t, err)
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Kind" {
			return true
		}
		for _, value := range spec.Values {
			if literal, ok := value.(*ast.BasicLit); ok {
				name, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				declared = append(declared, name)
			}
		}
		return true
	})
	require.NotEmpty(t, declared)
	for _, k := range catalog.Kinds() {
		for _, text := range []string{k.Title, k.Field, k.Meaning} {
			require.NotEmpty(t, text, k.Kind)
		}
	}
	require.ElementsMatch(t, declared, catalog.KindNames(), "add the kind to the table kinds")
}

// TestKinds_AreDocumented compares the table of docs/policy.md with the kinds.
func TestKinds_AreDocumented(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "docs", "policy.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	const heading = "| kind | field | means |\n|---|---|---|\n"
	before, after, found := strings.Cut(string(text), heading)
	require.True(t, found, "%s has no table of kinds", path)
	_, after, found = strings.Cut(after, "\n\n")
	require.True(t, found)
	want := before + heading
	for _, k := range catalog.Kinds() {
		want += "| `" + string(k.Kind) + "` | " + k.Field + " | " + k.Meaning + " |\n"
	}
	want += "\n" + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "update it with: go test ./internal/catalog -update")
}
