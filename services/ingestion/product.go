package ingestion

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// maxFaults is the maximum number of faults that a dead letter names.
const maxFaults = 20

// deadProduct is a dead letter for a product, and the trace of its change.
type deadProduct struct {
	letter *meshv1.DeadLetter
	ctx    context.Context //nolint:containedctx // the trace of the change
}

// newMessage adds the state that was read to a change. It returns a message, or a dead letter if Stripe would refuse
// the state.
func (in *ingester) newMessage(change *catalogv1.ProductChange, state mapping.State,
	lane topology.Lane,
) (mesh.Outgoing, *meshv1.DeadLetter) {
	if state.Failure != nil {
		return mesh.Outgoing{}, in.queryFailedLetter(change, state.Failure)
	}
	change.Operation = catalogv1.Operation_OPERATION_DELETE
	if state.Product != nil {
		change.Operation = catalogv1.Operation_OPERATION_UPSERT
		change.Product = state.Product
		change.UnmanagedFields = in.currentSchema().mapping.Unmanaged()
		faults := state.Faults
		if len(faults) == 0 {
			faults = in.validate.Product(state.Product)
		}
		if len(faults) > 0 {
			return mesh.Outgoing{}, in.invalidLetter(change, faults)
		}
	}
	out := mesh.Outgoing{
		Subject: topology.CatalogSubject(in.account, lane, change.GetProductId()), Body: change,
		Version: change.GetVersion(),
	}
	size, err := out.Encode()
	if err == nil && size > in.maxBody/2 {
		// The row images show the changes of the rows. Only the resulting state matters.
		change.RowImages = nil
		size, err = out.Encode()
	}
	switch {
	case err != nil:
		return mesh.Outgoing{}, in.invalidLetter(change, []catalog.Violation{{Message: err.Error()}})
	case size > in.maxBody:
		change.Product = nil
		return mesh.Outgoing{}, in.invalidLetter(change, []catalog.Violation{{
			Field: "prices",
			Message: fmt.Sprintf(
				"the product and its %d prices take %d bytes in a message, and NATS accepts %d: let the prices query return fewer archived prices, or raise max_payload of the NATS server", len(state.Product.GetPrices()), size, in.maxBody),
		}})
	}
	return out, nil
}

// queryFailedLetter returns the dead letter for a product for which a query of the mapping fails, so that its desired
// state is unknown.
func (in *ingester) queryFailedLetter(change *catalogv1.ProductChange,
	failure *mapping.QueryFailure,
) *meshv1.DeadLetter {
	return &meshv1.DeadLetter{
		Service: topology.Ingestion, Account: in.account, ProductId: change.GetProductId(),
		Version: change.GetVersion(),
		Reason:  topology.ReasonQueryFailed, Attempts: 1, Step: failure.Query + " query",
		Message: fmt.Sprintf("product %s: %s", change.GetProductId(), failure.Error()),
	}
}

// invalidLetter returns the dead letter for a product that breaks Stripe's rules. No part of the product is sent.
func (in *ingester) invalidLetter(change *catalogv1.ProductChange, faults []catalog.Violation) *meshv1.DeadLetter {
	lines := make([]string, 0, maxFaults+1)
	for i, f := range faults {
		if i == maxFaults {
			more := fmt.Sprintf("and %d more", len(faults)-i)
			if len(faults) > catalog.MaxViolations {
				more = fmt.Sprintf("and at least %d more", catalog.MaxViolations-i)
			}
			lines = append(lines, more)
			break
		}
		lines = append(lines, f.String())
	}
	// The letter must not be too large to be stored because of its payload.
	payload, err := proto.Marshal(change)
	if err != nil || len(payload) > 512<<10 {
		payload = nil
	}
	return &meshv1.DeadLetter{
		Service: topology.Ingestion, Account: in.account, ProductId: change.GetProductId(),
		Version: change.GetVersion(),
		Reason:  topology.ReasonInvalidProduct, Field: faults[0].Field, Attempts: 1, Payload: payload,
		Message: fmt.Sprintf("product %s would be refused by Stripe: %s", change.GetProductId(),
			strings.Join(lines, "; ")),
	}
}
