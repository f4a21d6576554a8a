package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// dryRunSuffix is the end of the names that a dry run uses beside those of the mesh.
const dryRunSuffix = "_dry_run"

// prepareDryRun changes the settings so that nothing is written to Stripe, nor to the operator's tables. It returns
// the data directory.
func (cmd *upCmd) prepareDryRun(dataDir string, mapping *config.Mapping) (string, error) {
	if !cmd.DryRun {
		if cmd.Once {
			return "", errors.New("--once is for --dry-run: a mesh runs until it is stopped")
		}
		return dataDir, nil
	}
	if cmd.NATSURL != "" {
		return "", errors.New("a dry run has a NATS of its own, because a push on another one would write to Stripe: " +
			"leave out --nats-url (NATS_URL)")
	}
	if mapping != nil && mapping.WriteIDs != nil {
		return "", errors.New(
			"a dry run writes nothing, and catalog.write_ids writes Stripe's ids to your tables: use a " +
				"configuration file without it")
	}
	// The plan is on the terminal, so no console runs.
	for _, program := range []string{topology.Push, console} {
		if !slices.Contains(cmd.Without, program) {
			cmd.Without = append(cmd.Without, program)
		}
	}
	// Values that would be written back to the tables are only reported.
	for i, r := range cmd.Policy.Policy {
		if owner := catalog.Owner(r.Owner); owner == catalog.OwnerStripe || owner == catalog.OwnerNewest {
			cmd.Policy.Policy[i].Action = string(catalog.Report)
		}
	}
	if cmd.Extras == "import" {
		cmd.Extras = "report"
	}
	cmd.StripeIDs = false
	if cmd.DatabaseURL != "" {
		cmd.Seed = false
		// The file may be that of a mesh that runs, and its slot has one reader.
		cmd.meshSlot, cmd.Slot = cmd.Slot, cmd.Slot+dryRunSuffix
	}
	// Its streams must never reach a push.
	return filepath.Join(dataDir, "dry-run"), nil
}

// errPlanned ends a dry run that was to end after its plan.
var errPlanned = errors.New("the dry run is done")

// planDry shows the plan once everything was read.
func (u *up) planDry(ctx context.Context) error {
	at := address{Control: u.endpoints.Control, Ingest: u.endpoints.Ingest}
	control, err := at.control(u.cli)
	if err != nil {
		return err
	}
	ingest, err := at.ingest(u.cli)
	if err != nil {
		return err
	}
	line := &progress{}
	defer line.clear()
	line.showf("reading your tables")
	if err := retryUnavailable(ctx, func() error {
		_, err := ingest.WaitCaptured(ctx, connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
		return err
	}); err != nil {
		return fmt.Errorf("read the tables: %w", err)
	}
	for {
		resp, err := control.GetScan(ctx, connect.NewRequest(&controlv1.GetScanRequest{}))
		// Until the first scan begins, there is none.
		if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			return fmt.Errorf("read Stripe: %w", err)
		}
		var scan *meshv1.ScanReport
		if err == nil {
			scan = resp.Msg.GetScan()
		}
		if scan.GetError() != "" {
			return fmt.Errorf("read Stripe: %s; is the key right, and may it read products and prices?",
				scan.GetError())
		}
		if scan.GetFinishedAt() != nil && !scan.GetFinishedAt().AsTime().Before(u.started) {
			break
		}
		line.showf("reading Stripe: %s products, %s prices", formatCount(scan.GetProducts()),
			formatCount(scan.GetPrices()))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	line.clear()
	return u.showDryPlan(ctx, control)
}

// awaitRead waits until everything that was read is compared. Messages for push stay, because there is none.
func awaitRead(ctx context.Context, control controlv1connect.ControlServiceClient) error {
	for idle := 0; idle < 2; {
		resp, err := control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return err
		}
		idle++
		for _, c := range resp.Msg.GetConsumers() {
			if !strings.HasPrefix(c.GetConsumer(), topology.Push) && c.GetPending()+c.GetInFlight() > 0 {
				idle = 0
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// withoutPush begins the reason for which the control API does not know whether everything is equal: no push runs.
const withoutPush = "no push runs"

// knownPlan returns the plan once it is known what the tables and Stripe hold. If that takes too long, the plan says
// what is not known.
func (u *up) knownPlan(ctx context.Context, control controlv1connect.ControlServiceClient) (
	*controlv1.PlanResponse, error,
) {
	for deadline := time.Now().Add(u.Timeout); ; {
		plan, err := fetchPlan(ctx, control, &controlv1.PlanRequest{})
		if err != nil {
			return nil, err
		}
		e := plan.GetEquality()
		if e.GetAsOf() != nil && strings.HasPrefix(unknownBecause(e), withoutPush) {
			// A dry run says so itself.
			e.Unknown = ""
		}
		if unknownBecause(e) == "" || time.Now().After(deadline) {
			return plan, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// showDryPlan prints the plan, and says what a dry run leaves out.
func (u *up) showDryPlan(ctx context.Context, control controlv1connect.ControlServiceClient) error {
	if err := awaitRead(ctx, control); err != nil {
		return fmt.Errorf("wait until everything is compared: %w", err)
	}
	plan, err := u.knownPlan(ctx, control)
	if err != nil {
		return err
	}
	if err := show(u.cli, plan); err != nil {
		return err
	}
	if u.cli.Output != "json" {
		if plan.GetCompared() == 0 {
			sayf(stdout, "Neither your tables nor Stripe have products.\n")
		}
		sayf(stdout, "\nDry run: no push runs, so nothing is written to Stripe, whatever happens.\n")
		if u.DatabaseURL != "" {
			sayf(stdout, "Nothing is written to your tables. The replication slot %s is dropped at the end.\n", u.Slot)
		}
	}
	if u.Once {
		u.differs = len(plan.GetProducts()) > 0 || unknownBecause(plan.GetEquality()) != ""
		return errPlanned
	}
	if u.cli.Output != "json" {
		sayf(stdout, "Plan again: driftless plan --data-dir %s. Ctrl-C ends the dry run.\n", u.dataDir)
	}
	return nil
}
