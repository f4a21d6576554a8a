package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

func TestPrintPlan(t *testing.T) {
	pending := controlv1.ProductState_PRODUCT_STATE_PENDING
	noon := timestamppb.New(time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local))
	equality := &controlv1.Equality{AsOf: noon, TablesComparedAt: noon}
	plan := &controlv1.PlanResponse{Compared: 12, InFlight: 3, Equality: equality, Products: []*controlv1.ProductPlan{
		{ProductId: "mug", State: controlv1.ProductState_PRODUCT_STATE_DRIFTED, Changes: []*controlv1.PlannedChange{
			{Verb: "update", Before: "Mug", After: "Mug XL", Differences: []*meshv1.Difference{
				{Field: "name", Stripe: "Mug", Catalog: "Mug XL"},
				{Field: "metadata.size", Catalog: "L"},
				{Field: "description", Stripe: "Old"},
			}},
			{
				Verb: "replace", PriceId: "mug-eur", Before: "14.00 EUR", After: "16.00 EUR",
				Differences: []*meshv1.Difference{
					{Field: "prices.mug-eur.unit_amount", Stripe: "1400", Catalog: "1600"},
					{Field: "prices.mug-eur.tax_behavior", Stripe: "inclusive", Catalog: "exclusive"},
				},
			},
			{Verb: "create", PriceId: "mug-jpy", After: "1400 JPY / month"},
			{Verb: "archive", PriceId: "mug-old", Before: "9.00 EUR"},
			{
				Verb:        "update",
				PriceId:     "mug-usd",
				Before:      "15.00 USD",
				After:       "15.00 USD",
				Differences: []*meshv1.Difference{{Field: "prices.mug-usd.nickname", Stripe: "a", Catalog: "b"}},
			},
		}},
		{
			ProductId: "new",
			State:     pending,
			Changes: []*controlv1.PlannedChange{{
				Verb:        "create",
				After:       "New",
				Differences: []*meshv1.Difference{{Field: "name", Catalog: "New"}},
			}},
		},
		{
			ProductId: "gone",
			State:     pending,
			Changes:   []*controlv1.PlannedChange{{Verb: "archive", Before: "Gone", After: "Gone"}},
		},
		{ProductId: "bad", State: controlv1.ProductState_PRODUCT_STATE_DEAD, Refused: "Invalid currency: xxx"},
		{
			ProductId: "many",
			State:     controlv1.ProductState_PRODUCT_STATE_HELD,
			Held:      true,
			Hold: &catalogv1.Hold{
				Findings: []*catalogv1.Finding{{Rule: "archived_products", Message: "30 of 40 products were archived"}},
				Approvals: []*catalogv1.Approval{{
					Actor: "ann@shop", Reason: "the season ends", At: timestamppb.New(time.Now().Add(-time.Hour)),
				}},
			},
			Changes: []*controlv1.PlannedChange{{Verb: "archive", Before: "Many", After: "Many"}},
		},
		{
			ProductId:     "slow",
			State:         pending,
			Attempts:      4,
			Waiting:       "Stripe: 500",
			NextAttemptAt: timestamppb.New(time.Now().Add(-time.Second)),
			Changes:       []*controlv1.PlannedChange{{Verb: "archive", Before: "Slow"}},
		},
		{ProductId: "left", State: controlv1.ProductState_PRODUCT_STATE_DRIFTED, Drift: []*controlv1.Drift{
			{ProductId: "left", State: "found", Difference: &meshv1.Difference{
				Kind: "default_price", Field: "default_price", Catalog: "mug-eur", Stripe: "price_1",
				CatalogWords: "mug-eur (14.00 EUR)", StripeWords: "price_1 (16.50 EUR)",
			}},
			{
				ProductId:  "left",
				State:      "waiting",
				Detail:     "settled 3 times within 1h0m0s",
				Difference: &meshv1.Difference{Kind: "field", Field: "name", Catalog: "A", Stripe: "B"},
			},
		}},
	}}
	var b strings.Builder
	printPlan(&b, plan, false)
	require.Equal(t, `~ mug  "Mug XL"  (drifted)
    ~ name: "Mug" -> "Mug XL"
    + metadata.size: "L"
    - description: "Old"
    ± price mug-eur  14.00 EUR -> 16.00 EUR  (a new price takes its place)
        ~ tax_behavior: "inclusive" -> "exclusive"
    + price mug-jpy  1400 JPY / month
    - archive price mug-old  9.00 EUR
    ~ price mug-usd  15.00 USD
        ~ nickname: "a" -> "b"
+ new  "New"  (pending)
    + name: "New"
- gone  "Gone"  (pending)
! bad  (dead)
    its latest state was refused: Invalid currency: xxx; `+"`driftless dead show bad`"+` shows the details
- many  "Many"  (held)
    held by the guard:
        archived_products: 30 of 40 products were archived
        approved by ann@shop 1h0m0s ago: the season ends
        driftless approve many --reason TEXT
- slow  (pending)
    failed 4 times, next try in 0s: Stripe: 500
! left  (drifted)
    default price default_price: catalog mug-eur (14.00 EUR), Stripe price_1 (16.50 EUR): only reported, by policy
    field name: catalog "A", Stripe "B": needs a decision, because it was settled 3 times within 1h0m0s (driftless drift resolve left --keep catalog|stripe)

Plan: 1 to create, 1 to change, 2 to archive, 1 held, 1 refused, 1 left as it is; 12 products compared as of 2026-11-24 12:00:00 (zone), 3 messages in flight: this may change. Tables last compared at 2026-11-24 12:00 (zone).
`+heldAdvice+`
`, zoned(&b))

	var coloured strings.Builder
	printPlan(&coloured, plan, true)
	require.Contains(t, coloured.String(), "\x1b[32m+\x1b[0m new")
	require.Equal(t, b.String(),
		strings.NewReplacer("\x1b[32m", "", "\x1b[33m", "", "\x1b[35m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(
			coloured.String()))

	b.Reset()
	printPlan(&b, &controlv1.PlanResponse{Compared: 5, Equality: equality}, false)
	require.Equal(t,
		"No differences: 5 products compared, equal as of 2026-11-24 12:00:00 (zone). Tables last compared at 2026-11-24 12:00 (zone).\n", zoned(&b))

	b.Reset()
	unknown := &controlv1.Equality{
		AsOf:            noon,
		Unknown:         "capture is 21 s behind (reading products waits for a lock)",
		UnwatchedTables: []string{"category", "supplier"},
	}
	printPlan(&b, &controlv1.PlanResponse{Compared: 1, Equality: unknown}, false)
	require.Equal(t,
		"unknown: capture is 21 s behind (reading products waits for a lock). As far as is known, nothing differs as of 2026-11-24 12:00:00 (zone): 1 product compared. "+
			"The tables were never compared. Changes of category and supplier are found only by a comparison: the mapping reads them and does not watch them (driftless reread).\n", zoned(&b))

	b.Reset()
	plan.Equality, plan.InFlight = unknown, 0
	printPlan(&b, plan, false)
	require.Contains(t, zoned(&b), "unknown whether more differs: capture is 21 s behind")
}

func TestUsageLine_NeverShowsZeroForUnknown(t *testing.T) {
	t.Parallel()
	count := func(n uint32, more bool) *meshv1.UsageCount { return &meshv1.UsageCount{Count: &n, More: more} }
	unknown := func(why string) *meshv1.UsageCount { return &meshv1.UsageCount{Unknown: why} }
	for want, u := range map[string]*meshv1.PriceUsage{
		"used by 100+ subscriptions, 2 payment links": {Subscriptions: count(100, true), PaymentLinks: count(2, false)},
		"used by 1 subscription, at least 500 payment links": {
			Subscriptions: count(1, false), PaymentLinks: count(500, true),
		},
		"used by 0 subscriptions, at least 0 payment links": {
			Subscriptions: count(0, false), PaymentLinks: count(0, true),
		},
		"used by 2 payment links; subscriptions unknown: no right": {
			Subscriptions: unknown("no right"), PaymentLinks: count(2, false),
		},
		"used by 3 subscriptions; payment links unknown: no right": {
			Subscriptions: count(3, false), PaymentLinks: unknown("no right"),
		},
		"uses unknown: pull is paused": {
			Subscriptions: unknown("pull is paused"), PaymentLinks: unknown("pull is paused"),
		},
		"subscriptions unknown: a; payment links unknown: b": {Subscriptions: unknown("a"), PaymentLinks: unknown("b")},
	} {
		require.Equal(t, want, usageLine(u))
	}
}

func TestPrintPlan_ShowsUsesBelowTheirPrice(t *testing.T) {
	t.Parallel()
	one, two := uint32(1), uint32(2)
	usage := func(id string) *meshv1.PriceUsage {
		return &meshv1.PriceUsage{
			PriceId:       id,
			Subscriptions: &meshv1.UsageCount{Count: &two},
			PaymentLinks:  &meshv1.UsageCount{Count: &one},
		}
	}
	var b strings.Builder
	p := &planPrinter{Writer: &b}
	p.printProduct(&controlv1.ProductPlan{
		ProductId: "mug",
		State:     controlv1.ProductState_PRODUCT_STATE_PENDING,
		Changes: []*controlv1.PlannedChange{
			{Verb: "archive", Before: "Mug", After: "Mug", Usage: []*meshv1.PriceUsage{usage("price_theirs")}},
			{Verb: "archive", PriceId: "mug-eur", Before: "9.00 EUR", Usage: []*meshv1.PriceUsage{usage("price_1")}},
		},
	})
	require.Equal(t, `- mug  "Mug"  (pending)
    price_theirs: used by 2 subscriptions, 1 payment link
    - archive price mug-eur  9.00 EUR
        used by 2 subscriptions, 1 payment link
`, zoned(&b))
}

// zoned returns what was printed about times of this November, without the name of the local zone.
func zoned(b *strings.Builder) string {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local)
	return strings.ReplaceAll(b.String(), ":00 "+zoneName(at), ":00 (zone)")
}
