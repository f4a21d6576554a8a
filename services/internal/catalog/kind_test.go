package catalog_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestKindNames_HasEveryConstant(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "compare.go", nil, 0)
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
	require.ElementsMatch(t, declared, catalog.KindNames(), "add the kind to kinds in kind.go")
}

func TestKindNames_AreDocumented(t *testing.T) {
	t.Parallel()
	for path, section := range map[string]string{
		"docs/policy.md":                     `(?s)\| kind \| field \| means \|.*?\n\n`,
		"docs/metrics.md":                    "(?m)^\\| `kind` \\|[^\n]*kind of the difference.*$",
		"proto/driftless/mesh/v1/mesh.proto": `(?s)message Difference \{.*?string kind`,
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", filepath.FromSlash(path)))
		require.NoError(t, err)
		found := regexp.MustCompile(section).Find(text)
		require.NotEmpty(t, found, "%s has no list of kinds", path)
		for _, name := range catalog.KindNames() {
			require.Regexp(t, `\b`+name+`\b`, string(found), "add the kind %s to %s", name, path)
		}
	}
}
