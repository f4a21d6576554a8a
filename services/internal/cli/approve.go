package cli

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

type approveCmd struct {
	address
	For *time.Duration `placeholder:"DURATION" help:"How long push may archive any number of products, at most a day. Defaults to an hour if push holds any. 0 ends an approval."`
}

func (cmd *approveCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	request := &controlv1.ApproveRequest{}
	if cmd.For != nil {
		request.Duration = durationpb.New(*cmd.For)
	}
	resp, err := client.Approve(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	if resp.Msg.GetUntil() == nil {
		say(stdout, "approval ended; the guard is active again")
		return nil
	}
	for _, id := range slices.Sorted(slices.Values(resp.Msg.GetProductIds())) {
		say(stdout, id)
	}
	sayf(stdout, "%d held products are synced to their latest state; any number may be archived until %s\n",
		len(resp.Msg.GetProductIds()), resp.Msg.GetUntil().AsTime().Local().Format(time.TimeOnly))
	return nil
}
