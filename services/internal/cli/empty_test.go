package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A variable of a script that is not set must not decide about everything.
func TestParse_RefusesEmptyValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"approve", "--rule", "", "--for", "1h", "--reason", "sale"}, "--rule is empty"},
		{[]string{"approve", "", "--reason", "sale"}, "the argument [<products> ...] is empty"},
		{[]string{"drift", "ignore", "mug", "--field="}, "--field is empty"},
		{[]string{"drift", "resolve", "mug", "--keep=stripe", "--field", ""}, "--field is empty"},
		{[]string{"drift", "resolve", "mug", "--keep=stripe", "--field=", "--field="}, "--field is empty"},
	} {
		parser, _ := newParser(t.Context())
		_, err := parser.Parse(c.args)
		require.ErrorContains(t, err, c.want, "%q", c.args)
	}
	for _, args := range [][]string{
		{"status", "--token="},
		{"products", "--after", ""},
		{"approve", "--all", "--reason", "sale"},
		{"drift", "ignore", "mug"},
		{"drift", "ignore", "mug", "--field=", "--field=name"},
		{"drift", "ignore", "mug", "--field", "-"},
	} {
		parser, _ := newParser(t.Context())
		_, err := parser.Parse(args)
		require.NoError(t, err, "%q", args)
	}
}
