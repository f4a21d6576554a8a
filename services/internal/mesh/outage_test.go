package mesh

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestOutage_IgnoresLeaderElection(t *testing.T) {
	t.Parallel()
	var o Outage
	now := time.Unix(1000, 0)
	lost := fmt.Errorf("read the state of stream CATALOG: %w", context.DeadlineExceeded)
	require.False(t, o.shouldLog(lost, now))
	require.False(t, o.shouldLog(lost, now.Add(9*time.Second)))
	require.False(t, o.shouldLog(nil, now.Add(10*time.Second)))
	require.False(t, o.shouldLog(lost, now.Add(20*time.Second)), "another one")
	require.True(t, o.shouldLog(lost, now.Add(40*time.Second)), "it lasts")
	require.False(t, o.shouldLog(lost, now.Add(50*time.Second)), "once")
	require.False(t, o.shouldLog(nil, now.Add(60*time.Second)))
	require.True(t, o.shouldLog(errors.New("no permission"), now.Add(61*time.Second)), "does not pass")
}

func TestConnectionErrors_LogsSameErrorOnceAMinute(t *testing.T) {
	t.Parallel()
	var trouble errorLog
	now := time.Unix(1000, 0)
	slow := nats.ErrSlowConsumer.Error()
	_, due := trouble.due(slow, now)
	require.True(t, due)
	for i := range 300 {
		_, due := trouble.due(slow, now.Add(time.Duration(i)*time.Millisecond))
		require.False(t, due)
	}
	_, due = trouble.due("permissions violation", now.Add(time.Second))
	require.True(t, due, "another error")
	hidden, due := trouble.due(slow, now.Add(time.Minute))
	require.True(t, due)
	require.Equal(t, 300, hidden)
	for i := range 10 * maxLoggedErrors {
		_, _ = trouble.due(fmt.Sprint(i), now)
	}
	require.LessOrEqual(t, len(trouble.loggedAt), maxLoggedErrors)
}
