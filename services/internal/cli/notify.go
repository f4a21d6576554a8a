package cli

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

type notifyCmd struct {
	Test notifyTestCmd `cmd:"" help:"Send a test to every target of notifications."`
}

type notifyTestCmd struct {
	address
}

func (*notifyTestCmd) Help() string {
	return "Reconciliation sends the test, with its settings and from where it runs. Exits with 1 if a target does not accept it."
}

func (cmd *notifyTestCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.TestNotification(ctx, connect.NewRequest(&controlv1.TestNotificationRequest{}))
	if err != nil {
		return err
	}
	failed := false
	for _, t := range resp.Msg.GetTargets() {
		failed = failed || t.GetError() != ""
	}
	if c.Output == "json" {
		err = printJSON(resp.Msg)
	} else {
		for _, t := range resp.Msg.GetTargets() {
			if t.GetError() != "" {
				sayf(stdout, "%s: not delivered: %s\n", t.GetTarget(), t.GetError())
				continue
			}
			sayf(stdout, "%s: delivered\n", t.GetTarget())
		}
	}
	if err == nil && failed {
		err = errors.New("not every target has accepted the test")
	}
	return err
}
