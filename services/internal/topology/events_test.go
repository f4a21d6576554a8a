package topology

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mesh without events has no right to publish them, and nobody makes their stream.
func TestPermissions_WithoutEvents(t *testing.T) {
	t.Parallel()
	mentions := func(o Options) (out []string) {
		for _, p := range UserPermissions(o) {
			for _, subject := range p.Publish {
				if strings.HasPrefix(subject, "events.") || strings.HasSuffix(subject, "."+StreamEvents) {
					out = append(out, p.User+" "+subject)
				}
			}
		}
		return out
	}
	require.Equal(t, []string{
		"reconciliation $JS.API.STREAM.INFO.EVENTS", "reconciliation events.default.*.*",
		"topology $JS.API.STREAM.INFO.EVENTS", "topology $JS.API.STREAM.CREATE.EVENTS",
		"topology $JS.API.STREAM.UPDATE.EVENTS",
	}, mentions(Options{}))
	require.Empty(t, mentions(Options{NoEvents: true}))
}
