package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/config"
)

type rejectCmd struct {
	address
	heldSelection
}

// Help is shown by --help.
func (*rejectCmd) Help() string {
	return `Records that held changes shall not be made. They stay held until the catalog changes.

Where write-back can give the catalog all of Stripe's values, it is ordered. For your own tables that includes amounts,
if a statement of catalog.write_back has them. Otherwise the output has the SQL that undoes the change in the built-in
tables, and everything else as SQL comments. So the output can go to psql. For your own tables it says what your
queries must return again.`
}

func (cmd *rejectCmd) Run(ctx context.Context, c *cli, mapping *config.Mapping) error {
	if err := cmd.check("reject", ""); err != nil {
		return err
	}
	if err := cmd.askMany("Reject", false); err != nil {
		return err
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	all := &controlv1.RejectResponse{}
	for _, page := range cmd.pages() {
		request := &controlv1.RejectRequest{
			ProductIds: page,
			Rule:       cmd.Rule,
			All:        cmd.All,
			Actor:      cmd.actor(),
			Reason:     cmd.Reason,
			Seen:       cmd.seen(),
		}
		for {
			resp, err := client.Reject(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			all.Rejections = append(all.Rejections, resp.Msg.GetRejections()...)
			all.Changed = append(all.Changed, resp.Msg.GetChanged()...)
			if c.Output != "json" {
				if err := printRejections(ctx, client, resp.Msg.GetRejections(),
					mapping.IsBuiltIn() && !resp.Msg.GetMapped()); err != nil {
					return err
				}
			}
			if !isNextPage(resp.Msg.GetNext(), request.GetAfter()) {
				break
			}
			request.After = resp.Msg.GetNext()
		}
	}
	if c.Output == "json" {
		return errors.Join(printJSON(all), changedError(all.GetChanged()))
	}
	if err := changedError(all.GetChanged()); err != nil {
		return err
	}
	sayf(stdout, "-- %s rejected\n", countOf(uint64(len(all.GetRejections())), "change", "changes"))
	return nil
}

// printRejections prints what undoes each change, in a form that psql can execute.
func printRejections(ctx context.Context, client controlv1connect.ControlServiceClient,
	rejections []*controlv1.Rejection, builtIn bool,
) error {
	var ids []string
	for _, r := range rejections {
		if !r.GetWrittenBack() {
			ids = append(ids, r.GetProductId())
		}
	}
	details := map[string]*controlv1.ProductDetail{}
	if len(ids) > 0 {
		resp, err := client.ListProducts(ctx, connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: ids}))
		if err != nil {
			return fmt.Errorf("read the rejected products: %w", err)
		}
		for _, p := range resp.Msg.GetProducts() {
			details[p.GetProductId()] = p
		}
	}
	for _, r := range rejections {
		printRejection(r, details[r.GetProductId()], builtIn)
	}
	return nil
}

func printRejection(r *controlv1.Rejection, p *controlv1.ProductDetail, builtIn bool) {
	sayf(stdout, "-- %s\n", r.GetProductId())
	for _, d := range r.GetDifferences() {
		sayf(stdout, "--     %s\n", differenceLine(d))
	}
	if r.GetWrittenBack() {
		sayf(stdout, "--     written back: the catalog gets Stripe's values\n")
		return
	}
	rows, unknown := undoRows(p, r.GetDifferences())
	if !builtIn {
		sayf(stdout, "--     not written back: %s\n", r.GetBlocker())
		if len(rows) > 0 {
			say(stdout, "--     Change your tables so that the mapping has Stripe's values again:")
		}
	}
	for _, row := range rows {
		// The literals escape what acts on a terminal.
		if builtIn {
			say(stdout, raw(row.sql()))
		} else {
			say(stdout, raw("--         "+row.words()))
		}
	}
	if len(unknown) > 0 {
		sayf(stdout, "--     no statement is known for %s: change the catalog by hand\n", strings.Join(unknown, ", "))
	}
}
