package web

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBatch_SendsTheLastEventOfAPeriod(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	after := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	b := newBatch(begin, "status")
	require.Equal(t, 600*time.Millisecond, b.add("activity", after(400)))
	require.Equal(t, 300*time.Millisecond, b.add("activity", after(700)))
	require.Equal(t, []string{"status", "activity"}, b.take(after(1000)))
	require.Empty(t, b.take(after(1000)))
	require.Equal(t, 900*time.Millisecond, b.add("activity", after(1100)), "an event right after a batch is not lost")
	require.Equal(t, []string{"activity"}, b.take(after(2000)))
	require.Zero(t, b.add("status", after(9000)), "an event after a quiet time is sent at once")
}
