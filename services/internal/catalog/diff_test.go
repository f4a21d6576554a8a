package catalog_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// proPlan is a typical product: a monthly and a yearly price, the first the default. In the model of Stripe its prices
// have the ids price_1 and price_3.
func proPlan() *catalogv1.Product {
	return &catalogv1.Product{
		Id: "prod", Name: "Pro", Description: "For teams", Metadata: map[string]string{"colour": "red"},
		DefaultPrice: "monthly",
		Prices: []*catalogv1.Price{
			{
				Id:         "monthly",
				Currency:   "usd",
				UnitAmount: "1000",
				Recurring:  &catalogv1.Recurring{Interval: "month"},
				Metadata:   map[string]string{"size": "L"},
			},
			{Id: "yearly", Currency: "usd", UnitAmount: "10000", Recurring: &catalogv1.Recurring{Interval: "year"}},
		},
	}
}

func upsert(p *catalogv1.Product, unmanaged ...string) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		ProductId:       "prod",
		Operation:       catalogv1.Operation_OPERATION_UPSERT,
		Product:         p,
		UnmanagedFields: unmanaged,
	}
}

// defaulted returns a product with one price, a, which is its default.
func defaulted(p *catalogv1.Price) *catalogv1.ProductChange {
	p.Id = "a"
	return upsert(&catalogv1.Product{Id: "prod", Name: "Pro", DefaultPrice: "a", Prices: []*catalogv1.Price{p}})
}

// afterTheProduct returns the steps that create a product's default price in a separate call.
func afterTheProduct(params string) []string {
	return []string{
		"create product prod: active=true id=prod name=Pro", "create price a: " + params,
		"update product prod: default_price=<a>",
	}
}

// line returns a step in one line: its operation and its parameters.
func line(s catalog.Step) string {
	params := make([]string, len(s.Params))
	for i, p := range s.Params {
		params[i] = p.Name + "=" + p.Value
		if p.PriceRef != "" {
			params[i] = p.Name + "=<" + p.PriceRef + ">"
		}
	}
	return s.String() + ": " + strings.Join(params, " ")
}

func lines(steps []catalog.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, line(s))
	}
	return out
}

const createPlan = "create product prod with price monthly: active=true default_price_data[currency]=usd default_price_data[metadata][driftless_price]=monthly " +
	"default_price_data[metadata][size]=L default_price_data[recurring][interval]=month default_price_data[recurring][interval_count]=1 " +
	"default_price_data[unit_amount]=1000 description=For teams id=prod metadata[colour]=red name=Pro"

const createMonthly = "create price monthly: billing_scheme=per_unit currency=usd lookup_key=monthly metadata[driftless_price]=monthly metadata[size]=L product=prod " +
	"recurring[interval]=month recurring[interval_count]=1 recurring[usage_type]=licensed transfer_lookup_key=true "

func TestDiff_CreatesMissingProduct(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   *catalogv1.ProductChange
		observed *catalogv1.Observed
		want     []string
	}{
		"creates it with its default price, then sets the lookup key and creates the other prices": {upsert(
			proPlan()), nil, []string{
			createPlan,
			"update price monthly: lookup_key=monthly transfer_lookup_key=true",
			"create price yearly: billing_scheme=per_unit currency=usd lookup_key=yearly metadata[driftless_price]=yearly product=prod " +
				"recurring[interval]=year recurring[interval_count]=1 recurring[usage_type]=licensed transfer_lookup_key=true unit_amount=10000",
		}},
		"every field of a price that fits default_price_data": {defaulted(&catalogv1.Price{
			Currency: "usd", UnitAmountDecimal: "0.5", TaxBehavior: "exclusive", LookupKey: "key", Nickname: "List",
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{
				"jpy": {UnitAmount: "7", TaxBehavior: "inclusive"},
				"eur": {UnitAmount: "6"},
			},
		}), nil, []string{
			"create product prod with price a: active=true default_price_data[currency]=usd default_price_data[currency_options][eur][unit_amount_decimal]=6 " +
				"default_price_data[currency_options][jpy][tax_behavior]=inclusive default_price_data[currency_options][jpy][unit_amount_decimal]=7 " +
				"default_price_data[metadata][driftless_price]=a default_price_data[tax_behavior]=exclusive default_price_data[unit_amount_decimal]=0.5 id=prod name=Pro",
			"update price a: lookup_key=key nickname=List transfer_lookup_key=true",
		}},
		"a default price with a custom amount": {defaulted(&catalogv1.Price{
			Currency:         "usd",
			CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: "1"},
		}), nil, []string{
			"create product prod with price a: active=true default_price_data[currency]=usd default_price_data[custom_unit_amount][enabled]=true " +
				"default_price_data[custom_unit_amount][minimum]=1 default_price_data[metadata][driftless_price]=a id=prod name=Pro",
			"update price a: lookup_key=a transfer_lookup_key=true",
		}},
		"creates a default price with tiers after the product": {
			defaulted(&catalogv1.Price{
				Currency:  "usd",
				TiersMode: "volume",
				Tiers:     []*catalogv1.PriceTier{{UnitAmount: "5"}},
			}), nil,
			afterTheProduct(
				"billing_scheme=tiered currency=usd lookup_key=a metadata[driftless_price]=a product=prod tiers[0][unit_amount]=5 tiers[0][up_to]=inf " +
					"tiers_mode=volume transfer_lookup_key=true"),
		},
		"creates a default price for packages after the product": {
			defaulted(&catalogv1.Price{
				Currency:          "usd",
				UnitAmount:        "5",
				TransformQuantity: &catalogv1.TransformQuantity{DivideBy: 10, Round: "up"},
			}), nil,
			afterTheProduct(
				"billing_scheme=per_unit currency=usd lookup_key=a metadata[driftless_price]=a product=prod transfer_lookup_key=true " +
					"transform_quantity[divide_by]=10 transform_quantity[round]=up unit_amount=5"),
		},
		"creates a metered default price after the product": {
			defaulted(&catalogv1.Price{
				Currency:   "usd",
				UnitAmount: "5",
				Recurring:  &catalogv1.Recurring{Interval: "month", UsageType: "metered", Meter: "mtr_1"},
			}), nil,
			afterTheProduct(
				"billing_scheme=per_unit currency=usd lookup_key=a metadata[driftless_price]=a product=prod recurring[interval]=month " +
					"recurring[interval_count]=1 recurring[meter]=mtr_1 recurring[usage_type]=metered transfer_lookup_key=true unit_amount=5"),
		},
		"creates a deleted product again, ignoring its recorded prices": {
			upsert(&catalogv1.Product{Id: "prod", Name: "Pro"}),
			&catalogv1.Observed{
				Deleted: true,
				Prices: []*catalogv1.ObservedPrice{{
					StripeId: "price_9",
					Price:    &catalogv1.Price{Id: "monthly", Active: new(true)},
				}},
			},
			[]string{"create product prod: active=true id=prod name=Pro"},
		},
		"a price that the catalog has archived is not created": {
			upsert(&catalogv1.Product{
				Id:     "prod",
				Name:   "Pro",
				Prices: []*catalogv1.Price{{Id: "old", Active: new(false), Currency: "usd", UnitAmount: "1"}},
			}), nil,
			[]string{"create product prod: active=true id=prod name=Pro"},
		},
		"unmanaged fields are not written": {
			upsert(proPlan(), "description", "metadata", "default_price", "prices.metadata", "prices.nickname"), nil,
			[]string{
				"create product prod: active=true id=prod name=Pro",
				strings.ReplaceAll(createMonthly, "metadata[size]=L ", "") + "unit_amount=1000",
				"create price yearly: billing_scheme=per_unit currency=usd lookup_key=yearly metadata[driftless_price]=yearly product=prod " +
					"recurring[interval]=year recurring[interval_count]=1 recurring[usage_type]=licensed transfer_lookup_key=true unit_amount=10000",
			},
		},
		"every field of a product": {upsert(&catalogv1.Product{
			Id: "prod", Active: new(false), Name: "Box", Images: []string{"https://a.example/1", "https://a.example/2"},
			MarketingFeatures: []*catalogv1.MarketingFeature{{Name: "Fast"}}, Shippable: new(true),
			StatementDescriptor: "Acme Köln",
			PackageDimensions:   &catalogv1.PackageDimensions{Height: "1.0", Length: "2", Weight: "3", Width: "4"},
			TaxCode:             "txcd_1", UnitLabel: "seat", Url: "https://a.example",
		}), nil, []string{
			"create product prod: active=false id=prod images[0]=https://a.example/1 images[1]=https://a.example/2 marketing_features[0][name]=Fast name=Box " +
				"package_dimensions[height]=1 package_dimensions[length]=2 package_dimensions[weight]=3 package_dimensions[width]=4 " +
				"shippable=true statement_descriptor=ACME KLN tax_code=txcd_1 unit_label=seat url=https://a.example",
		}},
		"every field of a price": {upsert(&catalogv1.Product{Id: "prod", Name: "Pro", Prices: []*catalogv1.Price{
			{
				Id: "a", Currency: "usd", UnitAmountDecimal: "0.5", TaxBehavior: "exclusive", LookupKey: "key",
				Nickname:          "List",
				TransformQuantity: &catalogv1.TransformQuantity{DivideBy: 10, Round: "up"},
				CurrencyOptions: map[string]*catalogv1.CurrencyOption{
					"jpy": {UnitAmount: "7", TaxBehavior: "inclusive"},
					"eur": {UnitAmount: "6"},
				},
			},
			{
				Id:        "b",
				Currency:  "usd",
				TiersMode: "volume",
				Tiers:     []*catalogv1.PriceTier{{UpTo: "10", UnitAmount: "5"}, {FlatAmount: "40"}},
			},
			{
				Id:               "c",
				Currency:         "usd",
				CustomUnitAmount: &catalogv1.CustomUnitAmount{Minimum: "1", Preset: "5", Maximum: "9"},
			},
		}}), nil, []string{
			"create product prod: active=true id=prod name=Pro",
			"create price a: billing_scheme=per_unit currency=usd currency_options[eur][unit_amount_decimal]=6 currency_options[jpy][tax_behavior]=inclusive " +
				"currency_options[jpy][unit_amount_decimal]=7 lookup_key=key metadata[driftless_price]=a nickname=List product=prod tax_behavior=exclusive " +
				"transfer_lookup_key=true transform_quantity[divide_by]=10 transform_quantity[round]=up unit_amount_decimal=0.5",
			"create price b: billing_scheme=tiered currency=usd lookup_key=b metadata[driftless_price]=b product=prod tiers[0][unit_amount]=5 tiers[0][up_to]=10 " +
				"tiers[1][flat_amount]=40 tiers[1][up_to]=inf tiers_mode=volume transfer_lookup_key=true",
			"create price c: billing_scheme=per_unit currency=usd custom_unit_amount[enabled]=true custom_unit_amount[maximum]=9 custom_unit_amount[minimum]=1 " +
				"custom_unit_amount[preset]=5 lookup_key=c metadata[driftless_price]=c product=prod transfer_lookup_key=true",
		}},
		"a missing product that left the catalog needs no step": {&catalogv1.ProductChange{
			ProductId: "prod",
			Operation: catalogv1.Operation_OPERATION_DELETE,
		}, nil, nil},
		"no desired state": {
			nil,
			&catalogv1.Observed{Product: &catalogv1.Product{Id: "prod"}}, nil,
		},
		"a change without a state wants nothing": {upsert(nil), nil, nil},
		"a change without a state does nothing to an existing product": {
			upsert(nil),
			&catalogv1.Observed{Product: &catalogv1.Product{Id: "prod", Name: "Pro"}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, lines(catalog.Diff(c.change, c.observed)))
		})
	}
}

// call is an edit in the dashboard.
func call(kind catalog.StepKind, object string, nameValues ...string) func(*testing.T, *catalogtest.Stripe) {
	return func(t *testing.T, s *catalogtest.Stripe) {
		t.Helper()
		var params []catalog.Param
		for i := 0; i < len(nameValues); i += 2 {
			params = append(params, catalog.Param{Name: nameValues[i], Value: nameValues[i+1]})
		}
		_, err := s.Call(kind, object, params...)
		require.NoError(t, err)
	}
}

func TestDiff_UpdatesExistingProduct(t *testing.T) {
	t.Parallel()
	type dashboard = func(*testing.T, *catalogtest.Stripe)
	monthly := func(f func(*catalogv1.Price)) edit { return func(p *catalogv1.Product) { f(p.GetPrices()[0]) } }
	for name, c := range map[string]struct {
		// before and edit change proPlan: before gives the catalog's first state, and edit its present one. between is
		// a state that was synced in the meantime, and dashboard is what happened in Stripe after that.
		before    edit
		between   edit
		dashboard []dashboard
		edit      edit
		unmanaged []string
		deleted   bool
		want      []string
	}{
		"nothing has changed": {},
		"equal values in another spelling": {edit: func(p *catalogv1.Product) {
			p.Active = new(true)
			p.Prices[0].UnitAmount, p.Prices[0].UnitAmountDecimal, p.Prices[0].BillingScheme = "", "1000.00", "per_unit"
			p.Prices[0].Recurring.IntervalCount = 1
			p.Prices[0], p.Prices[1] = p.Prices[1], p.Prices[0]
		}},
		"fields are written together, and only those that differ": {
			edit: func(p *catalogv1.Product) { p.Name, p.Url = "Pro Plus", "https://a.example" },
			want: []string{"update product prod: name=Pro Plus url=https://a.example"},
		},
		"a field is cleared with an empty value": {
			before: func(p *catalogv1.Product) { p.Images, p.UnitLabel = []string{"https://a.example/1"}, "seat" },
			edit:   func(p *catalogv1.Product) { p.Description = "" },
			want:   []string{"update product prod: description= images= unit_label="},
		},
		"shippable cannot be cleared, so its absence means nothing": {
			before: func(p *catalogv1.Product) { p.Shippable = new(true) },
			edit:   func(p *catalogv1.Product) { p.Shippable = nil },
		},
		"metadata: a changed key is set, a dropped one removed, a foreign one left alone": {
			before:    func(p *catalogv1.Product) { p.Metadata["size"] = "L" },
			dashboard: []dashboard{call(catalog.UpdateProduct, "prod", "metadata[crm_id]", "7")},
			edit:      func(p *catalogv1.Product) { p.Metadata["colour"] = "blue" },
			want:      []string{"update product prod: metadata[colour]=blue metadata[size]="},
		},
		"metadata: a key that somebody else has removed is set again": {
			dashboard: []dashboard{call(catalog.UpdateProduct, "prod", "metadata", "")},
			want:      []string{"update product prod: metadata[colour]=red"},
		},
		"an edit in the dashboard is repaired": {
			dashboard: []dashboard{call(catalog.UpdateProduct, "prod", "name", "By hand", "active", "false")},
			want:      []string{"update product prod: active=true name=Pro"},
		},
		"an edit in the dashboard of an unmanaged field stays": {
			dashboard: []dashboard{
				call(catalog.UpdateProduct, "prod", "description", "By hand", "metadata[colour]", "blue",
					"default_price", "price_3"),
				call(catalog.UpdatePrice, "price_1", "nickname", "By hand", "lookup_key", "by-hand"),
			},
			unmanaged: []string{"description", "metadata", "default_price", "prices.nickname", "prices.lookup_key"},
		},
		"a price that has the key of another one by hand takes its own in the same pass": {
			dashboard: []dashboard{
				call(catalog.UpdatePrice, "price_3", "lookup_key", "monthly", "transfer_lookup_key", "true"),
			},
			unmanaged: []string{"prices.lookup_key"},
			want: []string{
				"update price monthly (price_1): lookup_key=monthly transfer_lookup_key=true",
				"update price yearly (price_3): lookup_key=yearly transfer_lookup_key=true",
			},
		},

		"a new amount is a new price: create, repoint, archive": {
			edit: monthly(func(p *catalogv1.Price) { p.UnitAmount = "1200" }),
			want: []string{
				createMonthly + "unit_amount=1200",
				"update product prod: default_price=<monthly>",
				"archive price monthly (price_1): active=false",
			},
		},
		"a new amount of a price that is not the default": {
			edit: func(p *catalogv1.Product) { p.Prices[1].UnitAmount = "9000" },
			want: []string{
				"create price yearly: billing_scheme=per_unit currency=usd lookup_key=yearly metadata[driftless_price]=yearly product=prod " +
					"recurring[interval]=year recurring[interval_count]=1 recurring[usage_type]=licensed transfer_lookup_key=true unit_amount=9000",
				"archive price yearly (price_3): active=false",
			},
		},
		"an old amount reuses the old price": {
			between: monthly(func(p *catalogv1.Price) { p.UnitAmount = "1200" }),
			want: []string{
				"unarchive price monthly (price_1): active=true lookup_key=monthly transfer_lookup_key=true",
				"update product prod: default_price=price_1",
				"archive price monthly (price_4): active=false",
			},
		},
		"mutable fields of a price are updated": {
			edit: monthly(func(p *catalogv1.Price) {
				p.Nickname, p.TaxBehavior, p.LookupKey, p.Metadata = "List", "exclusive", "key", nil
				p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{"eur": {UnitAmount: "900"}}
			}),
			want: []string{
				"update price monthly (price_1): currency_options[eur][unit_amount]=900 lookup_key=key metadata[size]= nickname=List tax_behavior=exclusive transfer_lookup_key=true",
			},
		},
		"tax_behavior changes once; another change is a new price": {
			before: monthly(func(p *catalogv1.Price) { p.TaxBehavior = "exclusive" }),
			edit:   monthly(func(p *catalogv1.Price) { p.TaxBehavior = "inclusive" }),
			want: []string{
				strings.ReplaceAll(createMonthly, "transfer_", "tax_behavior=inclusive transfer_") + "unit_amount=1000",
				"update product prod: default_price=<monthly>",
				"archive price monthly (price_1): active=false",
			},
		},
		"removing a currency option needs a new price": {
			before: monthly(func(p *catalogv1.Price) {
				p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{"eur": {UnitAmount: "900"}}
			}),
			want: []string{
				createMonthly + "unit_amount=1000",
				"update product prod: default_price=<monthly>",
				"archive price monthly (price_1): active=false",
			},
		},
		"another default price": {
			edit: func(p *catalogv1.Product) { p.DefaultPrice = "yearly" },
			want: []string{"update product prod: default_price=price_3"},
		},
		"no default price": {
			edit: func(p *catalogv1.Product) { p.DefaultPrice = "" },
			want: []string{"update product prod: default_price="},
		},
		"a default that the product does not sell at changes nothing": {
			edit: func(p *catalogv1.Product) { p.DefaultPrice = "weekly" },
		},
		"the default is archived in the catalog and replaced by another": {
			edit: func(p *catalogv1.Product) { p.DefaultPrice, p.Prices[0].Active = "yearly", new(false) },
			want: []string{
				"update product prod: default_price=price_3",
				"archive price monthly (price_1): active=false",
			},
		},
		"the default price left the catalog": {
			edit: func(p *catalogv1.Product) { p.DefaultPrice, p.Prices = "", p.Prices[1:] },
			want: []string{
				"update product prod: default_price=",
				"archive price monthly (price_1): active=false metadata[driftless_absent]=default_price",
			},
		},
		"an unmanaged default follows its replaced price": {
			edit:      func(p *catalogv1.Product) { p.DefaultPrice, p.Prices[0].UnitAmount = "yearly", "1200" },
			unmanaged: []string{"default_price"},
			want: []string{
				createMonthly + "unit_amount=1200",
				"update product prod: default_price=<monthly>",
				"archive price monthly (price_1): active=false",
			},
		},
		"an unmanaged default is cleared when its price left the catalog": {
			edit:      func(p *catalogv1.Product) { p.DefaultPrice, p.Prices = "yearly", p.Prices[1:] },
			unmanaged: []string{"default_price"},
			want: []string{
				"update product prod: default_price=",
				"archive price monthly (price_1): active=false metadata[driftless_absent]=default_price",
			},
		},
		"two prices swap their lookup keys": {
			before: func(p *catalogv1.Product) { p.Prices[0].LookupKey, p.Prices[1].LookupKey = "key-a", "key-b" },
			edit:   func(p *catalogv1.Product) { p.Prices[0].LookupKey, p.Prices[1].LookupKey = "key-b", "key-a" },
			want: []string{
				"update price monthly (price_1): lookup_key=key-b transfer_lookup_key=true",
				"update price yearly (price_3): lookup_key=key-a transfer_lookup_key=true",
			},
		},

		"a price archived in the dashboard is unarchived": {
			dashboard: []dashboard{call(catalog.UpdatePrice, "price_3", "active", "false")},
			want:      []string{"unarchive price yearly (price_3): active=true"},
		},
		"a price archived in the dashboard stays archived if active is unmanaged": {
			dashboard: []dashboard{call(catalog.UpdatePrice, "price_3", "active", "false")},
			unmanaged: []string{"prices.active"},
		},
		"a foreign price is left alone, also as an unmanaged default": {
			dashboard: []dashboard{
				call(catalog.CreatePrice, "", "product", "prod", "currency", "usd", "unit_amount", "5"),
				call(catalog.UpdateProduct, "prod", "default_price", "price_4"),
			},
			unmanaged: []string{"default_price"},
		},
		"a duplicate of a price with its mark is archived": {
			dashboard: []dashboard{call(catalog.CreatePrice, "", "product", "prod", "currency", "usd", "unit_amount",
				"5", "metadata[driftless_price]", "monthly")},
			want: []string{"archive price monthly (price_4): active=false"},
		},
		"a price without its mark is replaced": {
			dashboard: []dashboard{call(catalog.UpdatePrice, "price_3", "metadata", "")},
			want: []string{
				"create price yearly: billing_scheme=per_unit currency=usd lookup_key=yearly metadata[driftless_price]=yearly product=prod " +
					"recurring[interval]=year recurring[interval_count]=1 recurring[usage_type]=licensed transfer_lookup_key=true unit_amount=10000",
			},
		},
		"a replacement price takes over unmanaged fields": {
			dashboard: []dashboard{
				call(catalog.UpdatePrice, "price_1", "nickname", "By hand", "tax_behavior", "exclusive",
					"metadata[tier]", "gold", "currency_options[eur][unit_amount]", "900"),
			},
			edit: monthly(func(p *catalogv1.Price) { p.UnitAmount, p.Recurring = "1200", nil }),
			unmanaged: []string{
				"prices.nickname", "prices.tax_behavior", "prices.metadata", "prices.currency_options",
				"prices.recurring",
				"prices.unit_amount_decimal", "prices.tiers", "prices.tiers_mode", "prices.billing_scheme",
				"prices.custom_unit_amount",
			},
			want: []string{
				"create price monthly: billing_scheme=per_unit currency=usd currency_options[eur][unit_amount]=900 lookup_key=monthly metadata[driftless_price]=monthly " +
					"metadata[size]=L metadata[tier]=gold nickname=By hand product=prod recurring[interval]=month recurring[interval_count]=1 recurring[usage_type]=licensed " +
					"tax_behavior=exclusive transfer_lookup_key=true unit_amount=1200",
				"update product prod: default_price=<monthly>",
				"archive price monthly (price_1): active=false",
			},
		},
		"an amount is managed in either of Stripe's fields": {
			edit:      monthly(func(p *catalogv1.Price) { p.UnitAmount, p.UnitAmountDecimal = "", "1200.5" }),
			unmanaged: []string{"prices.unit_amount", "prices.tiers", "prices.custom_unit_amount"},
			want: []string{
				createMonthly + "unit_amount_decimal=1200.5",
				"update product prod: default_price=<monthly>",
				"archive price monthly (price_1): active=false",
			},
		},

		"a product that left the catalog is archived, with its prices": {
			deleted: true,
			want: []string{
				"update product prod: active=false default_price= metadata[driftless_absent]=true",
				"archive price monthly (price_1): active=false metadata[driftless_absent]=default_price",
				"archive price yearly (price_3): active=false metadata[driftless_absent]=true",
			},
		},
		"a product that left the catalog is archived whatever is unmanaged": {
			deleted:   true,
			unmanaged: []string{"active", "default_price", "prices.active"},
			want: []string{
				"update product prod: active=false default_price= metadata[driftless_absent]=true",
				"archive price monthly (price_1): active=false metadata[driftless_absent]=default_price",
				"archive price yearly (price_3): active=false metadata[driftless_absent]=true",
			},
		},
		"a foreign price stays, also as the default": {
			deleted: true,
			dashboard: []dashboard{
				call(catalog.CreatePrice, "", "product", "prod", "currency", "usd", "unit_amount", "5"),
				call(catalog.UpdateProduct, "prod", "default_price", "price_4"),
			},
			want: []string{
				"update product prod: active=false metadata[driftless_absent]=true",
				"archive price monthly (price_1): active=false metadata[driftless_absent]=true",
				"archive price yearly (price_3): active=false metadata[driftless_absent]=true",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &catalogtest.Stripe{}
			sync := func(change *catalogv1.ProductChange) {
				_, err := s.Pass(catalog.Diff(change, observedState(s, change)))
				require.NoError(t, err)
			}
			for i, said := range []edit{c.before, c.between} {
				p := proPlan()
				if said != nil {
					said(p)
				}
				if i == 0 || said != nil {
					sync(upsert(p))
				}
			}
			for _, f := range c.dashboard {
				f(t, s)
			}
			now := proPlan()
			if c.edit != nil {
				c.edit(now)
			}
			change := upsert(now, c.unmanaged...)
			if c.deleted {
				change.Operation, change.Product = catalogv1.Operation_OPERATION_DELETE, nil
			}
			require.Equal(t, c.want, lines(catalog.Diff(change, s.Observed("prod"))))
			sync(change)
			require.Empty(t, lines(catalog.Diff(change, observedState(s, change))))
		})
	}
}

func TestDiff_ReusesPricesOfReturningProduct(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	for _, change := range []*catalogv1.ProductChange{
		upsert(proPlan()),
		{ProductId: "prod", Operation: catalogv1.Operation_OPERATION_DELETE},
	} {
		_, err := s.Pass(catalog.Diff(change, s.Observed("prod")))
		require.NoError(t, err)
	}
	require.Equal(t, []string{
		"unarchive price monthly (price_1): active=true metadata[driftless_absent]=",
		"unarchive price yearly (price_3): active=true metadata[driftless_absent]=",
		"update product prod: active=true default_price=price_1 metadata[driftless_absent]=",
	}, lines(catalog.Diff(upsert(proPlan()), s.Observed("prod"))))
}

func TestDiff_SetsManagedMetadata(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	steps := catalog.Diff(upsert(proPlan()), nil)
	require.Equal(t, [][]string{{"colour"}, {"driftless_price", "size"}, {"driftless_price"}}, managedKeys(steps))
	require.Equal(t, []string{"driftless_price", "size"}, steps[0].PriceMetadata)
	_, err := s.Pass(steps)
	require.NoError(t, err)

	edited := proPlan()
	edited.Metadata, edited.Prices[0].UnitAmount = map[string]string{"size": "L"}, "1200"
	require.Equal(t, [][]string{{"driftless_price", "size"}, {"size"}, {"driftless_price", "size"}},
		managedKeys(catalog.Diff(upsert(edited), s.Observed("prod"))))

	edited.Prices[0].Nickname, edited.Prices[0].UnitAmount = "List", "1000"
	require.Equal(t, [][]string{{"driftless_price", "size"}, {"colour"}},
		managedKeys(
			catalog.Diff(upsert(func() *catalogv1.Product { edited.Name = "Plus"; return edited }(), "metadata",
				"prices.metadata"), s.Observed("prod"))))
}

func managedKeys(steps []catalog.Step) [][]string {
	var out [][]string
	for _, s := range steps {
		out = append(out, s.ManagedMetadata)
	}
	return out
}
