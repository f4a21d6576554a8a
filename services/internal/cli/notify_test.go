package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

// notifyStub answers tests of notifications.
type notifyStub struct {
	controlv1connect.UnimplementedControlServiceHandler

	targets []*controlv1.TestedTarget
}

func (s *notifyStub) TestNotification(context.Context, *connect.Request[controlv1.TestNotificationRequest]) (
	*connect.Response[controlv1.TestNotificationResponse], error,
) {
	return connect.NewResponse(&controlv1.TestNotificationResponse{Targets: s.targets}), nil
}

func TestNotifyTest_FailsUnlessEveryTargetAccepts(t *testing.T) {
	s := &notifyStub{targets: []*controlv1.TestedTarget{{Target: "slack"}}}
	mux := http.NewServeMux()
	mux.Handle(controlv1connect.NewControlServiceHandler(s))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	code, out := printed(t, "notify", "test", "--control", server.URL)
	require.Zero(t, code)
	require.Equal(t, "slack: delivered\n", out)

	s.targets = append(s.targets, &controlv1.TestedTarget{
		Target: "webhook",
		Error:  "hooks.example.com answered with status 500",
	})
	code, out = printed(t, "notify", "test", "--control", server.URL)
	require.Equal(t, 1, code)
	require.Equal(t, "slack: delivered\nwebhook: not delivered: hooks.example.com answered with status 500\n", out)
	code, out = printed(t, "notify", "test", "--control", server.URL, "-o", "json")
	require.Equal(t, 1, code)
	require.Contains(t, out, "status 500")
}
