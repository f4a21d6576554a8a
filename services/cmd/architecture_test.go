package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// architecture is the page whose section Layout lists the packages of this module from the top down.
const architecture = "../../docs/architecture.md"

// The list in docs/architecture.md has every package, and each package imports only packages of later lines. A folder
// in the list includes the folders below it, unless they are listed themselves.
func TestArchitecture_ImportsPointDown(t *testing.T) {
	t.Parallel()
	dependOnSources(t)
	lines := layout(t)

	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../...")
	list.Stderr = os.Stderr
	output, err := list.Output()
	require.NoError(t, err)
	packages := strings.Split(strings.TrimSpace(string(output)), "\n")
	require.Greater(t, len(packages), len(lines))

	for _, p := range packages {
		paths := strings.Fields(p)
		from, ok := strings.CutPrefix(paths[0], services)
		if !ok {
			continue
		}
		folder := listedFolder(lines, from)
		require.NotEmpty(t, folder, "%s is missing in the section Layout of %s", from, architecture)
		for _, path := range paths[1:] {
			imported, ours := strings.CutPrefix(path, services)
			if !ours {
				continue
			}
			below := listedFolder(lines, imported)
			require.True(t, folder == below || lines[folder] < lines[below],
				"%s imports %s, which is not further down in the section Layout of %s", from, imported, architecture)
		}
	}
}

// layout returns the folders of this module that the page lists, with the number of their line.
func layout(t *testing.T) map[string]int {
	t.Helper()
	page, err := os.ReadFile(architecture)
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n    services/")
	require.True(t, found)
	section, _, found = strings.Cut(section, "\n    deploy/")
	require.True(t, found)

	folder := regexp.MustCompile(`^[a-z/]+/$`)
	lines := map[string]int{}
	for number, line := range strings.Split(section, "\n")[1:] {
		for name := range strings.FieldsSeq(line) {
			if !folder.MatchString(name) {
				break
			}
			name = strings.TrimSuffix(name, "/")
			require.NotContains(t, lines, name)
			require.DirExists(t, filepath.Join("..", name))
			lines[name] = number
		}
	}
	require.NotEmpty(t, lines)
	return lines
}

// listedFolder returns the longest folder of the list that contains the package, "" if there is none.
func listedFolder(lines map[string]int, path string) string {
	var folders []string
	for folder := range lines {
		if within(path, folder) {
			folders = append(folders, folder)
		}
	}
	if len(folders) == 0 {
		return ""
	}
	return slices.MaxFunc(folders, func(a, b string) int { return len(a) - len(b) })
}
