package product

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecision(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"":              "driftless drift resolve mug --keep stripe",
		"name":          "driftless drift resolve mug --keep stripe --field=name",
		"metadata.a,b":  `driftless drift resolve mug --keep stripe --field='metadata.a\,b'`,
		`metadata.a\,b`: "",
	} {
		require.Equal(t, want, decision("drift resolve", "mug", field, "--keep stripe"))
	}
	require.Equal(t, "driftless drift ignore mug", decision("drift ignore", "mug", ""))
}
