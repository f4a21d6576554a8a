package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type driftCmd struct {
	List    driftListCmd    `cmd:"" default:"withargs" help:"List open drift. Exits with 2 if there is any."`
	Show    driftShowCmd    `cmd:"" help:"Show all drift of a product, closed drift included. Exits with 2 if any is open."`
	Ignore  driftIgnoreCmd  `cmd:"" help:"Leave a product's drift alone until one of its values changes."`
	Resolve driftResolveCmd `cmd:"" help:"Decide whose values are kept, whatever the policy says."`
}

type driftListCmd struct {
	address
	Kind  []string `enum:"${drift_kinds}" help:"Only these kinds, separated by commas: ${drift_kinds}."`
	State []string `enum:"found,repairing,waiting,ignored" help:"Only these states, separated by commas: found, repairing, waiting (for a decision), ignored. Defaults to all but ignored."`
}

func (cmd *driftListCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	states := cmd.State
	if len(states) == 0 {
		states = []string{"found", "repairing", "waiting"}
	}
	return showDrift(ctx, c, client, &controlv1.ListDriftRequest{Kinds: cmd.Kind, States: states})
}

type driftShowCmd struct {
	address
	Product string `arg:"" help:"Id of the product."`
}

func (cmd *driftShowCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	return showDrift(ctx, c, client, &controlv1.ListDriftRequest{ProductIds: []string{cmd.Product}, Settled: true})
}

// showDrift reads all pages and prints them.
func showDrift(ctx context.Context, c *cli, client controlv1connect.ControlServiceClient,
	request *controlv1.ListDriftRequest,
) error {
	all := &controlv1.ListDriftResponse{}
	for {
		resp, err := client.ListDrift(ctx, connect.NewRequest(request))
		if err != nil {
			return reportUnknown(c, err)
		}
		page := resp.Msg.GetDrift()
		if request.GetAfter() == "" {
			all.Equality = resp.Msg.GetEquality()
		} else {
			all.Equality = mergeEquality(all.GetEquality(), resp.Msg.GetEquality())
		}
		all.Drift, all.Unknown = append(all.Drift, page...), resp.Msg.GetUnknown()
		if !resp.Msg.GetTruncated() || len(page) == 0 {
			break
		}
		request.After = page[len(page)-1].GetProductId()
	}
	if len(all.GetUnknown()) > 0 && unknownBecause(all.GetEquality()) == "" {
		return unknownProductsError(all.GetUnknown())
	}
	if err := printDrift(c, all); err != nil {
		return err
	}
	for _, d := range all.GetDrift() {
		if d.GetSettledAt() == nil && d.GetState() != "ignored" {
			return errDiffers
		}
	}
	if unknownBecause(all.GetEquality()) != "" {
		return errDiffers
	}
	return nil
}

// printDrift prints drift. If it answers what has drifted, it also prints as of when.
func printDrift(c *cli, all *controlv1.ListDriftResponse) error {
	if c.Output == "json" {
		return printJSON(all)
	}
	product := ""
	for _, d := range all.GetDrift() {
		if d.GetProductId() != product {
			product = d.GetProductId()
			say(stdout, product)
		}
		sayf(stdout, "  %s\n", differenceLine(d.GetDifference()))
		about := []string{
			d.GetState(), "since " + ago(d.GetSince()),
			"caused by " + visible.Words(d.GetCausedBy()),
		}
		if d.GetEventId() != "" {
			about[2] += " (" + d.GetEventId() + ")"
		}
		if d.GetSettledAt() != nil {
			about = append(about, "closed "+ago(d.GetSettledAt()))
		} else {
			about = append(about, "policy: "+d.GetDifference().GetAction())
		}
		sayf(stdout, "      %s\n", strings.Join(about, ", "))
		if d.GetDetail() != "" {
			sayf(stdout, "      %s\n", d.GetDetail())
		}
		if d.GetState() == "waiting" {
			sayf(stdout, "      decide: driftless drift resolve %s --keep catalog|stripe\n",
				visible.Argument(d.GetProductId()))
		}
	}
	var open, closed uint64
	for _, d := range all.GetDrift() {
		if d.GetSettledAt() == nil {
			open++
		} else {
			closed++
		}
	}
	count := countOf(open, "difference", "differences")
	if closed > 0 {
		count = fmt.Sprintf("%s open and %d closed", count, closed)
	}
	switch why := unknownBecause(all.GetEquality()); {
	case all.GetEquality() == nil:
		sayf(stdout, "%s\n", count)
	case why != "":
		sayf(stdout, "unknown: %s; %s as far as is known%s\n", why, count, asOf(all.GetEquality()))
	default:
		sayf(stdout, "%s%s\n", count, asOf(all.GetEquality()))
	}
	return nil
}

// differenceLine describes a difference: `field description: catalog "A", Stripe "B"`.
func differenceLine(d *meshv1.Difference) string {
	words := visible.Words(d.GetKind())
	if d.GetField() != "" {
		words += " " + d.GetField()
	}
	// Words are preferred, since an id or an amount in minor units says little.
	value := func(text, words string) string {
		if words != "" {
			return words
		}
		return strconv.Quote(text)
	}
	var sides []string
	if d.GetCatalog() != "" || d.GetField() != "" {
		sides = append(sides, "catalog "+value(d.GetCatalog(), d.GetCatalogWords()))
	}
	if d.GetStripe() != "" || d.GetField() != "" {
		sides = append(sides, "Stripe "+value(d.GetStripe(), d.GetStripeWords()))
	}
	if len(sides) > 0 {
		words += ": " + strings.Join(sides, ", ")
	}
	return words
}

type driftIgnoreCmd struct {
	address
	because
	Product string   `arg:"" help:"Id of the product."`
	Field   []string `help:"Only these fields, as the list shows them, separated by commas; - for the product itself."`
}

func (cmd *driftIgnoreCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.IgnoreDrift(ctx,
		connect.NewRequest(&controlv1.IgnoreDriftRequest{
			ProductId: cmd.Product,
			Fields:    cmd.Field,
			Actor:     cmd.actor(),
			Reason:    cmd.Reason,
		}))
	if err != nil {
		return err
	}
	return printDrift(c, &controlv1.ListDriftResponse{Drift: resp.Msg.GetDrift()})
}

type driftResolveCmd struct {
	address
	because
	Product string   `arg:"" help:"Id of the product."`
	Field   []string `help:"Only these fields, as the list shows them, separated by commas; - for the product itself."`
	Keep    string   `enum:"catalog,stripe" required:"" help:"Whose values to keep: catalog writes them to Stripe, stripe writes them to the catalog."`
}

func (cmd *driftResolveCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	keep := map[string]controlv1.Keep{
		"catalog": controlv1.Keep_KEEP_CATALOG,
		"stripe":  controlv1.Keep_KEEP_STRIPE,
	}[cmd.Keep]
	resp, err := client.ResolveDrift(ctx,
		connect.NewRequest(&controlv1.ResolveDriftRequest{
			ProductId: cmd.Product,
			Fields:    cmd.Field,
			Keep:      keep,
			Actor:     cmd.actor(),
			Reason:    cmd.Reason,
		}))
	if err != nil {
		return err
	}
	return printDrift(c, &controlv1.ListDriftResponse{Drift: resp.Msg.GetDrift()})
}
