package localtest_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/local/localnodes"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestStartNATS_RunsProgramWithSameSettings(t *testing.T) {
	program := filepath.Join(t.TempDir(), "natsserver")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./natsserver").
		CombinedOutput()
	require.NoError(t, err, "%s", out)
	for name, variable := range map[string]string{"embedded": "", "program": program} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(localnodes.ProgramVariable, variable)
			url, stop := localtest.StartNATS(t, func(cfg *local.NATSConfig) {
				cfg.MaxPayload = 4096
				cfg.Users = []local.NATSUser{{Name: "reader", Password: "secret"}}
			})
			_, err := nats.Connect(url)
			require.ErrorIs(t, err, nats.ErrAuthorization)
			conn, err := nats.Connect(url, nats.UserInfo("reader", "secret"))
			require.NoError(t, err)
			require.EqualValues(t, 4096, conn.MaxPayload())
			conn.Close()
			stop()
			stop() // does nothing
			_, err = nats.Connect(url)
			require.ErrorIs(t, err, nats.ErrNoServers)
		})
	}
}
