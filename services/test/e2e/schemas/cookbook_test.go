package schemas

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every recipe in the cookbook is a text from a schema under test.
func TestCookbook_QuotesSchemas(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../../docs/cookbook.md")
	require.NoError(t, err)
	var texts []string
	require.NoError(t, fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		texts = append(texts, string(text))
		return err
	}))
	recipes := regexp.MustCompile("(?s)```(?:yaml|sql)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(recipes), 20)
	for _, recipe := range recipes {
		found := false
		for _, text := range texts {
			found = found || strings.Contains("\n"+text, "\n"+recipe[1])
		}
		require.True(t, found, "no schema under test has:\n%s", recipe[1])
	}
	for _, s := range All() {
		require.Contains(t, string(page), "schemas/"+s.Name+"/driftless.yaml")
	}
}
