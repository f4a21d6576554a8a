package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

func TestArchiveLimit_LimitsArchivalsPerHour(t *testing.T) {
	limit := plan.ArchiveLimit{Share: 0.1, Minimum: 5}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	g := &meshv1.Guard{}
	archive := func(id string) (why string) {
		why, ok := limit.Admit(g, id, 100, now)
		require.Equal(t, ok, why == "")
		return why
	}
	for i := range 10 {
		require.Empty(t, archive(fmt.Sprint(i)))
		require.Empty(t, archive(fmt.Sprint(i)), "tried again, it counts once")
	}
	require.Contains(t, archive("eleventh"), "10 of 100 products")
	require.NotEmpty(t, archive("eleventh"))
	require.Equal(t, []string{"eleventh"}, g.GetHeld())

	now = now.Add(2 * time.Hour)
	require.NotEmpty(t, archive("eleventh"), "what is held does not get through by waiting")
	g.ApprovedUntil = timestamppb.New(now.Add(time.Minute))
	require.Empty(t, archive("eleventh"))
	require.Empty(t, g.GetHeld())
	now = now.Add(2 * time.Hour)
	for i := range 10 {
		require.Empty(t, archive(fmt.Sprint(i)), "another hour")
	}
	require.NotEmpty(t, archive("eleventh"))

	g = &meshv1.Guard{}
	for i := range 5 {
		_, ok := limit.Admit(g, fmt.Sprint(i), 8, now)
		require.True(t, ok, "a small catalog may lose a few")
	}
	_, ok := limit.Admit(g, "sixth", 8, now)
	require.False(t, ok)
}
