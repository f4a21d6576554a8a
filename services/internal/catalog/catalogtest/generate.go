package catalogtest

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// The generators draw from small pools, so that two draws often have much in common. The difficult cases of a
// difference are those in which much stays equal.

// UnmanagedFields are the fields that a mapping may leave out, as in ProductChange.unmanaged_fields.
var UnmanagedFields = append(optionalFields(catalog.ProductFields(), ""),
	optionalFields(catalog.PriceFields(), "prices.")...)

func optionalFields(fields []catalog.Field, prefix string) (names []string) {
	for _, f := range fields {
		if f.Name != "id" {
			names = append(names, prefix+f.Name)
		}
	}
	return names
}

// MetadataKeys are the keys that products and prices of the catalog may have. ForeignKeys are those of others.
var (
	MetadataKeys = []string{"colour", "size", "shared"}
	ForeignKeys  = []string{"crm_id", "note", "shared"}
)

var priceIDs = []string{"monthly", "yearly", "once"}

func oneOf[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

func sometimes(t *rapid.T, label string) bool { return rapid.IntRange(0, 3).Draw(t, label) == 0 }

// Change generates a desired state of a product. Most often the product is wanted, and all its fields are managed.
func Change(id string) *rapid.Generator[*catalogv1.ProductChange] {
	return rapid.Custom(func(t *rapid.T) *catalogv1.ProductChange {
		c := &catalogv1.ProductChange{
			ProductId: id,
			Operation: catalogv1.Operation_OPERATION_UPSERT,
			Product:   Product(id).Draw(t, "product"),
		}
		if rapid.IntRange(0, 9).Draw(t, "deleted") == 0 {
			c.Operation, c.Product = catalogv1.Operation_OPERATION_DELETE, nil
		}
		if sometimes(t, "leaves fields out") {
			c.UnmanagedFields = rapid.SliceOfNDistinct(rapid.SampledFrom(UnmanagedFields), 1, 6, rapid.ID[string]).Draw(
				t, "unmanaged")
		}
		return c
	})
}

// texts are the values of the text fields of products and prices. A field that is not here gets any text.
var texts = map[string][]string{
	"name":                 {"Pro", "Basic", "Größe XL"},
	"description":          {"", "For teams", "For all"},
	"statement_descriptor": {"", "Acme Pro", "Ärzte GmbH"},
	"tax_code":             {"", "txcd_10000000"},
	"unit_label":           {"", "seat"},
	"url":                  {"", "https://example.com/pro"},
	"nickname":             {"", "List price"},
}

// plainPriceTexts returns the names of the texts of a price that Stripe sets, changes and clears in place. lookup_key
// and tax_behavior have rules of their own.
func plainPriceTexts() (names []string) {
	for _, f := range catalog.PriceFields() {
		if f.Type == catalog.TypeText && !f.Fixed && f.Name != "lookup_key" && f.Name != "tax_behavior" {
			names = append(names, f.Name)
		}
	}
	return names
}

func textsOf(field string) []string {
	if values := texts[field]; values != nil {
		return values
	}
	return []string{"", "One", "Two"}
}

// setText sets a text field of a message by its name in the contract.
func setText(m proto.Message, name, value string) {
	field := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
	m.ProtoReflect().Set(field, protoreflect.ValueOfString(value))
}

// Product generates a product that keeps all of Stripe's rules.
func Product(id string) *rapid.Generator[*catalogv1.Product] {
	return rapid.Custom(func(t *rapid.T) *catalogv1.Product {
		p := &catalogv1.Product{
			Id:     id,
			Active: oneOf(t, "active", nil, nil, new(true), new(false)),
			Images: oneOf(t, "images", nil, []string{"https://example.com/a.png"},
				[]string{"https://example.com/b.png", "https://example.com/a.png"}),
			Metadata:  metadata(t, MetadataKeys),
			Shippable: oneOf(t, "shippable", nil, new(true), new(false)),
		}
		for _, f := range catalog.ProductFields() {
			if f.Type == catalog.TypeText {
				setText(p, f.Name, oneOf(t, f.Name, textsOf(f.Name)...))
			}
		}
		for _, name := range oneOf(t, "marketing_features", nil, []string{"Fast"}, []string{"Safe", "Fast"}) {
			p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: name})
		}
		if sometimes(t, "has package_dimensions") {
			p.PackageDimensions = &catalogv1.PackageDimensions{
				Height: oneOf(t, "height", "1", "1.50"), Length: "2", Weight: oneOf(t, "weight", "0.25", "0.5"),
				Width: "010",
			}
		}
		var sellable []string
		for _, id := range rapid.Permutation(priceIDs).Draw(t,
			"order of prices")[:rapid.IntRange(0, len(priceIDs)).Draw(t, "prices")] {
			price := Price(id).Draw(t, "price "+id)
			if slices.ContainsFunc(p.GetPrices(),
				func(other *catalogv1.Price) bool { return catalog.LookupKey(other) == catalog.LookupKey(price) }) {
				price.LookupKey = ""
			}
			p.Prices = append(p.Prices, price)
			if price.Active == nil || price.GetActive() {
				sellable = append(sellable, id)
			}
		}
		if len(sellable) > 0 && !sometimes(t, "without default") {
			p.DefaultPrice = oneOf(t, "default_price", sellable...)
		}
		return p
	})
}

// Price generates a price that keeps all of Stripe's rules.
func Price(id string) *rapid.Generator[*catalogv1.Price] {
	return rapid.Custom(func(t *rapid.T) *catalogv1.Price {
		p := &catalogv1.Price{
			Id:          id,
			Active:      oneOf(t, "active", nil, nil, new(true), new(false)),
			Currency:    oneOf(t, "currency", "usd", "usd", "eur"),
			TaxBehavior: oneOf(t, "tax_behavior", "", "unspecified", "inclusive", "exclusive"),
			LookupKey:   oneOf(t, "lookup_key", "", "", "key-"+id, "key-a", "key-b"),
			Metadata:    metadata(t, MetadataKeys),
		}
		for _, name := range plainPriceTexts() {
			setText(p, name, oneOf(t, name, textsOf(name)...))
		}
		kind := oneOf(t, "kind", "whole", "whole", "decimal", "tiered", "custom")
		p.UnitAmount, p.UnitAmountDecimal, p.CustomUnitAmount, p.Tiers = amount(t, kind)
		switch kind {
		case "tiered":
			p.BillingScheme = oneOf(t, "billing_scheme", "", "tiered")
			p.TiersMode = oneOf(t, "tiers_mode", "graduated", "volume")
		default:
			p.BillingScheme = oneOf(t, "billing_scheme", "", "per_unit")
			if sometimes(t, "has transform_quantity") {
				p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: 10, Round: oneOf(t, "round", "up", "down")}
			}
		}
		if kind == "tiered" || kind != "custom" && rapid.Bool().Draw(t, "recurs") {
			p.Recurring = &catalogv1.Recurring{
				Interval:      oneOf(t, "interval", "month", "year"),
				IntervalCount: oneOf[uint32](t, "interval_count", 0, 1, 3),
				UsageType:     oneOf(t, "usage_type", "", "licensed", "metered"),
			}
			if p.Recurring.UsageType == "metered" && sometimes(t, "has meter") {
				p.Recurring.Meter = "mtr_1"
			} else if p.Recurring.UsageType == "metered" {
				p.Recurring.AggregateUsage = oneOf(t, "aggregate_usage", nil, new(""), new("sum"), new("max"))
			}
			p.Recurring.TrialPeriodDays = oneOf(t, "trial_period_days", nil, nil, new(uint32(0)), new(uint32(14)))
		}
		for _, code := range []string{"eur", "jpy"} {
			if code == p.GetCurrency() || !sometimes(t, "has option "+code) {
				continue
			}
			o := &catalogv1.CurrencyOption{
				TaxBehavior: oneOf(t, "tax_behavior of "+code, "", "unspecified", "inclusive"),
			}
			optionKind := kind
			if kind == "whole" || kind == "decimal" {
				optionKind = oneOf(t, "kind of "+code, "whole", "decimal")
			}
			o.UnitAmount, o.UnitAmountDecimal, o.CustomUnitAmount, o.Tiers = amount(t, optionKind)
			if p.CurrencyOptions == nil {
				p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{}
			}
			p.CurrencyOptions[code] = o
		}
		return p
	})
}

func amount(t *rapid.T,
	kind string,
) (whole, fractional string, custom *catalogv1.CustomUnitAmount, tiers []*catalogv1.PriceTier) {
	switch kind {
	case "whole":
		whole = oneOf(t, "unit_amount", "0", "1000", "2500")
	case "decimal":
		fractional = oneOf(t, "unit_amount_decimal", "1000", "1000.000", "0.5", "123456789012.123456789012")
	case "custom":
		custom = &catalogv1.CustomUnitAmount{
			Minimum: oneOf(t, "minimum", "", "100"),
			Maximum: oneOf(t, "maximum", "", "5000"),
			Preset:  oneOf(t, "preset", "", "500"),
		}
	case "tiered":
		for i := range rapid.IntRange(1, 3).Draw(t, "tiers") {
			tier := &catalogv1.PriceTier{UpTo: strconv.Itoa(10 * (i + 1))}
			form := rapid.IntRange(1, 3).Draw(t, "form of tier")
			if form != 1 {
				tier.FlatAmount, tier.FlatAmountDecimal = wholeOrNot(t, "flat_amount")
			}
			if form != 2 {
				tier.UnitAmount, tier.UnitAmountDecimal = wholeOrNot(t, "unit_amount")
			}
			tiers = append(tiers, tier)
		}
		tiers[len(tiers)-1].UpTo = ""
	}
	return whole, fractional, custom, tiers
}

func wholeOrNot(t *rapid.T, label string) (whole, fractional string) {
	a := oneOf(t, label, [2]string{"0", ""}, [2]string{"5", ""}, [2]string{"", "5.0"}, [2]string{"", "0.25"},
		[2]string{"", "0.0"})
	return a[0], a[1]
}

func metadata(t *rapid.T, keys []string) map[string]string {
	m := map[string]string{}
	for _, k := range keys {
		if v := oneOf(t, "metadata "+k, "", "1", "2"); v != "" {
			m[k] = v
		}
	}
	return m
}

// Edit generates a change of the given state: an edit of a product that is already in the catalog.
func Edit(t *rapid.T, before *catalogv1.ProductChange) *catalogv1.ProductChange {
	after := Change(before.GetProductId()).Draw(t, "edited")
	if before.GetProduct() == nil || after.GetProduct() == nil {
		return after
	}
	out := proto.CloneOf(before)
	switch oneOf(t, "what is edited", "product", "prices", "one price", "all") {
	case "product":
		prices, def := out.GetProduct().GetPrices(), out.GetProduct().GetDefaultPrice()
		out.Product = after.GetProduct()
		out.Product.Prices, out.Product.DefaultPrice = prices, def
	case "prices":
		out.Product.Prices, out.Product.DefaultPrice = after.GetProduct().GetPrices(),
			after.GetProduct().GetDefaultPrice()
	case "one price":
		for _, p := range out.GetProduct().GetPrices() {
			if whole := p.GetUnitAmount(); whole != "" {
				p.UnitAmount = oneOf(t, "unit_amount", "0", "1000", "2500")
				break
			}
		}
	default:
		return after
	}
	return out
}

// Dashboard makes a random edit of a product in Stripe without Driftless. If Stripe refuses it, nothing changes.
func Dashboard(t *rapid.T, s *Stripe, product string) {
	param := func(name, value string) catalog.Param { return catalog.Param{Name: name, Value: value} }
	ids := append(s.PriceIDs(product), "price_none")
	price := func() string { return oneOf(t, "price", ids...) }
	var err error
	switch oneOf(t, "in the dashboard", "edit product", "measure product", "product metadata", "price metadata",
		"edit price", "archive price", "create price", "duplicate price", "move default", "move lookup key",
		"delete price", "delete product", "create product") {
	case "edit product":
		edits := []catalog.Param{
			param("active", "false"), param("active", "true"),
			param("images", ""), param("images[0]", "https://example.com/hand.png"),
			param("marketing_features[0][name]", "By hand"),
			param("shippable", "true"), param("package_dimensions", ""),
		}
		for _, f := range catalog.ProductFields() {
			if f.Type == catalog.TypeText {
				edits = append(edits, param(f.Name, "BY HAND"), param(f.Name, ""))
			}
		}
		_, err = s.Call(catalog.UpdateProduct, product, oneOf(t, "edit", edits...))
	case "measure product":
		var params []catalog.Param
		for _, part := range []string{"height", "length", "weight", "width"} {
			params = append(params, param("package_dimensions["+part+"]", "3"))
		}
		_, err = s.Call(catalog.UpdateProduct, product, params...)
	case "product metadata":
		_, err = s.Call(catalog.UpdateProduct, product, metadataEdit(t)...)
	case "price metadata":
		_, err = s.Call(catalog.UpdatePrice, price(), metadataEdit(t)...)
	case "edit price":
		edits := []catalog.Param{
			param("tax_behavior", "inclusive"), param("tax_behavior", "exclusive"),
			param("currency_options[jpy][unit_amount]", "7"), param("currency_options[gbp][unit_amount]", "8"),
			param("lookup_key", ""),
		}
		for _, name := range plainPriceTexts() {
			edits = append(edits, param(name, "BY HAND"), param(name, ""))
		}
		_, err = s.Call(catalog.UpdatePrice, price(), oneOf(t, "edit", edits...))
	case "archive price":
		_, err = s.Call(catalog.UpdatePrice, price(), param("active", oneOf(t, "active", "true", "false")))
	case "create price":
		params := []catalog.Param{param("product", product), param("currency", "usd"), param("unit_amount", "1000")}
		if rapid.Bool().Draw(t, "with lookup key") {
			params = append(params, param("lookup_key", oneOf(t, "lookup_key", "key-a", "monthly")),
				param("transfer_lookup_key", "true"))
		}
		if rapid.Bool().Draw(t, "with metadata") {
			params = append(params, param("metadata[crm_id]", "7"))
		}
		_, err = s.Call(catalog.CreatePrice, "", params...)
	case "duplicate price":
		// The dashboard copies the metadata, and the mark with it.
		original := s.price(price())
		if original == nil {
			return
		}
		params := []catalog.Param{
			param("product", original.product), param("currency", original.GetCurrency()),
			param("unit_amount", "1000"),
		}
		for k, v := range original.GetMetadata() {
			params = append(params, param("metadata["+k+"]", v))
		}
		_, err = s.Call(catalog.CreatePrice, "", params...)
	case "move default":
		_, err = s.Call(catalog.UpdateProduct, product, param("default_price", oneOf(t, "default", append(ids, "")...)))
	case "move lookup key":
		keys := append([]string{"key-a", "key-b"}, priceIDs...)
		on := oneOf(t, "to", append(s.PriceIDs(""), "price_none")...)
		_, err = s.Call(catalog.UpdatePrice, on, param("lookup_key", oneOf(t, "lookup_key", keys...)),
			param("transfer_lookup_key", "true"))
	case "delete price":
		err = s.DeletePrice(price())
	case "delete product":
		_, _ = s.Call(catalog.UpdateProduct, product, param("default_price", ""))
		for _, id := range s.PriceIDs(product) {
			_ = s.DeletePrice(id)
		}
		err = s.DeleteProduct(product)
	case "create product":
		_, err = s.Call(catalog.CreateProduct, "", param("id", product), param("name", "By hand"))
	}
	if err != nil {
		t.Logf("%v", err)
	}
}

func metadataEdit(t *rapid.T) []catalog.Param {
	key := oneOf(t, "metadata key", slices.Concat(MetadataKeys, ForeignKeys, []string{"", catalog.PriceMarker})...)
	if key == "" {
		return []catalog.Param{{Name: "metadata"}}
	}
	values := []string{"", "by hand"}
	if key == catalog.PriceMarker {
		values = append([]string{""}, priceIDs...)
	}
	return []catalog.Param{{Name: "metadata[" + key + "]", Value: oneOf(t, "value", values...)}}
}
