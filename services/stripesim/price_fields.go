package stripesim

import (
	"strings"
	"time"
)

// price is a stored price. It is never modified, only replaced.
type price struct {
	ID            string            `json:"id"`
	Active        bool              `json:"active,omitempty"`
	BillingScheme string            `json:"billing_scheme"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	Options       map[string]option `json:"options,omitempty"`
	LookupKey     string            `json:"lookup_key,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Nickname      *string           `json:"nickname,omitempty"`
	Product       string            `json:"product"`
	Recurring     *recurring        `json:"recurring,omitempty"`
	TiersMode     *string           `json:"tiers_mode,omitempty"`
	Transform     *transform        `json:"transform,omitempty"`
	// Inline prices were created by a checkout or a subscription. Lists leave them out.
	Inline bool `json:"inline,omitempty"`
	option
}

type recurring struct {
	AggregateUsage  *string `json:"aggregate_usage"`
	Interval        string  `json:"interval"`
	IntervalCount   int64   `json:"interval_count"`
	Meter           *string `json:"meter"`
	TrialPeriodDays *int64  `json:"trial_period_days"`
	UsageType       string  `json:"usage_type"`
}

type transform struct {
	DivideBy int64  `json:"divide_by"`
	Round    string `json:"round"`
}

// priceJSON is a price in an answer.
type priceJSON struct {
	ID                string                  `json:"id"`
	Object            string                  `json:"object"`
	Active            bool                    `json:"active"`
	BillingScheme     string                  `json:"billing_scheme"`
	Created           int64                   `json:"created"`
	Currency          string                  `json:"currency"`
	CurrencyOptions   *map[string]*optionJSON `json:"currency_options,omitempty"`
	CustomUnitAmount  *customJSON             `json:"custom_unit_amount"`
	Livemode          bool                    `json:"livemode"`
	LookupKey         *string                 `json:"lookup_key"`
	Metadata          map[string]string       `json:"metadata"`
	Nickname          *string                 `json:"nickname"`
	Product           any                     `json:"product"`
	Recurring         *recurring              `json:"recurring"`
	TaxBehavior       string                  `json:"tax_behavior"`
	Tiers             *[]tierJSON             `json:"tiers,omitempty"`
	TiersMode         *string                 `json:"tiers_mode"`
	TransformQuantity *transform              `json:"transform_quantity"`
	Type              string                  `json:"type"`
	UnitAmount        *int64                  `json:"unit_amount"`
	UnitAmountDecimal *string                 `json:"unit_amount_decimal"`
}

// aggregations are the ways to aggregate the usage of a metered price without a meter.
var aggregations = []string{"last_during_period", "last_ever", "max", "sum"}

var intervals = []string{"day", "month", "week", "year"}

// maxIntervalCount is the maximum interval between two payments: three years.
var maxIntervalCount = map[string]int64{"day": 1095, "week": 156, "month": 36, "year": 3}

// maxIntervalText is the message that refuses interval_count, in Stripe's plurals.
var maxIntervalText = map[string]string{
	"day":   "1095 days",
	"week":  "156 weeks",
	"month": "36 months",
	"year":  "3 years",
}

var createPriceParams = map[string]shape{
	"active":             {kind: boolean},
	"billing_scheme":     {kind: enumeration, choices: []string{"per_unit", "tiered"}},
	"currency":           {kind: currencyCode, required: true},
	"currency_options":   currencyOptionsParam,
	"custom_unit_amount": customUnitAmountParam,
	"expand":             expandParam,
	"lookup_key":         {max: 200},
	"metadata":           {kind: metadata},
	"nickname":           {max: 5000},
	"product":            {max: 5000},
	"product_data": {kind: hash, fields: map[string]shape{
		"active": {kind: boolean}, "id": {max: 5000}, "metadata": {kind: metadata}, "name": {max: 5000, required: true},
		"statement_descriptor": {max: 22}, "tax_code": {max: 5000}, "unit_label": {max: 12},
	}},
	"recurring": {kind: hash, fields: map[string]shape{
		"aggregate_usage":   {kind: enumeration, choices: aggregations},
		"interval":          {kind: enumeration, choices: intervals, required: true},
		"interval_count":    {kind: integer},
		"meter":             {max: 5000},
		"trial_period_days": {kind: integer},
		"usage_type":        {kind: enumeration, choices: []string{"licensed", "metered"}},
	}},
	"tax_behavior":        taxBehaviorParam,
	"tiers":               tiersParam,
	"tiers_mode":          {kind: enumeration, choices: []string{"graduated", "volume"}},
	"transfer_lookup_key": {kind: boolean},
	"transform_quantity": {kind: hash, fields: map[string]shape{
		"divide_by": {kind: integer, required: true},
		"round":     {kind: enumeration, choices: []string{"down", "up"}, required: true},
	}},
	"unit_amount":         {kind: amount},
	"unit_amount_decimal": {kind: amountDecimal},
}

// updatePriceParams are all parameters that change a price. Stripe does not accept any other here.
var updatePriceParams = map[string]shape{
	"active":              {kind: boolean},
	"currency_options":    clearable(currencyOptionsParam),
	"expand":              expandParam,
	"lookup_key":          {max: 200, clears: true, undocumented: nullable},
	"metadata":            {kind: metadata, clears: true},
	"nickname":            {max: 5000, clears: true, undocumented: nullable},
	"tax_behavior":        taxBehaviorParam,
	"transfer_lookup_key": {kind: boolean},
}

// setTexts sets the texts that a request sends. An empty one clears the text.
func (p *price) setTexts(f *field) {
	if f.get("nickname") != nil {
		p.Nickname = f.optional("nickname")
	}
}

// newPrice creates a price from the parameters of a request in a version of the API, or from a product's
// default_price_data.
func newPrice(f *field, product, version string, now time.Time) (*price, *refusal) {
	p := &price{
		ID: newID("price_1", 23), Active: true, BillingScheme: "per_unit", Created: now.Unix(),
		Currency: strings.ToLower(f.text("currency")), Product: product,
		LookupKey: f.text("lookup_key"),
		TiersMode: f.optional("tiers_mode"),
	}
	p.setTexts(f)
	if active, sent := f.flag("active"); sent {
		p.Active = active
	}
	if s := f.text("billing_scheme"); s != "" {
		p.BillingScheme = s
	}
	var r *refusal
	if p.option, r = newOption(f, "unspecified"); r != nil {
		return nil, r
	}
	if r := p.checkAmounts(f); r != nil {
		return nil, r
	}
	if r := mixedAmounts(f); r != nil {
		return nil, r
	}
	if p.Recurring, r = newRecurring(f.get("recurring")); r != nil {
		return nil, r
	}
	if p.Custom != nil && p.Recurring != nil {
		return nil, invalid("", "custom_unit_amount", "`custom_unit_amount` cannot be used with recurring prices.")
	}
	if q := f.get("transform_quantity"); q != nil {
		n, _ := q.integer("divide_by")
		if n < 1 {
			return nil, invalid("parameter_invalid_integer", q.get("divide_by").name,
				"This value must be greater than or equal to 1.")
		}
		if p.BillingScheme == "tiered" {
			return nil, invalid("", "transform_quantity",
				"`transform_quantity` cannot be combined with `billing_scheme=tiered`.")
		}
		p.Transform = &transform{DivideBy: n, Round: q.text("round")}
	}
	if p.Options, r = p.mergeOptions(f.get("currency_options")); r != nil {
		return nil, r
	}
	if p.Metadata, r = mergeMetadata(nil, f.get("metadata")); r != nil {
		return nil, r
	}
	if r := p.checkRecorded(f, version); r != nil {
		return nil, r
	}
	return p, nil
}

// meteredByMeter is the API version from which a metered price must have a meter.
const meteredByMeter = "2025-03-31"

// checkRecorded refuses what Stripe's test mode was recorded to refuse although its OpenAPI document allows it.
func (p *price) checkRecorded(f *field, version string) *refusal {
	switch r := p.Recurring; {
	case p.BillingScheme == "tiered" && r == nil:
		return invalid("parameter_missing", "interval", "Missing required param: interval.")
	case r != nil && r.UsageType == "metered" && r.Meter == nil && version >= meteredByMeter:
		return invalid("parameter_missing", f.get("recurring").name+"[meter]",
			"Metered prices must be backed by meters: pass `recurring[meter]`, or use an API version before %s.basil.",
			meteredByMeter)
	}
	return nil
}

func (p *price) checkAmounts(f *field) *refusal {
	if p.BillingScheme == "tiered" {
		switch {
		case len(p.Tiers) == 0:
			return invalid("parameter_missing", "tiers", "Missing required param: tiers.")
		case p.TiersMode == nil:
			return invalid("parameter_missing", "tiers_mode", "Missing required param: tiers_mode.")
		case p.Amount != "":
			return invalid("", "unit_amount",
				"`unit_amount` and `unit_amount_decimal` cannot be combined with `billing_scheme=tiered`.")
		case p.Custom != nil:
			return invalid("", "custom_unit_amount",
				"`custom_unit_amount` cannot be combined with `billing_scheme=tiered`.")
		}
		return nil
	}
	switch {
	case f.get("tiers") != nil:
		return invalid("", "tiers", "`tiers` can only be set if `billing_scheme=tiered`.")
	case p.TiersMode != nil:
		return invalid("", "tiers_mode", "`tiers_mode` can only be set if `billing_scheme=tiered`.")
	case p.Amount == "" && p.Custom == nil:
		return invalid("parameter_missing", "unit_amount",
			"One of `unit_amount`, `unit_amount_decimal`, or `custom_unit_amount` is required, unless "+
				"`billing_scheme=tiered`.")
	case p.Amount != "" && p.Custom != nil:
		return invalid("parameters_exclusive", "custom_unit_amount",
			"You may only specify one of these parameters: unit_amount, unit_amount_decimal, custom_unit_amount.")
	}
	return nil
}

func newRecurring(f *field) (*recurring, *refusal) {
	if f == nil {
		return nil, nil
	}
	r := &recurring{Interval: f.text("interval"), IntervalCount: 1, Meter: f.optional("meter"), UsageType: "licensed"}
	if n, sent := f.integer("interval_count"); sent {
		r.IntervalCount = n
	}
	if s := f.text("usage_type"); s != "" {
		r.UsageType = s
	}
	if days, sent := f.integer("trial_period_days"); sent {
		r.TrialPeriodDays = &days
	}
	if r.AggregateUsage = f.optional("aggregate_usage"); r.AggregateUsage == nil && r.UsageType == "metered" &&
		r.Meter == nil {
		r.AggregateUsage = &aggregations[3]
	}
	switch limit := maxIntervalCount[r.Interval]; {
	case r.IntervalCount < 1:
		return nil, invalid("parameter_invalid_integer", f.get("interval_count").name,
			"This value must be greater than or equal to 1.")
	case r.IntervalCount > limit:
		return nil, invalid("", f.get("interval_count").name,
			"The maximum interval is 3 years: interval_count can be at most %s.", maxIntervalText[r.Interval])
	case r.TrialPeriodDays != nil && *r.TrialPeriodDays < 0:
		return nil, invalid("parameter_invalid_integer", f.get("trial_period_days").name,
			"This value must be greater than or equal to 0.")
	case r.AggregateUsage != nil && (r.UsageType != "metered" || r.Meter != nil):
		return nil, invalid("", f.get("aggregate_usage").name,
			"`recurring[aggregate_usage]` can only be set if `recurring[usage_type]=metered` and without a meter.")
	case r.Meter != nil && r.UsageType != "metered":
		return nil, invalid("", f.get("meter").name,
			"`recurring[meter]` can only be set if `recurring[usage_type]=metered`.")
	}
	return r, nil
}

func (s *store) renderPrice(p *price, expand *expansion, version string) priceJSON {
	out := priceJSON{
		ID: p.ID, Object: "price", Active: p.Active, BillingScheme: p.BillingScheme, Created: p.Created,
		Currency:         p.Currency,
		CustomUnitAmount: p.Custom.render(), Livemode: s.live, Metadata: p.Metadata, Nickname: p.Nickname,
		Product: p.Product, Recurring: p.Recurring, TaxBehavior: p.TaxBehavior, TiersMode: p.TiersMode,
		TransformQuantity: p.Transform,
		Type:              p.kind(), UnitAmount: p.Amount.integer(), UnitAmountDecimal: p.Amount.text(),
	}
	if p.LookupKey != "" {
		out.LookupKey = &p.LookupKey
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	if expand.sub("tiers") != nil && len(p.Tiers) > 0 {
		out.Tiers = renderTiers(p.Tiers)
	}
	if expand.sub("currency_options") != nil {
		// Stripe lists the price's own currency among the options.
		options := map[string]*optionJSON{p.Currency: p.option.render()}
		for currency, o := range p.Options {
			options[currency] = o.render()
		}
		out.CurrencyOptions = &options
	}
	if sub := expand.sub("product"); sub != nil {
		if of := s.products.get(p.Product); of != nil {
			out.Product = s.renderProduct(of, sub, version)
		} else {
			out.Product = deletedJSON{ID: p.Product, Object: "product", Deleted: true}
		}
	}
	return out
}
