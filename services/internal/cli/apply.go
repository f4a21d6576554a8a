package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/internal/productfile"
)

// Bounds of a request to the API, below the API's own: products, objects of the encoding, and bytes.
const (
	maxBatchProducts = 1000
	maxBatchObjects  = 40_000
	maxBatchBytes    = 8 << 20
)

type applyCmd struct {
	address
	who
	File   string `arg:"" optional:"" help:"File of products, or - for standard input."`
	Flag   string `name:"file" short:"f" placeholder:"FILE" help:"The same as the argument."`
	Format string `enum:",json,jsonl,yaml,csv" default:"" placeholder:"FORMAT" help:"Format of the file: json, jsonl (JSON lines), yaml or csv. Defaults to what the extension says, else json."`
}

// Help is shown by --help.
func (*applyCmd) Help() string {
	return `Fields have Stripe's names. JSON and YAML are {"products": [...]} or a list of products. JSON lines have a
product on each line. CSV has a row for each price, with the columns of its product in every row: id, name and
metadata.color are the product's, and price.id, price.currency and price.unit_amount the price's. Each product gets
exactly the given prices. Products that the file does not have stay as they are.`
}

func (cmd *applyCmd) Run(ctx context.Context, c *cli) error {
	file, err := cmd.file()
	if err != nil {
		return err
	}
	client, err := cmd.ingest(c)
	if err != nil {
		return err
	}
	var data []byte
	if file == "-" {
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return fmt.Errorf("read products: %w", err)
	}
	products, err := productfile.Read(data, cmd.format(file))
	if err != nil {
		return fmt.Errorf("nothing was written: %s as %s: %w", nameOfFile(file), cmd.format(file), err)
	}
	created, total, err := applyProducts(ctx, client, products, cmd.actor())
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(applyAnswer{Products: total, Created: created})
	}
	sayf(stdout, "%s written, %d of them new\n", countOf(total, "product", "products"), created)
	return nil
}

// file returns the name of the file, which is given as an argument or as a flag.
func (cmd *applyCmd) file() (string, error) {
	switch {
	case cmd.File != "" && cmd.Flag != "":
		return "", errors.New("name one file, as the argument or with --file")
	case cmd.File == "" && cmd.Flag == "":
		return "", errors.New("name the file, or - for standard input (see `driftless apply --help`)")
	default:
		return cmp.Or(cmd.File, cmd.Flag), nil
	}
}

func (cmd *applyCmd) format(file string) productfile.Format {
	if cmd.Format != "" {
		return productfile.Format(cmd.Format)
	}
	if f, known := productfile.FormatOf(file); known {
		return f
	}
	return productfile.JSON
}

func nameOfFile(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// applyProducts writes products in batches of at most maxBatchProducts.
func applyProducts(ctx context.Context, client ingestv1connect.IngestServiceClient,
	products []productfile.Located, actor string,
) (created, total int, err error) {
	all := make([]*catalogv1.Product, len(products))
	for i, p := range products {
		all[i] = p.Product
	}
	line := &progress{}
	defer line.clear()
	for total < len(all) {
		batch := all[total:][:batchSize(all[total:])]
		resp, err := client.UpsertProducts(ctx, connect.NewRequest(&ingestv1.UpsertProductsRequest{
			Products: batch,
			Actor:    actor,
		}))
		if err != nil {
			return created, total, refused(err, products, total)
		}
		total += len(batch)
		for _, p := range resp.Msg.GetProducts() {
			if p.GetCreated() {
				created++
			}
		}
		if len(batch) < len(all) {
			line.showf("%s %d of %s", bar(total, len(all)), total, countOf(len(all), "product", "products"))
		}
	}
	return created, total, nil
}

// batchSize returns the number of leading products that fit into one request. It is at least one.
func batchSize(products []*catalogv1.Product) int {
	objects, bytes := 0, 0
	for i, p := range products {
		objects += 1 + len(p.GetMarketingFeatures()) + 2*len(p.GetMetadata())
		for _, price := range p.GetPrices() {
			objects += 5 + len(price.GetTiers()) + 2*len(price.GetMetadata())
			for _, option := range price.GetCurrencyOptions() {
				objects += 3 + len(option.GetTiers())
			}
		}
		bytes += proto.Size(p)
		if i > 0 && (i == maxBatchProducts || objects > maxBatchObjects || bytes > maxBatchBytes) {
			return i
		}
	}
	return len(products)
}

// refused adds to an error of the API the fields that it refused with their lines, and what was written before.
func refused(err error, products []productfile.Located, written int) error {
	before := "nothing was written"
	if written > 0 {
		before = "the first " + countOf(written, "product was", "products were") + " written, and nothing after that"
	}
	found := violations(err, products, written)
	switch {
	case found != "":
		return fmt.Errorf("%s:%s", before, found)
	case written > 0:
		return fmt.Errorf("the first %s written, and then a call failed: %w",
			countOf(written, "product was", "products were"), err)
	default:
		return err
	}
}

// violations lists the fields that the API refused, one a line. The call had the products from first on.
func violations(err error, products []productfile.Located, first int) string {
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return ""
	}
	var b strings.Builder
	for _, d := range failed.Details() {
		value, err := d.Value()
		if err != nil {
			continue
		}
		if v, ok := value.(*ingestv1.FieldViolation); ok {
			place, field := placeOf(v.GetField(), products, first)
			fmt.Fprintf(&b, "\n  %s%s (product %s): %s", place, field, v.GetProductId(), v.GetMessage())
		}
	}
	return b.String()
}

var productPath = regexp.MustCompile(`^products\[([0-9]+)\](?:\.prices\[([0-9]+)\])?`)

// placeOf returns the line of a field's product or price, and the field with the product's position in the file instead
// of the call.
func placeOf(field string, products []productfile.Located, first int) (place, path string) {
	at := productPath.FindStringSubmatch(field)
	if at == nil {
		return "", field
	}
	i, err := strconv.Atoi(at[1])
	if i += first; err != nil || i >= len(products) {
		return "", field
	}
	line := products[i].Line
	if j, err := strconv.Atoi(at[2]); err == nil && j < len(products[i].PriceLines) {
		line = products[i].PriceLines[j]
	}
	return fmt.Sprintf("line %d: ", line), fmt.Sprintf("products[%d]%s", i, field[len("products[]")+len(at[1]):])
}
