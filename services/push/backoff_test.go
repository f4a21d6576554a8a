package push

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFailures_ForgetsOldOnes(t *testing.T) {
	f, now := newFailures(), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.raise("mug", 8, now)
	require.EqualValues(t, 9, f.add("mug", now.Add(maxFailureAge-time.Minute)))
	now = now.Add(2 * maxFailureAge)
	require.EqualValues(t, 1, f.add("cup", now))
	require.Len(t, f.byProduct, 1, "they are not kept for ever")
	require.EqualValues(t, 1, f.add("mug", now.Add(time.Second)), "it may have succeeded elsewhere")
	require.True(t, f.clear("mug"))
	require.False(t, f.clear("mug"))
}

func TestIsReported_DoublesFromTheFirst(t *testing.T) {
	var reported []uint64
	for n := range uint64(100) {
		if isReported(n) {
			reported = append(reported, n)
		}
	}
	require.Equal(t, []uint64{1, 2, 4, 8, 16, 32, 64}, reported)
}
