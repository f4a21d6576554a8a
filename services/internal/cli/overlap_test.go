package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

func TestPrintPlan_ShowsOverlaps(t *testing.T) {
	noon := timestamppb.New(time.Date(2031, 11, 24, 12, 0, 0, 0, time.Local))
	plan := &controlv1.PlanResponse{
		Compared: 2,
		Equality: &controlv1.Equality{AsOf: noon, TablesComparedAt: noon},
		Products: []*controlv1.ProductPlan{{
			ProductId: "mug", State: controlv1.ProductState_PRODUCT_STATE_PENDING, Changes: []*controlv1.PlannedChange{
				{Verb: "replace", PriceId: "mug-eur", Before: "14.00 EUR", After: "16.00 EUR", KeepUntil: noon},
			},
		}},
		Overlaps: []*controlv1.Overlap{{
			ProductId: "cup", PriceId: "cup-eur", StripePriceId: "price_1", Amount: "9.00 EUR", Until: noon,
		}},
	}
	var b strings.Builder
	printPlan(&b, plan, false)
	require.Contains(t, zoned(&b), "± price mug-eur  14.00 EUR -> 16.00 EUR  "+
		"(a new price takes its place; 14.00 EUR stays until 2031-11-24 12:00 (zone))\n")
	require.Contains(t, zoned(&b), "1 replaced price stays in Stripe for a while. This is no difference:\n"+
		"    cup  price cup-eur  9.00 EUR stays until 2031-11-24 12:00 (zone) (price_1)\n")

	b.Reset()
	plan.Products = nil
	for range 30 {
		plan.Overlaps = append(plan.Overlaps, plan.GetOverlaps()[0])
	}
	printPlan(&b, plan, false)
	require.Contains(t, zoned(&b), "No differences: 2 products compared")
	require.Contains(t, zoned(&b), "31 replaced prices stay in Stripe for a while.")
	require.Contains(t, zoned(&b), "    and 11 more (-o json)\n")

	b.Reset()
	printStatus(&b, &controlv1.GetStatusResponse{Overlaps: 3})
	require.Contains(t, zoned(&b), "overlaps: 3 replaced prices stay in Stripe until their time")
}
