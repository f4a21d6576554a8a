package cli

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// An unset variable in a script must not decide about all fields.
func TestDriftCommands_RefuseFieldWithoutName(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"drift", "ignore", "mug"}, {"drift", "resolve", "mug", "--keep=stripe"}} {
		for _, flags := range [][]string{{"--field="}, {"--field", ""}, {"--field=", "--field="}} {
			parser, _ := newParser(t.Context())
			_, err := parser.Parse(slices.Concat(command, flags))
			require.ErrorIs(t, err, errNoField, "%q %q", command, flags)
		}
		for _, flags := range [][]string{
			{}, {"--field=name"}, {"--field=", "--field=name"}, {"--field=-"}, {"--field", "-"},
		} {
			parser, _ := newParser(t.Context())
			_, err := parser.Parse(slices.Concat(command, flags))
			require.NoError(t, err, "%q %q", command, flags)
		}
	}
}
