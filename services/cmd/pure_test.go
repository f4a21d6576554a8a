package cmd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Packages that docs/architecture.md calls pure have no goroutines, not even in their tests. So scripts/test runs them
// without the race detector.
func TestArchitecture_PureIsSequential(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(architecture)
	require.NoError(t, err)
	pure := regexp.MustCompile(`(?m)^      ([a-z/]+)/ +pure: `).FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, pure)
	for _, match := range pure {
		require.NoError(t, filepath.WalkDir("../"+match[1], func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			requireSequential(t, path)
			return nil
		}))
	}
}

// requireSequential fails the test if a file starts a goroutine, or imports what is only for goroutines. A parallel
// test is a goroutine too, but shares nothing with others except variables of the package.
func requireSequential(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	for _, spec := range file.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		require.NotContains(t, []string{"sync", "sync/atomic", "golang.org/x/sync/errgroup"}, name,
			"%s is pure and imports %s: make it sequential, or do not call it pure in %s", path, name, architecture)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		_, starts := n.(*ast.GoStmt)
		require.False(t, starts, "%s is pure and starts a goroutine: make it sequential, or do not call it pure in %s",
			path, architecture)
		return true
	})
}
