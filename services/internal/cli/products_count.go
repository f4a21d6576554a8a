package cli

import (
	"context"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type productsCountCmd struct {
	address
	productFilter
}

// Help is shown by --help.
func (*productsCountCmd) Help() string {
	return `Counts the products that the flags select. It also counts them by state; by kind; by drift kind and cause; by
dead-letter reason; by guard rule; and those without an active price. Each count ignores the flag of its own, so it says
what another choice would select. Counts are up to two seconds old.`
}

func (cmd *productsCountCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.CountProducts(ctx, connect.NewRequest(&controlv1.CountProductsRequest{Filter: cmd.filter()}))
	if err != nil {
		return reportUnknown(c, err)
	}
	if c.Output == "json" {
		return printJSON(resp.Msg)
	}
	total := resp.Msg.GetTotal()
	sayf(stdout, "%s %s.\n", counted(total, resp.Msg.GetTotalIsMinimum()), plural(total, "product", "products"))
	rows := [][]string{{"BY", "VALUE", "PRODUCTS"}}
	for _, facet := range resp.Msg.GetFacets() {
		name := visible.Words(facet.GetName())
		for _, v := range facet.GetValues() {
			value := v.GetValue()
			switch {
			case facet.GetName() == "state" && value == "orphan":
				value = "extra"
			case facet.GetName() == "no_active_price":
				value = ""
			}
			rows = append(rows, []string{name, value, counted(v.GetCount(), v.GetIsMinimum())})
			name = ""
		}
	}
	if len(rows) > 1 {
		say(stdout)
		printTable(stdout, rows...)
	}
	status, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return reportUnknown(c, err)
	}
	sayf(stdout, "\n%s\n", verdictLine(status.Msg))
	return nil
}

// counted formats a count that may be a minimum.
func counted(n uint64, isMinimum bool) string {
	if isMinimum {
		return "at least " + formatCount(n)
	}
	return formatCount(n)
}
