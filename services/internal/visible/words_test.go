package visible

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"":                   "",
		"in_sync":            "in sync",
		"archived_in_stripe": "archived in Stripe",
		"stripes":            "stripes",
	} {
		require.Equal(t, words, Words(name))
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "not known": "Not known", "émigré": "Émigré"} {
		require.Equal(t, want, Sentence(text))
	}
}
