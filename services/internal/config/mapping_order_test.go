package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The order of a map must not decide which of two mistakes is reported.
func TestMapping_ReportsTheFirstMistake(t *testing.T) {
	t.Parallel()
	ids := &WriteIDs{Products: &IDColumn{}, Prices: &IDColumn{}}
	for range 50 {
		require.ErrorContains(t, ids.check(), "write_ids.products must have")
		_, _, err := parseStatements("price", map[string]any{"nickname": "", "metadata": 1, "active": ""})
		require.ErrorContains(t, err, "write_back.price.active must be")
	}
}
