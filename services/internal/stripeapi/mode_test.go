package stripeapi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeyModeOf_ReadsPrefix(t *testing.T) {
	for key, want := range map[string]KeyMode{
		"sk_test_1": TestMode,
		"rk_test_1": TestMode,
		"sk_live_1": LiveMode,
		"rk_live_1": LiveMode,
	} {
		got, err := KeyModeOf(key)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, key := range []string{"", "pk_test_1", "whsec_1", "sk_"} {
		_, err := KeyModeOf(key)
		require.ErrorContains(t, err, "STRIPE_API_KEY must be")
	}
}

func TestAccountRate_DependsOnMode(t *testing.T) {
	require.InDelta(t, 100, AccountRate("sk_live_1"), 0)
	require.InDelta(t, 25, AccountRate("rk_test_1"), 0)
	require.InDelta(t, 25, AccountRate(""), 0)
}
