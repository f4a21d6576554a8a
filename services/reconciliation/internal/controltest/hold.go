package controltest

import (
	"context"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// DesireProduct publishes a desired state.
func (r *Rig) DesireProduct(p *catalogv1.Product, version uint64) {
	r.T.Helper()
	require.NoError(r.T, r.Mesh.Publish(r.T.Context(), topology.CatalogSubject("default", topology.Live, p.GetId()),
		&catalogv1.ProductChange{
			Account:   "default",
			ProductId: p.GetId(),
			Version:   version,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   p,
			Source:    catalogv1.Source_SOURCE_WAL,
		}, mesh.WithVersion(version)))
}

// Hold makes Stripe hold a product as it is, and the guard hold the change to a version by these rules. It waits until
// the ledger knows.
func (r *Rig) Hold(p *catalogv1.Product, version uint64, rules ...string) {
	r.T.Helper()
	_, err := r.Stores.Observed().Update(r.T.Context(), "default", p.GetId(), func(o *catalogv1.Observed) error {
		held := proto.CloneOf(p)
		held.Active, held.Prices, o.Prices = new(true), nil, nil
		for _, price := range p.GetPrices() {
			price = proto.CloneOf(price)
			price.Active = new(true)
			price.Metadata = map[string]string{"driftless_price": price.GetId()}
			o.Prices = append(o.Prices, &catalogv1.ObservedPrice{StripeId: "price_" + price.GetId(), Price: price})
		}
		o.Product, o.Version = held, 1
		o.Hold = &catalogv1.Hold{Version: version, Since: timestamppb.Now()}
		for _, rule := range rules {
			o.Hold.Findings = append(o.Hold.Findings, &catalogv1.Finding{Rule: rule, Message: "too much"})
		}
		return nil
	})
	require.NoError(r.T, err)
	r.Eventually(p.GetId(), controlv1.ProductState_PRODUCT_STATE_HELD)
}

// EditHold changes the hold of a product.
func (r *Rig) EditHold(id string, edit func(*catalogv1.Hold)) {
	r.T.Helper()
	_, err := r.Stores.Observed().Update(r.T.Context(), "default", id, func(o *catalogv1.Observed) error {
		edit(o.GetHold())
		return nil
	})
	require.NoError(r.T, err)
}

// PushCommands are the commands to push.
func (r *Rig) PushCommands() chan *meshv1.Command {
	r.T.Helper()
	out := make(chan *meshv1.Command, 5000)
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Push, Consumer: topology.PushCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				out <- msg.Body
				return mesh.Ack()
			})
	}()
	r.T.Cleanup(func() { cancel(); <-done })
	return out
}
