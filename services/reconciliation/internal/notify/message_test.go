package notify

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestShortText_HasAtMostMaxTextCharacters(t *testing.T) {
	t.Parallel()
	for length, isCut := range map[int]bool{maxText - 1: false, maxText: false, maxText + 1: true} {
		text := shortText(strings.Repeat("é", length))
		require.Equal(t, min(length, maxText), utf8.RuneCountInString(text))
		require.Equal(t, isCut, strings.HasSuffix(text, "…"))
	}
}
