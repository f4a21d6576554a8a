package ingestion

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// deadProduct is a dead letter for a product, and the trace of its change.
type deadProduct struct {
	letter *meshv1.DeadLetter
	ctx    context.Context //nolint:containedctx // the trace of the change
}

// newMessage adds the state that was read to a change, and returns the message for CATALOG. It returns a dead letter
// instead if a query failed, if Stripe or a check refuses the product, or if the message is too large for NATS.
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
		change.ArchiveAfter = state.Overlap(in.PricesArchiveAfter)
		faults := state.Faults
		if len(faults) == 0 {
			faults = in.validate.Product(state.Product)
		}
		if len(faults) > 0 {
			return mesh.Outgoing{}, in.invalidLetter(change, faults)
		}
		if change.Violations = mapping.CheckViolations(state.Violated); isRefused(state.Violated) {
			return mesh.Outgoing{}, in.checkFailedLetter(change, state.Violated)
		}
	}
	out := mesh.Outgoing{
		Subject: topology.CatalogSubject(in.account, lane, change.GetProductId()),
		Body:    change,
		Version: change.GetVersion(),
	}
	size, err := out.Encode()
	if err == nil && size > in.maxBody/2 {
		// Push needs only the product. The row images are for the audit trail, and a large message goes without them.
		change.RowImages = nil
		size, err = out.Encode()
	}
	switch {
	case err != nil:
		return mesh.Outgoing{}, in.invalidLetter(change, []catalog.Violation{{Message: err.Error()}})
	case size > in.maxBody:
		return mesh.Outgoing{}, in.tooLargeLetter(change, size)
	}
	return out, nil
}

// tooLargeLetter returns the dead letter for a product whose message NATS would not accept. The letter is without the
// product.
func (in *ingester) tooLargeLetter(change *catalogv1.ProductChange, size int) *meshv1.DeadLetter {
	prices := len(change.GetProduct().GetPrices())
	change.Product = nil
	return in.invalidLetter(change, []catalog.Violation{{
		Field: "prices",
		Message: fmt.Sprintf("the product and its %d prices take %d bytes in a message, and NATS accepts %d: let "+
			"the prices query return fewer archived prices, or raise max_payload of the NATS server",
			prices, size, in.maxBody),
	}})
}

// queryFailedLetter returns the dead letter for a product whose desired state is unknown because a query of the mapping
// fails for it.
func (in *ingester) queryFailedLetter(change *catalogv1.ProductChange,
	failure *mapping.QueryFailure,
) *meshv1.DeadLetter {
	return &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   in.account,
		ProductId: change.GetProductId(),
		Version:   change.GetVersion(),
		Reason:    topology.ReasonQueryFailed,
		Step:      failure.Query + " query",
		Attempts:  1,
		Message:   fmt.Sprintf("product %s: %s", change.GetProductId(), failure.Error()),
	}
}

// invalidLetter returns the dead letter for a product that breaks Stripe's rules. Nothing of the product goes to
// Stripe, not even its valid parts.
func (in *ingester) invalidLetter(change *catalogv1.ProductChange, faults []catalog.Violation) *meshv1.DeadLetter {
	return &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   in.account,
		ProductId: change.GetProductId(),
		Version:   change.GetVersion(),
		Reason:    topology.ReasonInvalidProduct,
		Field:     faults[0].Field,
		Attempts:  1,
		Payload:   letterPayload(change),
		Message: fmt.Sprintf("product %s would be refused by Stripe: %s", change.GetProductId(),
			validation.Join(faults)),
	}
}

// letterPayload returns the change as the payload of a dead letter. The letter must fit a message of NATS, so it goes
// without a payload that is large.
func letterPayload(change *catalogv1.ProductChange) []byte {
	payload, err := proto.Marshal(change)
	if err != nil || len(payload) > 512<<10 {
		return nil
	}
	return payload
}
