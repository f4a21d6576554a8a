package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCountOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0 products", countOf(0, "product", "products"))
	require.Equal(t, "1 product", countOf(1, "product", "products"))
	require.Equal(t, "12,000 products", countOf(12_000, "product", "products"))
	require.Equal(t, "1 of 1 product", "1 of "+countOf(1, "product", "products"))
}

// numbered is a number and a noun in the plural, which is wrong if the number is 1.
var numbered = regexp.MustCompile(`%d (more |held |known |replaced |active |approved |list )?` +
	`(products|prices|differences|findings|checks|calls|reads|messages|syncs|lines|objects|changes|letters|spans|traces|` +
	`events|retries|holds|tables|rows|files|accounts|services|processes|consumers|tests|targets|others)\b`)

// TestOutput_CountsOnlyByCountOf: a text with a number and a noun comes from countOf.
func TestOutput_CountsOnlyByCountOf(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				require.NotRegexp(t, numbered, literal.Value, "%s: use countOf", file.Name())
			}
			return true
		})
	}
}
