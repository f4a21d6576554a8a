package guard_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
	"github.com/driftless-sync/driftless/services/internal/guard"
)

var all = guard.Config{
	AmountChange: 50, ZeroAmount: true, NoActivePrice: true, NoDefaultPrice: true,
	Prices: guard.Limit{Share: 0.1, Least: 2}, Currencies: guard.Limit{Share: 0.1, Least: 1},
	Products: guard.Limit{Share: 0.1, Least: 2},
}

// mug has one price of 14.00 EUR.
func mug() *catalogv1.Product {
	return &catalogv1.Product{
		Id: "mug", Name: "Mug", DefaultPrice: "one",
		Prices: []*catalogv1.Price{{Id: "one", Currency: "eur", UnitAmount: "1400"}},
	}
}

func wanted(p *catalogv1.Product) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		ProductId: "mug", Version: 1, Operation: catalogv1.Operation_OPERATION_UPSERT, Product: p,
	}
}

// synced returns Stripe's state after a sync.
func synced(t require.TestingT, s *catalogtest.Stripe, change *catalogv1.ProductChange) *catalogv1.Observed {
	o := s.Observed(change.GetProductId())
	_, err := s.Pass(catalog.Diff(change, o))
	require.NoError(t, err)
	o = s.Observed(change.GetProductId())
	o.Version = 1
	return o
}

// inspect returns what the rules find when the product before, which is synced, becomes the product after.
func inspect(t require.TestingT, cfg guard.Config, before, after *catalogv1.Product) guard.Report {
	o := synced(t, &catalogtest.Stripe{}, wanted(before))
	desired := wanted(after)
	return guard.Inspect(cfg, guard.Change{Observed: o, Desired: desired, Steps: catalog.Diff(desired, o)})
}

func with(edit func(*catalogv1.Product)) *catalogv1.Product {
	p := mug()
	edit(p)
	return p
}

func amount(minor string) func(*catalogv1.Product) {
	return func(p *catalogv1.Product) { p.Prices[0].UnitAmount = minor }
}

func TestInspect(t *testing.T) {
	t.Parallel()
	monthly := func(minor, interval string) *catalogv1.Product {
		return with(func(p *catalogv1.Product) {
			p.Prices[0].UnitAmount, p.Prices[0].Recurring = minor, &catalogv1.Recurring{Interval: interval}
		})
	}
	tiered := func(upTo string, amounts ...string) *catalogv1.Product {
		return with(func(p *catalogv1.Product) {
			p.Prices[0] = &catalogv1.Price{
				Id: "one", Currency: "eur", BillingScheme: "tiered", TiersMode: "graduated",
				Recurring: &catalogv1.Recurring{Interval: "month"},
				Tiers:     []*catalogv1.PriceTier{{UpTo: upTo, UnitAmount: amounts[0]}, {UnitAmount: amounts[1]}},
			}
		})
	}
	// overage has a flat amount, and an amount for each unit beyond a bound, which may be missing.
	overage := func(upTo, flat, unit string) *catalogv1.Product {
		p := tiered(upTo, "", unit)
		tiers := p.Prices[0].Tiers
		tiers[0].FlatAmount = flat
		if upTo == "" {
			tiers[1].FlatAmount, p.Prices[0].Tiers = flat, tiers[1:]
		}
		return p
	}
	custom := func(minimum, preset string) *catalogv1.Product {
		return with(func(p *catalogv1.Product) {
			p.Prices[0].UnitAmount = ""
			p.Prices[0].CustomUnitAmount = &catalogv1.CustomUnitAmount{Minimum: minimum, Preset: preset}
		})
	}
	option := func(minor string) *catalogv1.Product {
		return with(func(p *catalogv1.Product) {
			p.Prices[0].CurrencyOptions = map[string]*catalogv1.CurrencyOption{"usd": {UnitAmount: minor}}
		})
	}
	renamed := func(id, key string, edit func(*catalogv1.Price)) *catalogv1.Product {
		return with(func(p *catalogv1.Product) {
			p.DefaultPrice, p.Prices[0].Id, p.Prices[0].LookupKey = id, id, key
			edit(p.Prices[0])
		})
	}
	for _, test := range []struct {
		name          string
		before, after *catalogv1.Product
		rules         []guard.Rule
		message       string
	}{
		{name: "nothing changes", before: mug(), after: mug()},
		{name: "another name", before: mug(), after: with(func(p *catalogv1.Product) { p.Name = "Cup" })},
		{name: "a rise within the limit", before: mug(), after: with(amount("2100"))},
		{
			name: "a rise beyond it", before: mug(), after: with(amount("2101")),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by +50 %: 14.00 EUR to 21.01 EUR; the limit is 50 %",
		},
		{
			name: "a hundredth", before: mug(), after: with(amount("14")), rules: []guard.Rule{guard.AmountChange},
			message: "price one would change by -99 %: 14.00 EUR to 0.14 EUR; the limit is 50 %",
		},
		{
			name: "free", before: mug(), after: with(amount("0")), rules: []guard.Rule{guard.ZeroAmount},
			message: "price one would be free: 14.00 EUR to 0.00 EUR",
		},
		{
			name: "no longer free", before: with(amount("0")), after: mug(), rules: []guard.Rule{guard.AmountChange},
			message: "price one would change by more than 100 %, from free: 0.00 EUR to 14.00 EUR; the limit is 50 %",
		},
		{
			name: "decimals", before: with(func(p *catalogv1.Product) {
				p.Prices[0].UnitAmount, p.Prices[0].UnitAmountDecimal = "", "0.9"
			}), after: with(func(p *catalogv1.Product) {
				p.Prices[0].UnitAmount, p.Prices[0].UnitAmountDecimal = "", "0.4"
			}), rules: []guard.Rule{guard.AmountChange},
		},
		{name: "another interval at the same rate", before: monthly("1000", "month"), after: monthly("10000", "year")},
		{
			name: "another interval at the same amount", before: monthly("1000", "month"),
			after:   monthly("1000", "year"),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by -92 %: 10.00 EUR / month to 10.00 EUR / year; the limit is 50 %",
		},
		{
			name: "a pack becomes a piece", before: with(func(p *catalogv1.Product) {
				p.Prices[0].TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 10, Round: "up"}
			}), after: mug(), rules: []guard.Rule{guard.AmountChange},
		},
		{name: "a tier within the limit", before: tiered("10", "1000", "900"), after: tiered("10", "1000", "800")},
		{
			name: "a tier beyond it", before: tiered("10", "1000", "900"), after: tiered("10", "1000", "9"),
			rules: []guard.Rule{guard.AmountChange},
		},
		{
			name: "the last tier within the limit", before: overage("1000", "10000", "10"),
			after: overage("1000", "10000", "15"),
		},
		{
			name: "the last tier, far beyond its bound", before: overage("1000", "10000", "10"),
			after:   overage("1000", "10000", "1000"),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by +9801 % for 100000 units: 10000.00 EUR to 990100.00 EUR; the limit is 50 %",
		},
		{
			name: "the only tier", before: overage("", "100000", "10"), after: overage("", "100000", "100"),
			rules: []guard.Rule{guard.AmountChange},
		},
		{
			name: "the customer's choice without a minimum", before: mug(), after: custom("", "1400"),
			rules:   []guard.Rule{guard.ZeroAmount},
			message: "price one would be free at the minimum: 14.00 EUR to 0.00 EUR",
		},
		{
			name: "the customer's choice", before: mug(), after: custom("500", "1400"),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by -64 % at the minimum: 14.00 EUR to 5.00 EUR; the limit is 50 %",
		},
		{name: "the customer's choice within the limit", before: mug(), after: custom("1000", "5000")},
		{
			name: "no longer the customer's choice", before: custom("500", "1400"), after: mug(),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by +180 % at the minimum: 5.00 EUR to 14.00 EUR; the limit is 50 %",
		},
		{
			name: "no longer the customer's choice without a minimum", before: custom("", "1400"), after: mug(),
			rules: []guard.Rule{guard.AmountChange},
			message: "price one would change by more than 100 %, from free at the minimum: 0.00 EUR to 14.00 EUR; " +
				"the limit is 50 %",
		},
		{
			name: "no minimum any more", before: custom("500", "1400"), after: custom("", "1400"),
			rules: []guard.Rule{guard.ZeroAmount},
		},
		{
			name: "another preset", before: custom("500", "1400"), after: custom("500", "5000"),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by +257 % at the preset: 14.00 EUR to 50.00 EUR; the limit is 50 %",
		},
		{
			name: "tiers instead of one amount", before: monthly("1000", "month"), after: tiered("10", "10", "10"),
			rules: []guard.Rule{guard.AmountChange},
		},
		{
			name: "the amount in another currency", before: option("1500"), after: option("15"),
			rules:   []guard.Rule{guard.AmountChange},
			message: "price one would change by -99 %: 15.00 USD to 0.15 USD; the limit is 50 %",
		},
		{
			name:   "another price with the same lookup key",
			before: with(func(p *catalogv1.Product) { p.Prices[0].LookupKey = "mug" }),
			after:  renamed("two", "mug", func(p *catalogv1.Price) { p.UnitAmount = "14" }),
			rules:  []guard.Rule{guard.AmountChange},
		},
		{
			name: "the only price with these terms gets another id", before: mug(),
			after: renamed("two", "", func(p *catalogv1.Price) { p.UnitAmount = "14" }),
			rules: []guard.Rule{guard.AmountChange},
		},
		{
			name: "another price beside it", before: mug(), after: with(func(p *catalogv1.Product) {
				p.Prices = append(p.Prices, &catalogv1.Price{Id: "sale", Currency: "eur", UnitAmount: "1"})
			}),
		},
		{
			name: "nothing is left to sell", before: mug(), after: with(func(p *catalogv1.Product) {
				p.Prices, p.DefaultPrice = nil, ""
			}), rules: []guard.Rule{guard.NoActivePrice},
			message: "the product is on sale and would have no active price",
		},
		{
			name: "the price is archived", before: mug(), after: with(func(p *catalogv1.Product) {
				p.Prices[0].Active, p.DefaultPrice = proto.Bool(false), ""
			}), rules: []guard.Rule{guard.NoActivePrice},
		},
		{
			name: "no default", before: mug(), after: with(func(p *catalogv1.Product) { p.DefaultPrice = "" }),
			rules: []guard.Rule{guard.NoDefaultPrice},
		},
		{
			name: "archived with its price", before: mug(), after: with(func(p *catalogv1.Product) {
				p.Active = proto.Bool(false)
				p.Prices[0].UnitAmount = "1"
			}),
		},
		{
			name: "on sale without a price", before: with(func(p *catalogv1.Product) { p.Active = proto.Bool(false) }),
			after: with(func(p *catalogv1.Product) { p.Prices, p.DefaultPrice = nil, "" }),
			rules: []guard.Rule{guard.NoActivePrice},
		},
		{
			name: "archived before", before: with(func(p *catalogv1.Product) { p.Active = proto.Bool(false) }),
			after: with(func(p *catalogv1.Product) { p.Active, p.Prices[0].UnitAmount = proto.Bool(false), "1" }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var rules []guard.Rule
			findings := inspect(t, all, test.before, test.after).Findings
			for _, f := range findings {
				rules = append(rules, f.Rule)
			}
			require.Equal(t, test.rules, rules, "%v", findings)
			if test.message != "" {
				require.Equal(t, test.message, findings[0].Message)
			}
			require.Empty(t, inspect(t, guard.Config{}, test.before, test.after).Findings, "every rule is off")
		})
	}
}

func TestInspect_CountsForTheRulesWithALimit(t *testing.T) {
	t.Parallel()
	counted := inspect(t, all, mug(), with(amount("1500"))).Counted
	require.Len(t, counted.Prices, 1)
	require.Empty(t, counted.Currencies)
	require.False(t, counted.Archived)

	counted = inspect(t, all, mug(), with(func(p *catalogv1.Product) { p.Prices[0].Currency = "usd" })).Counted
	require.Len(t, counted.Prices, 1)
	require.Equal(t, []string{"eur"}, counted.Currencies)

	counted = inspect(t, all, mug(), with(func(p *catalogv1.Product) { p.Active = proto.Bool(false) })).Counted
	require.Equal(t, guard.Counted{Product: "mug", Archived: true}, counted)
}

// The findings about the state after the change are those about the state that the calls lead to.
func TestInspect_KnowsWhatTheCallsLeadTo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &catalogtest.Stripe{}
		states := []*catalogv1.ProductChange{catalogtest.Change("mug").Draw(t, "first")}
		for range rapid.IntRange(0, 2).Draw(t, "edits in the catalog") {
			states = append(states, catalogtest.Edit(t, states[len(states)-1]))
		}
		for _, state := range states {
			if _, err := s.Pass(catalog.Diff(state, s.Observed("mug"))); err != nil {
				t.Skip(err)
			}
			for range rapid.IntRange(0, 2).Draw(t, "edits in the dashboard") {
				catalogtest.Dashboard(t, s, "mug")
			}
		}
		o := s.Observed("mug")
		o.Version = 1
		held := proto.CloneOf(o)
		after := states[0]
		if len(states) == 1 || rapid.Bool().Draw(t, "is edited again") {
			after = catalogtest.Edit(t, states[len(states)-1])
		}
		steps := catalog.Diff(after, o)
		report := guard.Inspect(all, guard.Change{Observed: o, Desired: after, Steps: steps})
		require.True(t, proto.Equal(held, o), "Inspect changes nothing")
		if _, err := s.Pass(steps); err != nil {
			t.Skip(err)
		}
		left := s.Observed("mug")
		onSale := left.GetProduct().GetActive()
		require.Equal(t, o.GetProduct().GetActive() && !left.GetProduct().GetActive(), report.Counted.Archived)
		require.Equal(t, onSale && catalog.HasPrices(o) && !catalog.HasPrices(left),
			slices.ContainsFunc(report.Findings, func(f guard.Finding) bool { return f.Rule == guard.NoActivePrice }))
		var gone []string
		for _, p := range o.GetPrices() {
			if onSale && p.GetPrice().GetActive() && !catalog.FindPrice(left, p.GetStripeId()).GetPrice().GetActive() {
				gone = append(gone, p.GetStripeId())
			}
		}
		slices.Sort(gone)
		require.Equal(t, gone, report.Counted.Prices)
		require.Empty(t, guard.Inspect(all, guard.Change{Observed: left, Desired: after}).Findings,
			"nothing is left to do")
	})
}

// A price of one amount in one currency trips the rule exactly if it moves by more than the limit.
func TestInspect_HoldsExactlyWhatExceedsTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.IntRange(1, 1000).Draw(t, "from"), rapid.IntRange(1, 1000).Draw(t, "to")
		cfg := guard.Config{AmountChange: float64(rapid.IntRange(1, 300).Draw(t, "limit"))}
		findings := inspect(t, cfg, with(amount(itoa(from))), with(amount(itoa(to)))).Findings
		difference := max(from-to, to-from) * 100
		require.Equal(t, float64(difference) > cfg.AmountChange*float64(from), len(findings) > 0, "%v", findings)
	})
}

func TestParseRule(t *testing.T) {
	t.Parallel()
	for _, rule := range guard.Rules() {
		parsed, err := guard.ParseRule(string(rule))
		require.NoError(t, err)
		require.Equal(t, rule, parsed)
	}
	parsed, err := guard.ParseRule("check:margin")
	require.NoError(t, err)
	require.Equal(t, guard.Check("margin"), parsed)
	require.Equal(t, guard.FailedCheck, parsed.Kind())
	_, err = guard.ParseRule("amounts")
	require.ErrorContains(t, err, "amount_change")
}

func TestInspect_TellsAFirstSyncFromALaterOne(t *testing.T) {
	t.Parallel()
	active := proto.Bool(true)
	for name, c := range map[string]struct {
		observed *catalogv1.Observed
		held     bool
	}{
		"made by somebody else": {observed: &catalogv1.Observed{}},
		"the first sync failed on the way": {
			observed: &catalogv1.Observed{Found: true, Intents: []*catalogv1.Intent{{}}},
		},
		"made by Driftless": {
			observed: &catalogv1.Observed{Intents: []*catalogv1.Intent{{}}},
			held:     true,
		},
		"synced":  {observed: &catalogv1.Observed{Version: 1}, held: true},
		"adopted": {observed: &catalogv1.Observed{StripeId: "prod_1"}, held: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.observed.Product = &catalogv1.Product{Active: active}
			c.observed.Prices = []*catalogv1.ObservedPrice{
				{StripeId: "price_1", Price: &catalogv1.Price{Currency: "eur", UnitAmount: "1400", Active: active}},
			}
			steps := []catalog.Step{{
				Kind: catalog.UpdatePrice, StripePriceID: "price_1",
				Params: []catalog.Param{{Name: "active", Value: "false"}},
			}}
			report := guard.Inspect(all, guard.Change{
				Observed: c.observed, Desired: &catalogv1.ProductChange{Product: &catalogv1.Product{}}, Steps: steps,
			})
			require.Equal(t, c.held, len(report.Findings) > 0)
		})
	}
}

// TestInspect_ComparesPricesThatReturn: an amount that a price had before is not created again. The archived price
// becomes active.
func TestInspect_ComparesPricesThatReturn(t *testing.T) {
	t.Parallel()
	renamed := func(id, minor string) *catalogv1.Product {
		return with(func(p *catalogv1.Product) {
			p.Prices[0].Id, p.Prices[0].UnitAmount, p.DefaultPrice = id, minor, id
		})
	}
	for name, history := range map[string][]*catalogv1.Product{
		"with its id":     {renamed("one", "14"), renamed("one", "1400"), renamed("one", "14")},
		"with another id": {renamed("one", "14"), renamed("two", "1400"), renamed("one", "14")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &catalogtest.Stripe{}
			synced(t, s, wanted(history[0]))
			o := synced(t, s, wanted(history[1]))
			desired := wanted(history[2])
			steps := catalog.Diff(desired, o)
			require.False(t,
				slices.ContainsFunc(steps, func(s catalog.Step) bool { return s.Kind == catalog.CreatePrice }))
			report := guard.Inspect(all, guard.Change{Observed: o, Desired: desired, Steps: steps})
			require.Len(t, report.Findings, 1)
			require.Equal(t, "price one would change by -99 %: 14.00 EUR to 0.14 EUR; the limit is 50 %",
				report.Findings[0].Message)

			o = synced(t, s, wanted(with(func(p *catalogv1.Product) { p.Prices, p.DefaultPrice = nil, "" })))
			desired = wanted(history[1])
			require.Empty(t, guard.Inspect(all, guard.Change{
				Observed: o, Desired: desired, Steps: catalog.Diff(desired, o),
			}).Findings, "what was on sale last")
		})
	}
}

// TestInspect_ComparesAFormerDefaultThatReturns: one call unarchives the price, and the last one clears its mark.
func TestInspect_ComparesAFormerDefaultThatReturns(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	desired := func(id, minor string) *catalogv1.ProductChange {
		c := wanted(&catalogv1.Product{Id: "mug", Name: "Mug", Prices: []*catalogv1.Price{
			{Id: id, Currency: "eur", UnitAmount: minor}, {Id: "other", Currency: "usd", UnitAmount: "1500"},
		}})
		c.UnmanagedFields = []string{"default_price"}
		return c
	}
	o := synced(t, s, desired("one", "100"))
	for _, p := range o.GetPrices() {
		if p.GetPrice().GetId() == "one" {
			_, err := s.Call(catalog.UpdateProduct, "mug", catalog.Param{Name: "default_price", Value: p.GetStripeId()})
			require.NoError(t, err)
		}
	}
	o = synced(t, s, desired("two", "10000"))
	back := desired("one", "100")
	steps := catalog.Diff(back, o)
	report := guard.Inspect(all, guard.Change{Observed: o, Desired: back, Steps: steps})
	require.Len(t, report.Findings, 1, "%v", steps)
	require.Equal(t, "price one would change by -99 %: 100.00 EUR to 1.00 EUR; the limit is 50 %",
		report.Findings[0].Message)
	require.Empty(t, report.Counted.Currencies)
}

// TestInspect_CountsNoPriceBesideAnArchivedOne: a call that only clears the mark of an archived price puts nothing on
// sale, so that the active price with its id is not replaced.
func TestInspect_CountsNoPriceBesideAnArchivedOne(t *testing.T) {
	t.Parallel()
	s := &catalogtest.Stripe{}
	synced(t, s, wanted(mug()))
	o := synced(t, s, wanted(with(func(p *catalogv1.Product) { p.Prices, p.DefaultPrice = nil, "" })))
	require.Len(t, o.GetPrices(), 1)
	_, err := s.Call(catalog.CreatePrice, "", catalog.Param{Name: "product", Value: "mug"},
		catalog.Param{Name: "currency", Value: "eur"}, catalog.Param{Name: "unit_amount", Value: "1400"},
		catalog.Param{Name: "metadata[driftless_price]", Value: "one"})
	require.NoError(t, err)
	o, desired := s.Observed("mug"), wanted(mug())
	o.Version = 1
	steps := catalog.Diff(desired, o)
	require.True(t, slices.ContainsFunc(steps, func(step catalog.Step) bool {
		return step.StripePriceID == o.GetPrices()[1].GetStripeId()
	}), "%v", steps)
	require.Empty(t, guard.Inspect(all, guard.Change{Observed: o, Desired: desired, Steps: steps}).Counted.Prices)
}
