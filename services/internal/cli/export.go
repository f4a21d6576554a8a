package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/productfile"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type exportCmd struct {
	address
	Side     string   `enum:"catalog,stripe" default:"catalog" help:"Which side: catalog or stripe."`
	Format   string   `enum:"json,jsonl,yaml,csv" default:"json" help:"Format: json, jsonl (JSON lines), yaml or csv."`
	Products []string `arg:"" optional:"" name:"product" help:"Only these products. Defaults to all."`
}

// Help is shown by --help.
func (*exportCmd) Help() string {
	return `The products are those that ingestion captured from the catalog, or that Driftless last saw in Stripe, with
Stripe's field names. apply reads what export writes. A product that left the catalog, or that Stripe does not have, is
not there. Prices that are archived in Stripe are left out, and prices have the catalog's ids where they have one.`
}

func (cmd *exportCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	out := &exportBuffer{escape: escapeFor(cmd.Format, isTerminal(stdout))}
	w, err := productfile.NewWriter(out, productfile.Format(cmd.Format))
	if err != nil {
		return err
	}
	if err := cmd.write(ctx, client, w, out); err != nil {
		// The complete products show how far it came. The file does not end as a whole one does.
		_ = out.flush(0)
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.flush(0)
}

// exportChunk is how many bytes are written at once.
const exportChunk = 64 << 10

// exportBuffer collects what is written, since texts can only be escaped in whole characters.
type exportBuffer struct {
	bytes.Buffer
	escape func([]byte) []byte
}

// flush writes to standard output if there are at least so many bytes.
func (b *exportBuffer) flush(atLeast int) error {
	if b.Len() < atLeast {
		return nil
	}
	_, err := stdout.Write(b.escape(b.Bytes()))
	b.Reset()
	return wrapWrite(err)
}

// escapeFor returns how a format is escaped. JSON has escapes that keep the meaning. The texts of other formats must
// stay what they are in a file, and must not act on a terminal.
func escapeFor(format string, onTerminal bool) func([]byte) []byte {
	switch {
	case format == "json" || format == "jsonl":
		return visible.JSON
	case !onTerminal:
		return func(data []byte) []byte { return data }
	default:
		return func(data []byte) []byte {
			shown := strings.Split(string(data), "\n")
			for i := range shown {
				shown[i] = visible.Text(shown[i])
			}
			return []byte(strings.Join(shown, "\n"))
		}
	}
}

// write writes all products, or the named ones.
func (cmd *exportCmd) write(ctx context.Context, client controlv1connect.ControlServiceClient,
	w productfile.Writer, out *exportBuffer,
) error {
	if len(cmd.Products) == 0 {
		request := &controlv1.ListProductsRequest{}
		if cmd.Side == "catalog" {
			request.Kinds = []string{"catalog"}
		}
		_, err := cmd.pages(ctx, client, request, w, out)
		return err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(cmd.Products)))
	for chunk := range slices.Chunk(ids, maxProductPage) {
		written, err := cmd.pages(ctx, client, &controlv1.ListProductsRequest{ProductIds: chunk}, w, out)
		if err != nil {
			return err
		}
		for _, id := range chunk {
			if !slices.Contains(written, id) {
				return fmt.Errorf("%s does not have product %s: see `driftless products`", sideNames[cmd.Side], id)
			}
		}
	}
	return nil
}

// pages writes the products that a request finds. It returns their ids if the request names the products.
func (cmd *exportCmd) pages(ctx context.Context, client controlv1connect.ControlServiceClient,
	request *controlv1.ListProductsRequest, w productfile.Writer, out *exportBuffer,
) (written []string, err error) {
	line := &progress{}
	defer line.clear()
	for n := 0; ; {
		resp, err := client.ListProducts(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		for _, detail := range resp.Msg.GetProducts() {
			p := cmd.sideOf(detail)
			if p == nil {
				continue
			}
			if n++; len(request.GetProductIds()) > 0 {
				written = append(written, detail.GetProductId())
			}
			if err := w.Add(p); err != nil {
				return nil, err
			}
			if err := out.flush(exportChunk); err != nil {
				return nil, err
			}
		}
		if !isTerminal(stdout) {
			line.showf("%s", countOf(n, "product", "products"))
		}
		// A page that continues where it began would never end.
		next := resp.Msg.GetNext()
		if next == "" || next == request.GetAfter() {
			return written, nil
		}
		request.After = next
	}
}

// sideOf returns a product as one side has it, nil if it does not.
func (cmd *exportCmd) sideOf(detail *controlv1.ProductDetail) *catalogv1.Product {
	if cmd.Side == "catalog" {
		return detail.GetDesired().GetProduct()
	}
	return catalog.Import(detail.GetObserved())
}
