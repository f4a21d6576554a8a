package control_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestStatusAndPlan_ShowOverlaps(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	r.Start()
	until := map[string]time.Time{}
	for i, id := range []string{"mug", "cup"} {
		until[id] = time.Now().Add(time.Duration(2-i) * time.Hour)
		require.NoError(t, r.Mesh.Publish(t.Context(), topology.CatalogSubject("default", topology.Live, id),
			&catalogv1.ProductChange{
				Account: "default", ProductId: id, Version: 2, Operation: catalogv1.Operation_OPERATION_UPSERT,
				Product: priced(id, "1600"), ArchiveAfter: durationpb.New(3 * time.Hour),
			}, mesh.WithVersion(2)))
		r.Hold(priced(id, "1400"), 2, "amount_change")
		_, err := r.Stores.Observed().Update(t.Context(), "default", id, func(o *catalogv1.Observed) error {
			kept := o.GetPrices()[0]
			current := proto.CloneOf(kept)
			current.StripeId, current.Price.UnitAmount = "price_new_"+id, "1600"
			kept.ReplacedAt, kept.KeepUntil = timestamppb.Now(), timestamppb.New(until[id])
			o.Prices, o.Hold, o.Version = append(o.GetPrices(), current), nil, 2
			return nil
		})
		require.NoError(t, err)
		r.Eventually(id, controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	}
	require.Equal(t, uint64(2), controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetOverlaps())
	plan := controltest.Ask[controlv1.PlanResponse](r, "Plan", `{}`)
	require.Empty(t, plan.GetProducts(), "an overlap is no difference")
	require.Len(t, plan.GetOverlaps(), 2)
	first := plan.GetOverlaps()[0]
	require.Equal(t, []string{"cup", "cup-eur", "price_cup-eur", "14.00 EUR"},
		[]string{first.GetProductId(), first.GetPriceId(), first.GetStripePriceId(), first.GetAmount()},
		"the one that ends first")
	require.WithinDuration(t, until["cup"], first.GetUntil().AsTime(), time.Millisecond)

	plan = controltest.Ask[controlv1.PlanResponse](r, "Plan", `{"product_ids":["mug"]}`)
	require.Len(t, plan.GetOverlaps(), 1)
	require.Equal(t, "mug", plan.GetOverlaps()[0].GetProductId())
}
