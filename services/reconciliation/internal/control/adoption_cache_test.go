package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlanCache_KeepsPlansAndErrorsForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	c := newPlanCache(func() time.Time { return now })
	made := 0
	answer := func(plan *adoptionPlan, err error) func(context.Context, string) (*adoptionPlan, error) {
		return func(context.Context, string) (*adoptionPlan, error) {
			made++
			return plan, err
		}
	}
	first, failed := &adoptionPlan{products: 1}, errors.New("no ledger")
	for range 2 {
		got, err := c.get(t.Context(), "key", answer(first, nil))
		require.NoError(t, err)
		require.Same(t, first, got)
	}
	require.Equal(t, 1, made)

	now = now.Add(minPlanAge)
	for range 2 {
		_, err := c.get(t.Context(), "key", answer(nil, failed))
		require.ErrorIs(t, err, failed)
	}
	require.Equal(t, 2, made, "an attempt that fails may take as long")
	now = now.Add(minPlanAge)
	_, err := c.get(t.Context(), "key", func(context.Context, string) (*adoptionPlan, error) {
		now = now.Add(time.Minute)
		return nil, failed
	})
	require.ErrorIs(t, err, failed)
	now = now.Add(maxErrorAge)
	for range 2 {
		_, err := c.get(t.Context(), "key", answer(&adoptionPlan{unknown: "the ledger is being read"}, nil))
		require.NoError(t, err)
	}
	require.Equal(t, 4, made, "a plan of a ledger that lacks something is not kept")
}

func TestPlanCache_NobodyGetsPlanFromBeforeAnAdoption(t *testing.T) {
	t.Parallel()
	c := newPlanCache(func() time.Time { return time.Unix(1000, 0) })
	begun, end := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	before, after := &adoptionPlan{}, &adoptionPlan{}
	go func() {
		_, err := c.get(t.Context(), "key", func(context.Context, string) (*adoptionPlan, error) {
			close(begun)
			<-end
			return before, nil
		})
		done <- err
	}()
	<-begun
	c.forget()
	asked := make(chan *adoptionPlan)
	go func() {
		got, _ := c.get(t.Context(), "key", func(context.Context, string) (*adoptionPlan, error) { return after, nil })
		asked <- got
	}()
	close(end)
	require.NoError(t, <-done)
	require.Same(t, after, <-asked)
	got, err := c.get(t.Context(), "key", func(context.Context, string) (*adoptionPlan, error) { return before, nil })
	require.NoError(t, err)
	require.Same(t, after, got)
}
