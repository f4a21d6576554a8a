package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

type productsCmd struct {
	List  productsListCmd  `cmd:"" default:"withargs" help:"List products with their state."`
	Count productsCountCmd `cmd:"" help:"Count products by state, drift, dead letters and rules."`
}

type productsListCmd struct {
	address
	productFilter
	Search     string `arg:"" optional:"" help:"Only products whose id or name has this text, in any case."`
	Sort       string `enum:"id,name,differs,changed" default:"id" help:"Order: id, name, differs (the longest difference first) or changed (the oldest change first)."`
	Descending bool   `help:"Reverse the order."`
	Limit      uint32 `default:"100" help:"At most this many. 0 is all."`
	After      string `placeholder:"ID" empty:"" help:"Begin after this product: what the page before names. The other flags must be the same."`
	CSV        bool   `name:"csv" help:"Print CSV with a header."`
}

// Help is shown by --help.
func (*productsListCmd) Help() string {
	return `Products come as the ledger knows them, in the order of their ids unless --sort says another. The last line says whether all products are equal, as of when. With -o json the answer has both sides of
each product, and next, after which to continue with --after.`
}

// productStates are the states by their names on the command line.
var productStates = map[string]controlv1.ProductState{
	"in_sync": controlv1.ProductState_PRODUCT_STATE_IN_SYNC,
	"pending": controlv1.ProductState_PRODUCT_STATE_PENDING,
	"held":    controlv1.ProductState_PRODUCT_STATE_HELD,
	"drifted": controlv1.ProductState_PRODUCT_STATE_DRIFTED,
	"dead":    controlv1.ProductState_PRODUCT_STATE_DEAD,
	"extra":   controlv1.ProductState_PRODUCT_STATE_ORPHAN,
}

func (cmd *productsListCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	if c.Output == "json" && !cmd.CSV {
		return cmd.printJSON(ctx, client)
	}
	out := newProductWriter(stdout, cmd.CSV)
	next, err := cmd.pages(ctx, client, func(page []*controlv1.ProductDetail) error {
		for _, p := range page {
			if err := out.add(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := out.end(next); err != nil || cmd.CSV {
		return err
	}
	status, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return reportUnknown(c, err)
	}
	sayf(stdout, "\n%s\n", verdictLine(status.Msg))
	return nil
}

// maxProductPage is how many products one call returns.
const maxProductPage = 1000

// pages reads pages until the limit, and returns the id to continue after, "" if there are no more.
func (cmd *productsListCmd) pages(ctx context.Context, client controlv1connect.ControlServiceClient,
	yield func([]*controlv1.ProductDetail) error,
) (next string, err error) {
	if !cmd.isPlain() || cmd.Sort != "id" || cmd.Descending {
		return cmd.searchPages(ctx, client, yield)
	}
	request := &controlv1.ListProductsRequest{
		Search: cmd.Search, Kinds: cmd.kinds(), States: cmd.states(), After: cmd.After,
	}
	for left := cmd.Limit; ; {
		request.Limit = maxProductPage
		if cmd.Limit > 0 {
			request.Limit = min(left, maxProductPage)
		}
		resp, err := client.ListProducts(ctx, connect.NewRequest(request))
		if err != nil {
			return "", err
		}
		if err := yield(resp.Msg.GetProducts()); err != nil {
			return "", err
		}
		// A page that continues where it began would never end.
		next := resp.Msg.GetNext()
		if next == "" || next == request.GetAfter() {
			return "", nil
		}
		request.After = next
		left -= min(left, uint32(len(resp.Msg.GetProducts())))
		if cmd.Limit > 0 && left == 0 {
			return next, nil
		}
	}
}

// printJSON prints all pages as one answer.
func (cmd *productsListCmd) printJSON(ctx context.Context, client controlv1connect.ControlServiceClient) error {
	all := &controlv1.ListProductsResponse{}
	next, err := cmd.pages(ctx, client, func(page []*controlv1.ProductDetail) error {
		all.Products = append(all.Products, page...)
		return nil
	})
	if err != nil {
		return err
	}
	all.Next = next
	return printJSON(all)
}

// productWriter writes products as a table or as CSV.
type productWriter struct {
	w    io.Writer
	csv  *csv.Writer
	rows [][]string
}

var productColumns = []string{"product", "state", "name", "prices", "default price", "in Stripe"}

func newProductWriter(w io.Writer, asCSV bool) *productWriter {
	p := &productWriter{w: w}
	if asCSV {
		p.csv = csv.NewWriter(w)
		// An error of the writer stays until the end.
		_ = p.csv.Write(productColumns)
	}
	return p
}

func (p *productWriter) add(product *controlv1.ProductDetail) error {
	row := productRow(product)
	if p.csv == nil {
		p.rows = append(p.rows, row)
		return nil
	}
	for i := range row {
		row[i] = sanitizeRow(row[i : i+1])
	}
	if err := p.csv.Write(row); err != nil {
		return fmt.Errorf("write the products: %w", err)
	}
	return nil
}

// end writes what is left, and how to continue.
func (p *productWriter) end(next string) error {
	if p.csv != nil {
		p.csv.Flush()
		if err := p.csv.Error(); err != nil {
			return fmt.Errorf("write the products: %w", err)
		}
		return nil
	}
	if len(p.rows) == 0 {
		say(p.w, "No product matches.")
		return nil
	}
	head := make([]string, len(productColumns))
	for i, name := range productColumns {
		head[i] = strings.ToUpper(name)
	}
	printTable(p.w, append([][]string{head}, p.rows...)...)
	if next != "" {
		sayf(p.w, "\nThere are more. Continue with --after %q, or use --limit 0.\n", next)
	}
	return nil
}

// productRow returns the cells of a product. Its name and prices are the catalog's, or Stripe's if the catalog does not
// have it.
func productRow(p *controlv1.ProductDetail) []string {
	shown := p.GetDesired().GetProduct()
	if shown == nil {
		shown = p.GetObserved().GetProduct()
	}
	state := strings.ToLower(strings.TrimPrefix(p.GetState().String(), "PRODUCT_STATE_"))
	switch {
	case state == "orphan":
		state = "extra"
	case p.GetDesired().GetProduct() == nil && !p.GetObserved().GetProduct().GetActive():
		state += ", left"
	}
	return []string{
		p.GetProductId(), state, shown.GetName(), strconv.Itoa(len(shown.GetPrices())), shown.GetDefaultPrice(),
		stripeSide(p),
	}
}

// stripeSide says under which id Stripe has a product, and whether it is archived.
func stripeSide(p *controlv1.ProductDetail) string {
	o := p.GetObserved()
	switch {
	case o.GetProduct() == nil:
		return "-"
	case !o.GetProduct().GetActive():
		return "archived"
	case o.GetStripeId() != "" && o.GetStripeId() != p.GetProductId():
		return o.GetStripeId()
	default:
		return "active"
	}
}
