package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type scanCmd struct {
	address
	NoWait  bool          `name:"no-wait" help:"Only start the scan; status shows how far it is."`
	Timeout time.Duration `default:"1h" help:"How long to wait for its end, 0 for as long as it takes; the scan itself goes on."`
}

// scanTakeUp is how long pull may take to begin a scan while it is at no other, and the control API to answer again.
const scanTakeUp = 30 * time.Second

func (cmd *scanCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	started, err := client.StartScan(ctx, connect.NewRequest(&controlv1.StartScanRequest{}))
	if err != nil || cmd.NoWait {
		return err
	}
	waitCtx, cancel := ctx, context.CancelFunc(func() {})
	if cmd.Timeout > 0 {
		waitCtx, cancel = context.WithTimeoutCause(ctx, cmd.Timeout,
			fmt.Errorf("the scan has not ended within %s; it goes on, and `driftless status` shows how far it is",
				cmd.Timeout))
	}
	defer cancel()
	bar := &scanProgress{out: stdout, terminal: isTerminal(stdout), quiet: c.Output == "json"}
	report, err := awaitScan(waitCtx, client, started.Msg.GetId(), bar.show)
	bar.end(report, err)
	if c.Output == "json" && report != nil {
		err = errors.Join(err, printJSON(report))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: the scan goes on", context.Cause(ctx))
	}
	return err
}

// awaitScan returns the report of the scan when it has ended, with an error if it has failed. It returns an error too
// if ctx ends, if pull does not begin the scan, and if another scan's report takes the place of this one's.
func awaitScan(ctx context.Context, client controlv1connect.ControlServiceClient, id string,
	show func(*meshv1.ScanReport),
) (*meshv1.ScanReport, error) {
	begun := false
	// since is when pull and the control API were last known to be at work.
	for since := time.Now(); ; {
		resp, err := client.GetScan(ctx, connect.NewRequest(&controlv1.GetScanRequest{}))
		scan := &meshv1.ScanReport{}
		if err == nil {
			scan = resp.Msg.GetScan()
		}
		ended := scan.GetFinishedAt() != nil || scan.GetError() != ""
		switch code := connect.CodeOf(err); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && code != connect.CodeNotFound && (!away(code) || time.Since(since) > scanTakeUp):
			return nil, err
		case scan.GetId() == id:
			begun, since = true, time.Now()
			show(scan)
			if scan.GetError() != "" {
				return scan,
					fmt.Errorf("the scan has failed: %s; pull makes it again by and by, and its log says when",
						scan.GetError())
			}
			if ended {
				return scan, nil
			}
		case err == nil && begun:
			return nil, fmt.Errorf(
				"scan %s has begun meanwhile, and how this one ended is not known: `driftless status` shows the newest",
				scan.GetId())
		case err == nil && !ended:
			since = time.Now() // pull is at another, and comes to this one after it
		case time.Since(since) > scanTakeUp:
			return nil, fmt.Errorf(
				"pull has not begun the scan within %s: is it running? The order is kept, and carried out when it is",
				scanTakeUp)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// away reports whether a call that failed like this may succeed in a moment.
func away(code connect.Code) bool {
	return code == connect.CodeUnavailable || code == connect.CodeDeadlineExceeded
}
