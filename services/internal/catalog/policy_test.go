package catalog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func TestNewPolicy_RefusesInvalidRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		field string
		rule  catalog.Rule
		want  string
	}{
		"unknown": {"colour", catalog.Rule{}, "colour: no such field"},
		"field that Stripe never changes": {
			"prices.unit_amount",
			catalog.Rule{Owner: catalog.OwnerStripe},
			"prices.unit_amount: cannot have a rule: Stripe never changes this field",
		},
		"a decimal amount":          {"prices.unit_amount_decimal", catalog.Rule{}, "Stripe never changes this field"},
		"metadata with a bare star": {"metadata.*", catalog.Rule{}, "must end in a metadata key"},
		"a star in between":         {"metadata.a*b", catalog.Rule{}, "must end in a metadata key"},
		"Driftless's own key": {
			"prices.metadata.driftless_price",
			catalog.Rule{},
			"Driftless itself writes this",
		},
		"unknown owner": {
			"url",
			catalog.Rule{Owner: "me"},
			"url: owner must be catalog, stripe or " + string(catalog.OwnerNewest) + `, not "me"`,
		},
		"stripe owns, repaired": {
			"url",
			catalog.Rule{Owner: catalog.OwnerStripe, Action: catalog.Repair},
			"url: action must be write-back or report where the owner is stripe",
		},
		"catalog owns, written back": {
			"url",
			catalog.Rule{Action: catalog.WriteBack},
			"url: action must be repair or report where the owner is catalog",
		},
		"latest owns, repaired": {
			"url",
			catalog.Rule{Owner: catalog.OwnerNewest, Action: catalog.Repair},
			"url: action must be write-back or report",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{c.field: c.rule})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestPolicyRule_PrefersMostSpecific(t *testing.T) {
	t.Parallel()
	p, err := catalog.NewPolicy(catalog.Report, map[string]catalog.Rule{
		"metadata":              {Owner: catalog.OwnerStripe},
		"metadata.seo_*":        {Owner: catalog.OwnerNewest, Action: catalog.WriteBack},
		"metadata.seo_old_*":    {Owner: catalog.OwnerCatalog},
		"metadata.seo_old_name": {Owner: catalog.OwnerStripe, Action: catalog.WriteBack},
		"description":           {Owner: catalog.OwnerCatalog, Action: catalog.Repair},
	})
	require.NoError(t, err)
	for field, want := range map[string]catalog.Rule{
		"metadata.color":        {Owner: catalog.OwnerStripe, Action: catalog.Report},
		"metadata.seo_title":    {Owner: catalog.OwnerNewest, Action: catalog.WriteBack},
		"metadata.seo_old_x":    {Owner: catalog.OwnerCatalog, Action: catalog.Report},
		"metadata.seo_old_name": {Owner: catalog.OwnerStripe, Action: catalog.WriteBack},
		"description":           {Owner: catalog.OwnerCatalog, Action: catalog.Repair},
		"name":                  {Owner: catalog.OwnerCatalog, Action: catalog.Report},
		"prices.metadata.color": {Owner: catalog.OwnerCatalog, Action: catalog.Report},
	} {
		require.Equal(t, want, p.Rule(field), field)
	}
	require.Equal(t, catalog.Rule{Owner: catalog.OwnerCatalog, Action: catalog.Repair},
		(*catalog.Policy)(nil).Rule("name"))
}

// The cases differ in which side has changed the field since both agreed on "A".
func TestResolve_OwnersAndActions(t *testing.T) {
	t.Parallel()
	const early, late = 1_700_000_000, 1_700_000_060
	for name, c := range map[string]struct {
		rule                 catalog.Rule
		inCatalog, inStripe  string
		committedAt, updated int64
		want                 catalog.Action
	}{
		"catalog repairs Stripe's change": {
			catalog.Rule{Owner: catalog.OwnerCatalog},
			"A", "S", early, late,
			catalog.Repair,
		},
		"report leaves Stripe's change": {
			catalog.Rule{Action: catalog.Report},
			"A", "S", early, late,
			catalog.Report,
		},
		"report lets the catalog's change pass": {
			catalog.Rule{Action: catalog.Report},
			"C", "A", late, early,
			catalog.Repair,
		},
		"report, both changed": {
			catalog.Rule{Action: catalog.Report},
			"C", "S", early, late,
			catalog.Repair,
		},
		"stripe writes back Stripe's change": {
			catalog.Rule{Owner: catalog.OwnerStripe},
			"A", "S", early, late,
			catalog.WriteBack,
		},
		"stripe undoes the catalog's change": {
			catalog.Rule{Owner: catalog.OwnerStripe},
			"C", "A", late, early,
			catalog.WriteBack,
		},
		"stripe reports": {
			catalog.Rule{Owner: catalog.OwnerStripe, Action: catalog.Report},
			"A",
			"S", early, late, catalog.Report,
		},
		"latest owns, Stripe changed": {
			catalog.Rule{Owner: catalog.OwnerNewest},
			"A", "S", late, early,
			catalog.WriteBack,
		},
		"latest owns, the catalog changed": {
			catalog.Rule{Owner: catalog.OwnerNewest},
			"C", "A", early, late,
			catalog.Repair,
		},
		"latest owns, both changed, Stripe later": {
			catalog.Rule{Owner: catalog.OwnerNewest},
			"C", "S", early, late,
			catalog.WriteBack,
		},
		"latest owns, both changed, catalog later": {
			catalog.Rule{Owner: catalog.OwnerNewest},
			"C", "S", late, early,
			catalog.Repair,
		},
		"latest owns, both changed at once": {
			catalog.Rule{Owner: catalog.OwnerNewest},
			"C", "S", late, late,
			catalog.Repair,
		},
		"latest owns, reports": {
			catalog.Rule{Owner: catalog.OwnerNewest, Action: catalog.Report},
			"C",
			"S", early, late, catalog.Report,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{"description": c.rule})
			require.NoError(t, err)
			product := func(description string) *catalogv1.Product {
				return &catalogv1.Product{Id: "mug", Name: "Mug", Description: description, Active: new(true)}
			}
			desired := &catalogv1.ProductChange{ProductId: "mug", Version: 1, Product: product("A")}
			observed := &catalogv1.Observed{ProductId: "mug", Product: product("A"), Version: 1}
			catalog.Agree(p, desired, observed)
			desired = &catalogv1.ProductChange{
				ProductId:   "mug",
				Version:     2,
				Product:     product(c.inCatalog),
				CommittedAt: timestamppb.New(time.Unix(c.committedAt, 500)),
			}
			observed.Product, observed.ProductUpdated = product(c.inStripe), c.updated
			r := catalog.Resolve(p, desired, observed, catalog.Exceptions{})
			require.Equal(t, []catalog.Decision{{
				Difference: catalog.Difference{
					Kind:    catalog.FieldDiffers,
					Field:   "description",
					Catalog: c.inCatalog,
					Stripe:  c.inStripe,
				}, Action: c.want,
			}}, r.Decisions)
			require.Equal(t, c.want == catalog.Repair, len(r.Steps(observed)) > 0)

			overruled := catalog.Resolve(p, desired, observed, catalog.Exceptions{Overwrite: []string{"description"}})
			require.Equal(t, catalog.Repair, overruled.Decisions[0].Action, "the operator's decision wins")
			require.NotEmpty(t, overruled.Steps(observed))
			left := catalog.Resolve(p, desired, observed, catalog.Exceptions{Leave: []string{"description"}})
			require.Empty(t, left.Steps(observed))
		})
	}
}

// A write of Driftless advances Stripe's `updated`. An earlier edit in Stripe must not look more recent because of it.
func TestRecordStripeEdits_KeepsTimeOverOwnWrites(t *testing.T) {
	t.Parallel()
	p, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{"description": {Owner: catalog.OwnerNewest}})
	require.NoError(t, err)
	desired := &catalogv1.ProductChange{
		ProductId: "mug",
		Version:   1,
		Product:   &catalogv1.Product{Id: "mug", Name: "Mug", Description: "A"},
	}
	observed := &catalogv1.Observed{
		ProductId:      "mug",
		Product:        proto.CloneOf(desired.GetProduct()),
		Version:        1,
		ProductUpdated: 100,
	}
	catalog.Agree(p, desired, observed)
	observed.Product.Description, observed.ProductUpdated = "S", 200
	catalog.RecordStripeEdits(p, desired, observed)
	observed.Product.Name, observed.ProductUpdated = "Mug XL", 400
	desired = proto.CloneOf(desired)
	desired.Version, desired.Product.Description, desired.CommittedAt = 2, "C", timestamppb.New(time.Unix(300, 0))
	r := catalog.Resolve(p, desired, observed, catalog.Exceptions{})
	require.Equal(t, catalog.Repair, r.Decisions[0].Action, "the catalog changed it at 300, Stripe at 200")
}

// A key that only Stripe has is a difference only if Stripe may own it.
func TestResolve_ForeignMetadataKeys(t *testing.T) {
	t.Parallel()
	desired := &catalogv1.ProductChange{
		ProductId: "mug",
		Version:   1,
		Product:   &catalogv1.Product{Id: "mug", Name: "Mug"},
	}
	observed := &catalogv1.Observed{ProductId: "mug", Version: 1, Product: &catalogv1.Product{
		Id: "mug", Name: "Mug",
		Metadata: map[string]string{"seo_title": "Best mug", "crm": "7", "driftless_product": "mug"},
	}}
	p, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{"metadata.seo_*": {Owner: catalog.OwnerStripe}})
	require.NoError(t, err)
	r := catalog.Resolve(p, desired, observed, catalog.Exceptions{})
	require.Equal(t, []catalog.Decision{{
		Difference: catalog.Difference{Kind: catalog.FieldDiffers, Field: "metadata.seo_title", Stripe: "Best mug"},
		Action:     catalog.WriteBack,
	}}, r.Decisions)
	product, taken := catalog.ApplyWriteBack(desired, observed, []string{"metadata.seo_title"})
	require.Equal(t, []string{"metadata.seo_title"}, taken)
	require.Equal(t, map[string]string{"seo_title": "Best mug"}, product.GetMetadata())
	all, err := catalog.NewPolicy(catalog.Report, nil)
	require.NoError(t, err)
	require.Empty(t, catalog.Resolve(all, desired, observed, catalog.Exceptions{}).Decisions)
}

// A value that Stripe normalises stays equal to the catalog's.
func TestResolve_IgnoresStripesNormalisation(t *testing.T) {
	t.Parallel()
	desired := &catalogv1.ProductChange{ProductId: "mug", Version: 1, Product: &catalogv1.Product{
		Id: "mug", Name: "Mug", StatementDescriptor: "Müg shop",
		PackageDimensions: &catalogv1.PackageDimensions{Height: "1.50", Length: "2", Weight: "3.0", Width: "4"},
		Prices:            []*catalogv1.Price{{Id: "p", Currency: "EUR", UnitAmountDecimal: "1400.0"}},
	}}
	observed := &catalogv1.Observed{ProductId: "mug", Version: 1, Product: &catalogv1.Product{
		Id: "mug", Name: "Mug", Active: new(true), StatementDescriptor: "MG SHOP",
		PackageDimensions: &catalogv1.PackageDimensions{Height: "1.5", Length: "2.00", Weight: "3", Width: "4"},
	}, Prices: []*catalogv1.ObservedPrice{{StripeId: "price_1", Price: &catalogv1.Price{
		Id: "p", Currency: "eur", UnitAmount: "1400", UnitAmountDecimal: "1400", BillingScheme: "per_unit",
		LookupKey: "p", TaxBehavior: "unspecified",
		Metadata: map[string]string{catalog.PriceMarker: "p"},
	}}}}
	all, err := catalog.NewPolicy(catalog.Report, nil)
	require.NoError(t, err)
	for _, p := range []*catalog.Policy{nil, all} {
		require.Empty(t, catalog.Resolve(p, desired, observed, catalog.Exceptions{}).Decisions)
	}
	require.Empty(t, catalog.Compare(desired, observed))
}

// The prices of an imported product get Driftless's mark, and none is created again.
func TestImport_CreatesNothingAgain(t *testing.T) {
	t.Parallel()
	observed := &catalogv1.Observed{
		ProductId: "stray",
		Product:   &catalogv1.Product{Id: "stray", Name: "Stray", Active: new(true), DefaultPrice: "price_1"},
	}
	for _, id := range []string{"price_1", "price_2"} {
		observed.Prices = append(observed.Prices, &catalogv1.ObservedPrice{
			StripeId: id,
			Price:    &catalogv1.Price{Currency: "eur", UnitAmount: "1400", Active: new(id == "price_1")},
		})
	}
	p := catalog.Import(observed)
	require.Equal(t, "price_1", p.GetDefaultPrice())
	require.Len(t, p.GetPrices(), 1, "an archived price is left out")
	require.Empty(t, catalog.Validate(p))
	steps := catalog.Diff(&catalogv1.ProductChange{ProductId: "stray", Product: p}, observed)
	require.Len(t, steps, 1)
	require.Equal(t, catalog.UpdatePrice, steps[0].Kind)
	mark, _ := steps[0].Param("metadata[driftless_price]")
	require.Equal(t, "price_1", mark)
}
