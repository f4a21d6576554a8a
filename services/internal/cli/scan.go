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
	because
	NoWait  bool          `name:"no-wait" help:"Only start the scan; driftless status shows the progress."`
	Timeout time.Duration `default:"1h" help:"How long to wait until it ends, 0 for no limit. The scan itself continues."`
}

// scanStartTimeout is the timeout until pull begins a scan while it does no other, and until the control API answers
// again.
const scanStartTimeout = 30 * time.Second

func (cmd *scanCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	started, err := client.StartScan(ctx, connect.NewRequest(&controlv1.StartScanRequest{
		Actor:  cmd.actor(),
		Reason: cmd.Reason,
	}))
	switch {
	case err != nil:
		return err
	case cmd.NoWait && c.Output == "json":
		return printJSON(startedAnswer{IDs: []string{started.Msg.GetId()}})
	case cmd.NoWait:
		return nil
	}
	waitCtx, cancel := ctx, context.CancelFunc(func() {})
	if cmd.Timeout > 0 {
		waitCtx, cancel = context.WithTimeoutCause(ctx, cmd.Timeout,
			fmt.Errorf("the scan has not ended within %s; it continues, and `driftless status` shows the progress",
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
		return fmt.Errorf("%w: the scan continues", context.Cause(ctx))
	}
	return err
}

// awaitScan waits until a scan ends and returns its report, with an error if the scan failed. It also returns an error
// if ctx ends, if pull does not begin the scan, or if the report of another scan replaces this one.
func awaitScan(ctx context.Context, client controlv1connect.ControlServiceClient, id string,
	show func(*meshv1.ScanReport),
) (*meshv1.ScanReport, error) {
	begun := false
	// since is the last time at which pull and the control API were known to work.
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
		case err != nil && code != connect.CodeNotFound && (!isTransient(code) || time.Since(since) > scanStartTimeout):
			return nil, err
		case scan.GetId() == id:
			begun, since = true, time.Now()
			show(scan)
			if scan.GetError() != "" {
				return scan,
					fmt.Errorf("the scan has failed: %s; pull retries it, and its log says when",
						scan.GetError())
			}
			if ended {
				return scan, nil
			}
		case err == nil && begun:
			return nil, fmt.Errorf(
				"scan %s has begun meanwhile, and the result of this one is unknown: `driftless status` shows the latest",
				scan.GetId())
		case err == nil && !ended:
			since = time.Now() // pull does another scan first
		case time.Since(since) > scanStartTimeout:
			return nil, fmt.Errorf(
				"pull has not begun the scan within %s: is it running? The command stays queued until it runs",
				scanStartTimeout)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// isTransient reports whether a call that failed with this code may succeed in a moment.
func isTransient(code connect.Code) bool {
	return code == connect.CodeUnavailable || code == connect.CodeDeadlineExceeded
}
