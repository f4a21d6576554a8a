package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompletion_KnowsCommandsFlagsAndValues(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	for line, want := range map[string]struct {
		words    []string
		products bool
	}{
		"re":                           {words: []string{"resume", "reread", "reject", "retries"}},
		"dead re":                      {words: []string{"replay"}},
		"plan --wait":                  {words: []string{"--wait-converged"}},
		"plan -o ":                     {words: []string{"text", "json", "markdown"}},
		"plan --output=j":              {words: []string{"--output=json"}},
		"plan mug ":                    {products: true},
		"plan --wait-converged 10s mu": {products: true},
		"completion ":                  {words: []string{"bash", "zsh", "fish"}},
		"completion bash ":             {},
		"products --no-a":              {words: []string{"--no-active-price"}},
		"products --state d":           {words: []string{"drifted", "dead"}},
		"products c":                   {words: []string{"count"}},
		"nosuch --x ":                  {words: nil},
	} {
		found, products := complete(parser.Model.Node, strings.Split(line, " "))
		var words []string
		for _, c := range found {
			words = append(words, c.word)
		}
		if line == "nosuch --x " {
			require.Contains(t, words, "plan", "an unknown word takes no place")
			continue
		}
		require.ElementsMatch(t, want.words, words, line)
		require.Equal(t, want.products, products, line)
	}
}

func TestFacetAt_FindsFlagOfLastWord(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	for line, want := range map[string][3]string{
		"products --dead-reason ref":       {"dead_reason", "", "ref"},
		"products count --dead-reason=ref": {"dead_reason", "--dead-reason=", "ref"},
		"products --rule ":                 {"rule", "", ""},
		"products --rule amount ":          {},
		"products --state ":                {},
		"products ref":                     {},
		"plan --dead-reason=":              {},
	} {
		facet, before, prefix := facetAt(parser.Model.Node, strings.Split(line, " "))
		if facet == "" {
			before, prefix = "", ""
		}
		require.Equal(t, want, [3]string{facet, before, prefix}, line)
	}
}

func TestCompletion_HidesNothingThatHelpShows(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	for _, node := range parser.Model.Leaves(true) {
		words := append(strings.Fields(commandOf(node)), "")
		for i := range words[:len(words)-1] {
			found, _ := complete(parser.Model.Node, append(append([]string{}, words[:i]...), ""))
			var names []string
			for _, c := range found {
				names = append(names, c.word)
			}
			require.Contains(t, names, words[i], "of %s", commandOf(node))
		}
	}
}
