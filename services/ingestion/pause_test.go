package ingestion_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestPause_CapturesNothingAndMissesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	name := func(want string) func() bool {
		return func() bool {
			change, err := r.stores.Desired().Latest(t.Context(), "default", "mug")
			return err == nil && change.GetProduct().GetName() == want
		}
	}
	r.exec("INSERT INTO driftless.products (id, name) VALUES ('mug', 'Mug')")
	require.Eventually(t, name("Mug"), testTimeout, 10*time.Millisecond)
	r.pause()
	r.exec("UPDATE driftless.products SET name = 'Large mug'")
	localtest.Holds(t, 1200*time.Millisecond, name("Mug"), "paused")
	resp, err := http.Get(r.url + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "its API accepts changes meanwhile")

	_, err = r.stores.ResumeService(t.Context(), topology.Ingestion)
	require.NoError(t, err)
	require.Eventually(t, name("Large mug"), testTimeout, 10*time.Millisecond)
}

// pause pauses ingestion, and waits until it has stopped to read the log.
func (r *rig) pause() {
	r.t.Helper()
	_, err := r.stores.PauseService(r.t.Context(), topology.Ingestion, 0, "", "")
	require.NoError(r.t, err)
	r.eventually("the log is not read", func() bool {
		var active bool
		err := r.pool.QueryRow(r.t.Context(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1",
			r.cfg.Slot).Scan(&active)
		return err == nil && !active
	})
}
