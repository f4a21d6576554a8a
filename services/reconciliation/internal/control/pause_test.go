package control_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestPause_PausesUntilResume(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	status := func() []*controlv1.PausedService {
		return controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetPaused()
	}
	require.Empty(t, status())

	paused := controltest.Ask[controlv1.PauseResponse](r, "Pause",
		`{"services":["push"],"duration":"3600s","actor":"ann","reason":"freeze"}`).GetPaused()
	require.Len(t, paused, 1)
	require.Equal(t, "push", paused[0].GetService())
	require.Equal(t, []string{"ann", "freeze"}, []string{status()[0].GetActor(), status()[0].GetReason()})
	require.WithinDuration(t, time.Now().Add(time.Hour), paused[0].GetUntil().AsTime(), time.Minute)
	require.Len(t, controltest.Ask[controlv1.PauseResponse](r, "Pause", `{}`).GetPaused(), 3, "all if none is named")
	require.Len(t, status(), 3)
	require.Nil(t, status()[0].GetUntil(), "the later pause is the one that holds")
	p, err := r.Stores.Paused(t.Context(), topology.Pull)
	require.NoError(t, err)
	require.NotNil(t, p)

	require.Equal(t, []string{"pull"},
		controltest.Ask[controlv1.ResumeResponse](r, "Resume", `{"services":["pull"]}`).GetServices())
	require.Len(t, status(), 2)
	require.Equal(t, []string{"push", "ingestion"},
		controltest.Ask[controlv1.ResumeResponse](r, "Resume", `{}`).GetServices())
	require.Empty(t, status())

	// Who accepts an older status gets the latest one again.
	first := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`)
	again := controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{"maxAge":"10s"}`)
	require.Equal(t, first.GetEquality().GetAt().AsTime(), again.GetEquality().GetAt().AsTime())
	require.Contains(t, first.GetStripeRate().GetUnknown(), "push does not run")
	require.Contains(t, first.GetReadAllowance().GetForecast(), "no process of pull says it")

	for _, bad := range []string{`{"services":["reconciliation"]}`, `{"duration":"0s"}`} {
		code, answer := r.Call("Pause", bad)
		require.Equal(t, 400, code, string(answer))
	}
}
