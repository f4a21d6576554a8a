package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/doctor"
)

// runRunning prints what the processes of a mesh found in their own parts. It needs no setting of theirs.
func (cmd *doctorCmd) runRunning(ctx context.Context, c *cli) error {
	report, err := cmd.askRunning(ctx, c)
	if err != nil {
		return err
	}
	if err := cmd.print(c, []accountReport{report}); err != nil {
		return err
	}
	if !report.IsFine() {
		return errDiffers
	}
	return nil
}

// askRunning asks reconciliation. If it does not answer, nothing was looked at.
func (cmd *doctorCmd) askRunning(ctx context.Context, c *cli) (accountReport, error) {
	control, err := cmd.control(c)
	if err == nil {
		var answer *connect.Response[controlv1.GetFindingsResponse]
		answer, err = control.GetFindings(ctx, connect.NewRequest(&controlv1.GetFindingsRequest{}))
		if err == nil {
			return cmd.reportRunning(answer.Msg)
		}
	}
	why, isAway := unreachable(err)
	if !isAway {
		return accountReport{}, err
	}
	return accountReport{cmd.Accounts[0], doctor.ReportUnknown(why, cmd.selection())}, nil
}

func (cmd *doctorCmd) reportRunning(answer *controlv1.GetFindingsResponse) (accountReport, error) {
	account := answer.GetAccount()
	if !slices.Contains(cmd.Accounts, account) {
		return accountReport{}, fmt.Errorf("the control API is that of account %s, not of %s: set --control to the "+
			"reconciliation of the account, or --account %[1]s", account, strings.Join(cmd.Accounts, ", "))
	}
	return accountReport{account, doctor.ReportOf(answer, cmd.selection())}, nil
}
