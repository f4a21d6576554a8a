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
