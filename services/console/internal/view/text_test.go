package view_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/console/internal/view"
)

func TestCapitalize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                   "",
		"equal":              "Equal",
		"Équipe is equal":    "Équipe is equal",
		"équipe is equal":    "Équipe is equal",
		"12 products wait":   "12 products wait",
		"日本 is not captured": "日本 is not captured",
	} {
		require.Equal(t, want, view.Capitalize(text))
	}
}
