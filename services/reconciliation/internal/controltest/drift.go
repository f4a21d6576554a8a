package controltest

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// SetPolicy sets the rules of the policy.
func (r *Rig) SetPolicy(rules map[string]catalog.Rule) {
	r.T.Helper()
	var err error
	r.Config.Policy, err = catalog.NewPolicy(catalog.Repair, rules)
	require.NoError(r.T, err)
	// The grace period is an hour, so drift that is found at once does not depend on it.
	r.Config.GracePeriod = time.Hour
}

// WriteBacks are the write-backs that ingestion is commanded to make.
func (r *Rig) WriteBacks() chan *meshv1.WriteBack {
	r.T.Helper()
	out := make(chan *meshv1.WriteBack, 10)
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Ingestion, Consumer: topology.IngestionCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if w := msg.Body.GetWriteBack(); w != nil {
					out <- w
				}
				return mesh.Ack()
			})
	}()
	r.T.Cleanup(func() { cancel(); <-done })
	return out
}

// Drift lists the drift of a product.
func (r *Rig) Drift(product string) []*controlv1.Drift {
	r.T.Helper()
	return Ask[controlv1.ListDriftResponse](r, "ListDrift",
		fmt.Sprintf(`{"product_ids":[%q],"settled":true}`, product)).GetDrift()
}

// EventuallyDrift waits until drift of a product has a state.
func (r *Rig) EventuallyDrift(product, state string) *controlv1.Drift {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		drift := r.Drift(product)
		return len(drift) > 0 && drift[0].GetState() == state
	}, Patience, 10*time.Millisecond, state)
	return r.Drift(product)[0]
}

// ProductReads are the products that pull is commanded to read.
func (r *Rig) ProductReads() chan string {
	r.T.Helper()
	out := make(chan string, 100)
	ctx, cancel := context.WithCancel(r.T.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mesh.Consume(ctx, r.Mesh, mesh.Worker{Service: topology.Pull, Consumer: topology.PullCommand},
			func(_ context.Context, msg mesh.Message[*meshv1.Command]) mesh.Verdict {
				if read := msg.Body.GetRead(); read != nil {
					out <- read.GetProductId()
				}
				return mesh.Ack()
			})
	}()
	r.T.Cleanup(func() { cancel(); <-done })
	return out
}

// ObserveWhole observes a product together with an active price of each id, as pull does.
func (r *Rig) ObserveWhole(id string, version uint64, byDefault string, prices ...string) {
	r.T.Helper()
	_, err := r.Stores.Observed().Update(r.T.Context(), "default", id, func(o *catalogv1.Observed) error {
		var sightings []catalog.PriceSighting
		for _, p := range prices {
			sightings = append(sightings, catalog.PriceSighting{
				StripeID: p,
				Price:    &catalogv1.Price{Active: new(true), Currency: "eur", UnitAmount: "1400"},
			})
		}
		catalog.ObserveActive(o,
			catalog.ProductSighting{
				Product: &catalogv1.Product{Id: id, Name: "Stray", Active: new(true), DefaultPrice: byDefault},
				Seen:    1,
			}, sightings)
		o.Version = version
		return nil
	})
	require.NoError(r.T, err)
}

// EventPrice observes a price of a product from an event.
func (r *Rig) EventPrice(id, price string) {
	r.T.Helper()
	_, err := r.Stores.Observed().Update(r.T.Context(), "default", id, func(o *catalogv1.Observed) error {
		catalog.ObservePrice(o, catalog.PriceSighting{
			StripeID: price,
			Price:    &catalogv1.Price{Active: new(true), Currency: "eur", UnitAmount: "1500"},
			Seen:     2,
			Partial:  true,
			Fetched:  o.GetVersion() == 0,
		})
		return nil
	})
	require.NoError(r.T, err)
}
