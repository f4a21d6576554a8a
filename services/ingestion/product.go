package ingestion

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

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

// newMessage adds the state that was read to a change, and returns the message for CATALOG. It returns a dead letter
// instead if a query failed, if Stripe would refuse the product, or if the message is too large for NATS.
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
		change.ArchiveAfter = in.archiveAfter(state)
		faults := state.Faults
		if len(faults) == 0 {
			faults = in.validate.Product(state.Product)
		}
		if len(faults) > 0 {
			return mesh.Outgoing{}, in.invalidLetter(change, faults)
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

// archiveAfter returns how long replaced prices of a product stay active, nil if they are archived at once.
func (in *ingester) archiveAfter(state mapping.State) *durationpb.Duration {
	after := in.PricesArchiveAfter
	if state.ArchiveAfter != nil {
		after = *state.ArchiveAfter
	}
	if after <= 0 {
		return nil
	}
	return durationpb.New(after)
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
	// The letter must fit a message of NATS. It goes without a payload that is large.
	payload, err := proto.Marshal(change)
	if err != nil || len(payload) > 512<<10 {
		payload = nil
	}
	return &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   in.account,
		ProductId: change.GetProductId(),
		Version:   change.GetVersion(),
		Reason:    topology.ReasonInvalidProduct,
		Field:     faults[0].Field,
		Attempts:  1,
		Payload:   payload,
		Message: fmt.Sprintf("product %s would be refused by Stripe: %s", change.GetProductId(),
			strings.Join(lines, "; ")),
	}
}
