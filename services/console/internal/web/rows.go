package web

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
)

// rowTimeout is how long a page waits for the operator's tables. A page says what is known without them.
const rowTimeout = 3 * time.Second

// ReadRows reads products from the operator's tables. It returns why if that is not possible.
func ReadRows(v *Visit, ids ...string) (rows []*ingestv1.TableProduct, unknown string) {
	ctx, cancel := context.WithTimeout(v.Context(), rowTimeout)
	defer cancel()
	answer, err := v.Ingest.ReadProducts(ctx, connect.NewRequest(&ingestv1.ReadProductsRequest{Ids: ids}))
	switch {
	case err == nil:
		return answer.Msg.GetProducts(), ""
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return nil, fmt.Sprintf("the ingestion API has not answered within %s", rowTimeout)
	}
	return nil, Explain(err)
}
