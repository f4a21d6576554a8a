package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
)

// Bounds of a request to the API, below the API's own: products, objects of the encoding, and bytes.
const (
	maxBatchProducts = 1000
	maxBatchObjects  = 40_000
	maxBatchBytes    = 8 << 20
)

type applyCmd struct {
	address
	File string `arg:"" help:"JSON file {\"products\": [...]} with Stripe's field names, or - for standard input."`
}

func (cmd *applyCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.ingest(c)
	if err != nil {
		return err
	}
	var data []byte
	if cmd.File == "-" {
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(cmd.File)
	}
	if err != nil {
		return fmt.Errorf("read products: %w", err)
	}
	created, total, err := applyProducts(ctx, client, data)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return json.NewEncoder(jsonOut).Encode(map[string]int{"products": total, "created": created})
	}
	sayf(stdout, "%d products written, %d of them new\n", total, created)
	return nil
}

// applyProducts writes products in batches of at most maxBatchSize.
func applyProducts(ctx context.Context, client ingestv1connect.IngestServiceClient,
	data []byte,
) (created, total int, err error) {
	var file ingestv1.UpsertProductsRequest
	if err := protojson.Unmarshal(data, &file); err != nil {
		return 0, 0, fmt.Errorf("the file must be {\"products\": [...]}: %w", err)
	}
	for products := file.GetProducts(); len(products) > 0; {
		batch := products[:batchSize(products)]
		products = products[len(batch):]
		resp, err := client.UpsertProducts(ctx, connect.NewRequest(&ingestv1.UpsertProductsRequest{Products: batch}))
		if err != nil {
			return created, total, violations(err)
		}
		for _, p := range resp.Msg.GetProducts() {
			total++
			if p.GetCreated() {
				created++
			}
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

// violations adds the fields that the API refused to its error.
func violations(err error) error {
	var refused *connect.Error
	if !errors.As(err, &refused) {
		return err
	}
	var b strings.Builder
	for _, d := range refused.Details() {
		if value, err := d.Value(); err == nil {
			if v, ok := value.(*ingestv1.FieldViolation); ok {
				fmt.Fprintf(&b, "\n  %s (product %s): %s", v.GetField(), v.GetProductId(), v.GetMessage())
			}
		}
	}
	if b.Len() == 0 {
		return err
	}
	return fmt.Errorf("nothing was written:%s", b.String())
}
