package control

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// TestNotification sends a test to every target of notifications.
func (c control) TestNotification(ctx context.Context,
	_ *connect.Request[controlv1.TestNotificationRequest],
) (*connect.Response[controlv1.TestNotificationResponse], error) {
	if c.Notifier == nil || len(c.Notifier.Targets()) == 0 {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New(
			"reconciliation has no target for notifications: set DRIFTLESS_NOTIFY_URL and DRIFTLESS_NOTIFY_SECRET, or DRIFTLESS_NOTIFY_SLACK_URL"))
	}
	results, err := c.Notifier.Test(ctx)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	out := &controlv1.TestNotificationResponse{}
	for _, r := range results {
		t := &controlv1.TestedTarget{Target: r.Target}
		if r.Err != nil {
			t.Error = r.Err.Error()
		}
		out.Targets = append(out.Targets, t)
	}
	return connect.NewResponse(out), nil
}
