package docpage

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][][]string{
		"a b c":                              {{"a", "b", "c"}},
		"a 'b  c' # d\ne":                    {{"a", "b  c"}, {"e"}},
		`a "b; c" | d > e.txt; f`:            {{"a", "b; c"}, {"d"}, {"f"}},
		"a \\\n  b":                          {{"a", "b"}},
		"X=1 Y='2 3' a b":                    {{"a", "b"}},
		"if a; then b && c; fi":              {{"a"}, {"b"}, {"c"}, {"fi"}},
		"echo $(a b)":                        {{"echo"}, {"a", "b"}},
		"a -H @<(b .data/token) -d c":        {{"a", "-H", "@"}, {"b", ".data/token"}, {"-d", "c"}},
		"psql -q <<'SQL'\nSELECT a;\nSQL\nb": {{"psql", "-q"}, {"b"}},
		"a --why=\"not sold\" b#c":           {{"a", "--why=not sold", "b#c"}},
		"# only a comment\n":                 nil,
		"a 2> /dev/null &\nb":                {{"a", "2"}, {"b"}},
	} {
		require.Equal(t, want, Commands(script), script)
	}
}
