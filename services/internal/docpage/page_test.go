package docpage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead_FindsCommandsAndOutputs(t *testing.T) {
	t.Parallel()
	page := strings.ReplaceAll(`# Page

'''sh
one
'''

'''text
1
'''

Text.

'''text
about nothing
'''

<!-- not run: needs Kubernetes -->
'''sh
two
'''

1. An item.

   <!-- not run (kubectl, nats stream): needs Kubernetes -->
   '''sh
   kubectl get pods
   three
   nats stream ls
   nats server ls
   '''

'''console
$ four
4
$ five
'''
`, "'''", "```")
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte(page), 0o600))
	blocks, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, []Block{
		{Page: path, Line: 3, Script: "one\n", Output: "1\n"},
		{Page: path, Line: 18, Script: "two\n", NotRun: "needs Kubernetes"},
		{
			Page: path, Line: 25, Script: "kubectl get pods\nthree\nnats stream ls\nnats server ls\n", NotRun: "needs Kubernetes",
			Programs: []string{"kubectl", "nats stream"},
		},
		{Page: path, Line: 32, Script: "four\n", Output: "...\n4\n...\n"},
		{Page: path, Line: 34, Script: "five\n"},
	}, blocks)
	var run []string
	for _, b := range blocks {
		run = append(run, strings.TrimSpace(b.Runnable()))
	}
	require.Equal(t, []string{"one", "", "three\nnats server ls", "four", "five"}, run)
}

func TestRead_ReportsBlockWithoutEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte("```sh\none\n"), 0o600))
	_, err := Read(path)
	require.ErrorContains(t, err, "page.md:1: the block has no end")
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ page, output, err string }{
		"equal":       {page: "a\nb\n", output: "a\nb\n"},
		"times":       {page: "equal as of 11:02:31, 4s ago", output: "equal as of 23:59:59, now"},
		"ids":         {page: "price_1YdjbemaJN4ErK32mVgL6oG4", output: "price_1D2oPFtWrCNNZ94uKduC3EK8"},
		"columns":     {page: "for 12s  x", output: "for 3s     x"},
		"any lines":   {page: "...\nb\n...", output: "a\nb\nc\nd"},
		"no lines":    {page: "...\nb\n...", output: "b"},
		"order":       {page: "...\nb\n...\nc\n...", output: "c\nb", err: "does not print: c"},
		"another":     {page: "a\nb", output: "a\nc", err: "does not print: b"},
		"more":        {page: "a", output: "a\nc", err: "it prints more"},
		"other price": {page: "18.00 EUR", output: "17.00 EUR", err: "does not print: 18.00 EUR"},
		"count":       {page: "5 products", output: "4 products", err: "does not print: 5 products"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Compare(c.page, c.output)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}
