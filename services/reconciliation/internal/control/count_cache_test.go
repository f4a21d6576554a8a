package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCountCache_SharesRecentCountsAndSaysTheirTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	c := newCountCache(func() time.Time { return now })
	counts := 0
	get := func(key string) counted {
		out, err := c.get(t.Context(), key, func(_ context.Context, out *counted) error {
			counts++
			out.count.N = uint64(counts)
			return nil
		})
		require.NoError(t, err)
		return out
	}
	first := get("a")
	require.Equal(t, now, first.at)
	now = now.Add(countAge - time.Millisecond)
	require.Equal(t, first, get("a"))
	require.EqualValues(t, 2, get("b").count.N)
	now = now.Add(time.Millisecond)
	second := get("a")
	require.EqualValues(t, 3, second.count.N)
	require.Equal(t, now, second.at)
	now = now.Add(-time.Hour)
	require.EqualValues(t, 4, get("a").count.N, "a clock that went back makes every count old")

	failed := errors.New("no ledger")
	_, err := c.get(t.Context(), "c", func(context.Context, *counted) error { return failed })
	require.ErrorIs(t, err, failed)
	require.EqualValues(t, 5, get("c").count.N, "a failure is not kept")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	waits := make(chan struct{})
	_, err = c.get(gone, "d", func(ctx context.Context, _ *counted) error {
		<-waits
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	close(waits)
}
