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

// Packages that docs/architecture.md calls pure start no goroutines, except by t.Parallel, and not even in their tests.
// So scripts/test runs them without the race detector.
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

// requireSequential fails the test if a file starts a goroutine, has a channel, or imports what is only for goroutines.
// A parallel test is a goroutine too, but shares nothing with others except variables of the package.
func requireSequential(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	for _, spec := range file.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		require.False(t, name == "sync" || name == "sync/atomic" || strings.HasPrefix(name, "golang.org/x/sync/"),
			"%s is pure and imports %s: make it sequential, or do not call it pure in %s", path, name, architecture)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
			require.Fail(t, "not sequential", "%s is pure and has a goroutine or a channel: make it sequential, "+
				"or do not call it pure in %s", path, architecture)
		}
		return true
	})
}
