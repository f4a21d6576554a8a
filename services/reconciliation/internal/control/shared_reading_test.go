package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSharedReading_CallersShareOneThatBeganAfterTheirCall(t *testing.T) {
	t.Parallel()
	n := 0
	started, finish := make(chan struct{}), make(chan struct{})
	s := newSharedReading(func(context.Context) (int, error) {
		n++
		started <- struct{}{}
		<-finish
		return n, nil
	}, nil)
	first := s.join(t.Context(), 0)
	<-started
	// Twenty callers come while the first reading runs. They may have changed what it has read already.
	var others []*reading[int]
	for range 20 {
		others = append(others, s.join(t.Context(), 0))
	}
	finish <- struct{}{}
	<-started
	finish <- struct{}{}
	<-first.done
	require.Equal(t, 1, first.value)
	for _, r := range others {
		<-r.done
		require.Equal(t, 2, r.value)
	}
}

func TestSharedReading_KeepsTheLatestForCallersThatAcceptIt(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	n, failure := 0, error(nil)
	s := newSharedReading(func(context.Context) (int, error) {
		n++
		return n, failure
	}, func() time.Time { return now })
	get := func(maxAge time.Duration) int {
		value, err := s.get(t.Context(), maxAge)
		require.NoError(t, err)
		return value
	}
	// idle waits until no reading runs: the result is there before that is noted.
	idle := func() {
		require.Eventually(t, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.running == nil
		}, 10*time.Second, time.Millisecond)
	}
	require.Equal(t, 1, get(time.Second))
	idle()
	now = now.Add(time.Second - 1)
	require.Equal(t, 1, get(time.Second))
	require.Equal(t, 2, get(0), "who accepts nothing older gets a new reading")
	idle()
	require.Equal(t, 2, get(time.Second))
	now = now.Add(-time.Hour)
	require.Equal(t, 3, get(time.Second), "a clock that went back makes every reading old")
	idle()

	failure = errors.New("NATS is away")
	_, err := s.get(t.Context(), 0)
	require.ErrorIs(t, err, failure)
	idle()
	require.Equal(t, 3, get(time.Second), "a failure is not kept")
	now = now.Add(time.Second)
	_, err = s.get(t.Context(), time.Second)
	require.ErrorIs(t, err, failure)
}

func TestSharedReading_GoesOnWithoutTheCallerThatBeganIt(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	s := newSharedReading(func(ctx context.Context) (string, error) {
		<-finish
		return "done", ctx.Err()
	}, nil)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := s.get(gone, 0)
	require.ErrorIs(t, err, context.Canceled)
	result := make(chan string, 1)
	go func() {
		value, err := s.get(t.Context(), time.Hour)
		if err == nil {
			result <- value
		}
	}()
	close(finish)
	require.Equal(t, "done", <-result)
}
