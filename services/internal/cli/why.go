package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
)

type whyCmd struct {
	address
	ID string `arg:"" help:"Id of a product or a price, a lookup key, an id of Stripe's (prod_, price_, req_, evt_), or the id of a trace."`
}

// Help is shown by --help.
func (*whyCmd) Help() string {
	return `Says where a product is on its way from your table to Stripe: what your table has now, what is captured, what
Stripe has, what keeps them from being equal, since when, and what to do. It changes nothing.

Exits with 0 if all three were looked at and are equal, with 2 if they are not or one of them was not looked at, and
with 1 if nothing is known of the id. Without NATS it says what the ledger knew. See docs/why.md.`
}

const (
	// readRowsTimeout is longer than ingestion's own timeout for its queries.
	readRowsTimeout = 8 * time.Second
	// capturingTimeout is how long a row that was just changed may take to be captured.
	capturingTimeout = 4 * time.Second
)

func (cmd *whyCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	w := &whyAsker{control: client, id: cmd.ID}
	w.ingest, w.noIngest = cmd.ingest(c)
	answer, err := w.ask(ctx)
	if err != nil {
		return reportUnknown(c, err)
	}
	if c.Output == "json" {
		err = printJSON(answer)
	} else {
		printWhy(stdout, answer, time.Now(), colours())
	}
	if err == nil && !isEverythingEqual(answer) {
		return errDiffers
	}
	return err
}

func isEverythingEqual(answer *controlv1.ExplainResponse) bool {
	return !answer.GetTruncated() && !slices.ContainsFunc(answer.GetExplanations(),
		func(e *controlv1.Explanation) bool { return !e.GetEqual() })
}

// whyAsker asks reconciliation, and ingestion for the rows of the tables.
type whyAsker struct {
	control controlv1connect.ControlServiceClient
	ingest  ingestv1connect.IngestServiceClient
	// noIngest is why there is no client for ingestion.
	noIngest error
	id       string
}

func (w *whyAsker) ask(ctx context.Context) (*controlv1.ExplainResponse, error) {
	products := []string{w.id}
	// The ledger knows which products the id stands for.
	known, err := w.explain(ctx, nil, "")
	switch {
	case err == nil:
		products = products[:0]
		for _, e := range known.GetExplanations() {
			products = append(products, e.GetProductId())
		}
	case connect.CodeOf(err) != connect.CodeNotFound:
		return nil, err
	}
	rows, why := w.readRows(ctx, products)
	if known == nil && (len(rows) == 0 || rows[0].GetProduct() == nil) {
		return nil, unknownIDError(w.id, err, why)
	}
	if known == nil && rows[0].GetId() != w.id {
		// The database spells the id in another way, and the ledger knows the product by that one.
		w.id, products = rows[0].GetId(), []string{rows[0].GetId()}
	}
	answer, err := w.explainCaptured(ctx, rows, why)
	if err != nil || !isCapturing(answer) {
		return answer, err
	}
	// The row may have changed again meanwhile.
	rows, why = w.readRows(ctx, products)
	return w.explain(ctx, rows, why)
}

// unknownIDError returns the error about an id that neither the ledger nor the tables know.
func unknownIDError(id string, err error, rowsUnknown string) error {
	words := "nothing is known of " + id
	if failed, ok := errors.AsType[*connect.Error](err); ok {
		words = failed.Message()
	}
	tables := "your tables have no such product"
	if rowsUnknown != "" {
		tables = "your tables were not looked at: " + rowsUnknown
	}
	return fmt.Errorf("%s: it is no id of a product, price, event, request or trace, and no lookup key; %s", words,
		tables)
}

func (w *whyAsker) explain(ctx context.Context, rows []*ingestv1.TableProduct,
	rowsUnknown string,
) (*controlv1.ExplainResponse, error) {
	resp, err := w.control.Explain(ctx, connect.NewRequest(&controlv1.ExplainRequest{
		Id:          w.id,
		Rows:        rows,
		RowsUnknown: rowsUnknown,
	}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// explainCaptured explains rows. A row that was changed a moment ago gets the time to be captured: afterwards it is
// known whether capture has missed it.
func (w *whyAsker) explainCaptured(ctx context.Context, rows []*ingestv1.TableProduct,
	rowsUnknown string,
) (*controlv1.ExplainResponse, error) {
	for end := time.Now().Add(capturingTimeout); ; {
		answer, err := w.explain(ctx, rows, rowsUnknown)
		if err != nil || !isCapturing(answer) || time.Now().After(end) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func isCapturing(answer *controlv1.ExplainResponse) bool {
	return slices.ContainsFunc(answer.GetExplanations(),
		func(e *controlv1.Explanation) bool { return e.GetVerdict() == "capturing" })
}

// readRows reads products from the operator's tables. It returns why if that is not possible.
func (w *whyAsker) readRows(ctx context.Context, products []string) (rows []*ingestv1.TableProduct, why string) {
	if w.noIngest != nil {
		return nil, w.noIngest.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, readRowsTimeout)
	defer cancel()
	resp, err := w.ingest.ReadProducts(ctx, connect.NewRequest(&ingestv1.ReadProductsRequest{Ids: products}))
	if err == nil {
		return resp.Msg.GetProducts(), ""
	}
	switch failed, ok := errors.AsType[*connect.Error](err); {
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return nil, fmt.Sprintf("the ingestion API has not answered within %s", readRowsTimeout)
	case ok:
		return nil, failed.Message()
	default:
		return nil, err.Error()
	}
}
