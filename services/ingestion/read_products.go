package ingestion

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// readTableProducts reads products from the tables now, with the queries and the rules that capture uses. It publishes
// and records nothing.
func (in *ingester) readTableProducts(ctx context.Context, ids []string) ([]*ingestv1.TableProduct, error) {
	reading, err := in.currentSchema().mapping.Read(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read products %s from the tables: %w", strings.Join(ids, ", "), err)
	}
	// The read has ended, so a time from now on is late enough. Without NATS the time of this machine has to do.
	now, err := in.mesh.Clock().Now(ctx)
	if err != nil {
		now = time.Now()
	}
	out := make([]*ingestv1.TableProduct, len(ids))
	for i, id := range ids {
		state := reading.State(id)
		if spelled := reading.Spelled[id]; spelled != "" {
			id = spelled
		}
		out[i] = &ingestv1.TableProduct{Id: id, ReadAt: timestamppb.New(now)}
		out[i].Product = state.Product
		// The letter is the one that capture would write. It is not published.
		change := &catalogv1.ProductChange{Account: in.account, ProductId: id}
		if _, letter := in.newMessage(change, state, topology.Live); letter != nil {
			out[i].Refused = letter.GetMessage()
		}
	}
	return out, nil
}
