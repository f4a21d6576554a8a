package push

import (
	"context"
	"fmt"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// maxLostAttempts is how often a message about a product that CATALOG has lost is delivered, within about two minutes.
const maxLostAttempts = 8

// rereadLost handles a message about a product without a state in CATALOG. If Driftless does not manage the product,
// the catalog never had it, and lost is false. Otherwise CATALOG was purged or deleted. Then ingestion is asked to read
// the product again, and the message waits for that. If the tables do not have it any more, ingestion publishes its
// removal. ask identifies the message.
func (p *pusher) rereadLost(ctx context.Context, product, ask string,
	attempt uint64,
) (verdict mesh.Verdict, lost bool) {
	known, _, err := p.stores.Observed().Get(ctx, p.account, product)
	switch {
	case err != nil:
		return mesh.Retry(err), true
	case !catalog.IsManaged(known):
		return mesh.Verdict{}, false
	case attempt >= maxLostAttempts:
		return mesh.Dead(&meshv1.DeadLetter{
			Account: p.account, ProductId: product, Reason: topology.ReasonExhausted,
			Message: fmt.Sprintf(
				"CATALOG has no state of product %s, which Driftless has written to Stripe, and ingestion did not "+
					"read it again: start ingestion, then run `driftless reread %s`. That also archives the product if the catalog does not have it any more",
				product, visible.Argument(product)),
		}), true
	}
	if err := p.mesh.RequestReread(ctx, p.account, ask, "CATALOG has no state of the product", []string{product},
		false); err != nil {
		return mesh.Retry(err), true
	}
	return mesh.Retry(fmt.Errorf("CATALOG has no state of product %s; asked ingestion to read it again", product)),
		true
}
