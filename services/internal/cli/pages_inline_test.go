package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

var (
	fencedBlock = regexp.MustCompile("(?s)(?:^|\n) *```.*?\n *```")
	inlineCode  = regexp.MustCompile("`[^`]+`")
	codeFile    = regexp.MustCompile(`^[\w./-]+/[\w.-]+\.(go|proto|sql|yaml)$`)
	// writtenByReader matches files that a page tells its reader to write.
	writtenByReader = regexp.MustCompile(`^(/|\.data/|deploy/secrets)`)
	// notCommands begin as commands do.
	notCommands = []string{"driftless COMMAND --help", "driftless mesh message v1"}
)

// inlinePages returns the code within the sentences of each page.
func inlinePages(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	require.NoError(t, filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != repository {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".md") || entry.Name() == "CHANGELOG.md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, code := range inlineCode.FindAllString(fencedBlock.ReplaceAllString(string(text), ""), -1) {
			out[path] = append(out[path], strings.Join(strings.Fields(strings.Trim(code, "`")), " "))
		}
		return nil
	}))
	return out
}

// A command within a sentence is often shortened. So its arguments may be missing, but its verb and flags exist.
func TestPages_InlineCommandsExist(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	checked := 0
	for page, codes := range inlinePages(t) {
		for _, code := range codes {
			if words := strings.Fields(code); words[0] == "driftless" && len(words) > 1 &&
				!slices.Contains(notCommands, code) {
				checked++
				if unknown := unknownWord(parser.Model.Node, words[1:]); unknown != "" {
					t.Errorf("%s: `%s`: driftless does not know %s", page, code, unknown)
				}
			}
		}
	}
	require.Greater(t, checked, 300)
}

// unknownWord returns the first word of a command line that is no verb or flag, or "".
func unknownWord(node *kong.Node, words []string) string {
	flags, isVerb := slices.Clone(node.Flags), true
	for i, word := range words {
		if name, ok := strings.CutPrefix(word, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			if !slices.ContainsFunc(flags, func(f *kong.Flag) bool { return f.Name == name }) {
				return word
			}
			continue
		}
		// A group's default verb can take arguments, so what follows an unknown word is not looked up.
		next := slices.IndexFunc(node.Children, func(c *kong.Node) bool {
			return c.Name == word || slices.Contains(c.Aliases, word)
		})
		switch {
		case isVerb && next >= 0:
			node = node.Children[next]
			flags = append(flags, node.Flags...)
			if node.DefaultCmd != nil {
				flags = append(flags, node.DefaultCmd.Flags...)
			}
		case isVerb && i == 0:
			return word
		default:
			isVerb = false
		}
	}
	return ""
}

// Files of the repository that a page names are there. A page may leave out services/ and services/internal/.
func TestPages_InlineFilesExist(t *testing.T) {
	t.Parallel()
	checked := 0
	exists := func(name string, folders ...string) bool {
		for _, below := range folders {
			if found, _ := filepath.Glob(filepath.Join(repository, below, name)); len(found) > 0 {
				return true
			}
		}
		return false
	}
	for page, codes := range inlinePages(t) {
		for _, code := range codes {
			name, folders := "", []string{"", "services"}
			if codeFile.MatchString(code) && !writtenByReader.MatchString(code) {
				name, folders = code, append(folders, "services/internal")
			} else if rest, ok := strings.CutPrefix(code, "go test ./"); ok {
				name, _, _ = strings.Cut(rest, " ")
				name = strings.TrimSuffix(name, "/...")
			}
			// A name such as internal/cli/VERB.go stands for others.
			if name == "" || strings.ContainsAny(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				continue
			}
			checked++
			if !exists(name, folders...) {
				t.Errorf("%s: `%s`: there is no such file or package", page, code)
			}
		}
	}
	require.Greater(t, checked, 40)
}

// A stream that is left behind remembers products from before.
func TestCookbook_RemovesEveryStream(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(repository + "/docs/cookbook.md")
	require.NoError(t, err)
	loop := regexp.MustCompile(`for stream in ([A-Z_ ]+); do`).FindSubmatch(page)
	require.NotNil(t, loop)
	require.ElementsMatch(t, topology.StreamNames(), strings.Fields(string(loop[1])))
}
