package push

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestAdmitArchive_LimitsArchivalsPerHour(t *testing.T) {
	config := GuardConfig{Share: 0.1, Minimum: 5}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	g := &meshv1.Guard{}
	archive := func(id string) error { return admitArchive(g, config, id, 100, now) }
	for i := range 10 {
		require.NoError(t, archive(fmt.Sprint(i)))
		require.NoError(t, archive(fmt.Sprint(i)), "tried again, it counts once")
	}
	var held *heldError
	require.ErrorAs(t, archive("eleventh"), &held)
	require.ErrorContains(t, held, "10 of 100 products")
	require.Error(t, archive("eleventh"))
	require.Equal(t, []string{"eleventh"}, g.GetHeld())

	now = now.Add(2 * time.Hour)
	require.Error(t, archive("eleventh"), "what is held does not get through by waiting")
	g.ApprovedUntil = timestamppb.New(now.Add(time.Minute))
	require.NoError(t, archive("eleventh"))
	require.Empty(t, g.GetHeld())
	now = now.Add(2 * time.Hour)
	for i := range 10 {
		require.NoError(t, archive(fmt.Sprint(i)), "another hour")
	}
	require.Error(t, archive("eleventh"))

	g = &meshv1.Guard{}
	for i := range 5 {
		require.NoError(t, admitArchive(g, config, fmt.Sprint(i), 8, now), "a small catalog may lose a few")
	}
	require.Error(t, admitArchive(g, config, "sixth", 8, now))
}
