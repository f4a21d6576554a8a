package push

import (
	"context"
	"fmt"
	"strings"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

// scheduleOverlapEnd schedules the sync that archives the first of the product's replaced prices that are kept. It
// comes before the message is acknowledged, so that a process that dies in between leaves the message to another one.
func (p *pusher) scheduleOverlapEnd(ctx context.Context, change *catalogv1.ProductChange) error {
	if change.GetArchiveAfter().AsDuration() <= 0 {
		return nil
	}
	observed, _, err := p.stores.Observed().Get(ctx, p.account, change.GetProductId())
	if err != nil {
		return err
	}
	if hold := observed.GetHold(); hold != nil && !hold.GetApproved() {
		// The pass that ends the hold schedules it.
		return nil
	}
	first := plan.FirstOverlapEnd(change, observed)
	if first.IsZero() {
		return nil
	}
	return p.mesh.SyncAt(ctx, &meshv1.Retry{
		Account: p.account, ProductId: change.GetProductId(), Version: change.GetVersion(), Lane: string(topology.Bulk),
	}, first)
}

// describeOverlaps describes the overlaps that a plan begins or ends: "price mug-eur: 14.00 EUR (price_1) stays active
// until 2026-11-26T11:02:00Z". It is empty if there are none.
func describeOverlaps(pl *plan.Plan) string {
	if pl == nil {
		return ""
	}
	var texts []string
	begun, ended := pl.Overlaps()
	name := func(p *catalogv1.ObservedPrice) string {
		return fmt.Sprintf("price %s: %s (%s)", p.GetPrice().GetId(), catalog.FormatPrice(p.GetPrice()),
			p.GetStripeId())
	}
	for _, price := range begun {
		texts = append(texts, name(price)+" stays active until "+price.GetKeepUntil().AsTime().Format(time.RFC3339))
	}
	for _, price := range ended {
		texts = append(texts, name(price)+" was replaced at "+price.GetReplacedAt().AsTime().Format(time.RFC3339)+
			" and is archived now")
	}
	return strings.Join(texts, "; ")
}
