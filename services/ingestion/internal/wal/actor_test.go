package wal

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// actorOf returns the actor of a transaction with a message.
func actorOf(t *testing.T, content string) string {
	t.Helper()
	return transaction(t, items(), map[string]string{
		"message": "M\x01" + u64(1) + ActorPrefix + "\x00" + u32(len(content)) + content,
	}).Actor
}

func TestDecode_ReadsActor(t *testing.T) {
	t.Parallel()
	require.Equal(t, "ann@example.com", actorOf(t, "ann@example.com"))
	require.Equal(t, "Ann Müller", actorOf(t, " Ann M\u00fcller\n"))
}

// Everyone who may log in may write any bytes.
func TestDecode_CleansActor(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"ann\x00\x1b[31m":         "ann[31m",
		"ann\xff\u202e mary":      "ann mary",
		"\n\t":                    "",
		strings.Repeat("x", 1025): "",
	} {
		require.Equal(t, want, actorOf(t, content), "%q", content)
	}
	long := actorOf(t, strings.Repeat("ü", 200))
	require.Len(t, long, maxActor)
	require.True(t, utf8.ValidString(long))
}
