package reconciliation_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// TestNotify_ReportsProblemsOnceOverRestarts runs the service twice: problems of the ledger and of the mesh are
// reported, and the restart repeats none.
func TestNotify_ReportsProblemsOnceOverRestarts(t *testing.T) {
	texts := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var body map[string]string
		data, _ := io.ReadAll(req.Body)
		if json.Unmarshal(data, &body) == nil {
			texts <- body["text"]
		}
	}))
	t.Cleanup(hook.Close)
	next := func() string {
		t.Helper()
		select {
		case text := <-texts:
			return text
		case <-time.After(controltest.Patience):
			require.Fail(t, "no notification arrived")
			return ""
		}
	}
	r := controltest.New(t)
	r.Config.Notify = config.Notify{
		NotifySlackURL: config.Secret(hook.URL),
		NotifyKinds:    []string{"dead_letter", "halted"},
	}
	stop := r.Start()
	results := controltest.Ask[controlv1.TestNotificationResponse](r, "TestNotification", `{}`).GetTargets()
	require.Len(t, results, 1)
	require.Empty(t, results[0].GetError())
	require.Equal(t, "Driftless, account default: this is a test.", next())

	require.NoError(t, r.Mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
		Service: topology.Pull, Account: "default", ProductId: "mug", Reason: topology.ReasonUndecodable,
		Message: "no event",
	}))
	require.Contains(t, next(), "`mug` undecodable: no event")
	stop()

	require.NoError(t, r.Stores.Halted("default").PutString(t.Context(), "Stripe: Expired API Key"))
	r.Clock.Advance(2 * time.Minute)
	r.Start()
	text := next()
	require.Contains(t, text, "push is halted")
	require.Contains(t, text, "Expired API Key")
	require.NotContains(t, text, "mug", "it was reported before the restart")
}

func TestNotify_RefusesWrongSettings(t *testing.T) {
	r := controltest.New(t)
	r.Config.Notify = config.Notify{NotifyURL: "https://example.com/hook"}
	require.ErrorContains(t, reconciliation.Run(t.Context(), r.Config), "DRIFTLESS_NOTIFY_SECRET")
}
