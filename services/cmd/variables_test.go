package cmd_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var variable = regexp.MustCompile(`\b(?:DRIFTLESS|STRIPE|NATS)_[A-Z][A-Z_]*[A-Z]\b`)

// A page that names a variable that nothing reads sends its reader the wrong way. Tests do not count as readers.
func TestPages_NameVariablesThatExist(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	for _, root := range []string{"..", "../../deploy", "../../scripts"} {
		noteVariables(t, root, read, func(path string) bool {
			return !strings.HasSuffix(path, "_test.go") && filepath.Ext(path) != ".md"
		})
	}
	for _, root := range []string{"../../docs", "../../README.md", "../../CONTRIBUTING.md"} {
		named := map[string]bool{}
		noteVariables(t, root, named, func(path string) bool { return filepath.Ext(path) == ".md" })
		for name := range named {
			require.True(t, read[name] || read[strings.TrimSuffix(name, "_FILE")],
				"%s: nothing reads the variable %s", root, name)
		}
	}
}

// noteVariables notes the variables of this system in the files below a root.
func noteVariables(t *testing.T, root string, into map[string]bool, keep func(path string) bool) {
	t.Helper()
	skip := []string{"node_modules", "testdata", ".build"}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !keep(path):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, name := range variable.FindAllString(string(text), -1) {
			into[name] = true
		}
		return err
	}))
}
