// Package row writes products and prices as rows: columns with Stripe's field names, values as JSON. It knows no
// database.
package row

import (
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// number is a decimal, written into JSON with all its digits; the tables hold numbers where Stripe does.
type number string

func (n number) MarshalJSON() ([]byte, error) {
	digits := strings.TrimLeft(string(n), "0")
	if digits == "" || digits[0] == '.' {
		digits = "0" + digits
	}
	return []byte(digits), nil
}

// Product is a row of the products; what is not given is NULL.
type Product struct {
	ID                  string            `json:"id"`
	Name                string            `json:"name"`
	Active              bool              `json:"active"`
	Description         string            `json:"description,omitempty"`
	Images              []string          `json:"images,omitempty"`
	MarketingFeatures   []string          `json:"marketing_features,omitempty"`
	Metadata            map[string]string `json:"metadata,omitempty"`
	PackageDimensions   *dimensions       `json:"package_dimensions,omitempty"`
	Shippable           *bool             `json:"shippable,omitempty"`
	StatementDescriptor string            `json:"statement_descriptor,omitempty"`
	TaxCode             string            `json:"tax_code,omitempty"`
	UnitLabel           string            `json:"unit_label,omitempty"`
	URL                 string            `json:"url,omitempty"`
	DefaultPrice        string            `json:"default_price,omitempty"`
}

type dimensions struct {
	Height number `json:"height"`
	Length number `json:"length"`
	Weight number `json:"weight"`
	Width  number `json:"width"`
}

// Price is a row of the prices; what is not given is NULL.
type Price struct {
	ID                string            `json:"id"`
	Product           string            `json:"product"`
	Active            bool              `json:"active"`
	Currency          string            `json:"currency"`
	UnitAmount        number            `json:"unit_amount,omitempty"`
	UnitAmountDecimal number            `json:"unit_amount_decimal,omitempty"`
	BillingScheme     string            `json:"billing_scheme,omitempty"`
	Recurring         *recurring        `json:"recurring,omitempty"`
	Tiers             []tier            `json:"tiers,omitempty"`
	TiersMode         string            `json:"tiers_mode,omitempty"`
	TransformQuantity *transform        `json:"transform_quantity,omitempty"`
	CurrencyOptions   map[string]option `json:"currency_options,omitempty"`
	CustomUnitAmount  *custom           `json:"custom_unit_amount,omitempty"`
	TaxBehavior       string            `json:"tax_behavior,omitempty"`
	LookupKey         string            `json:"lookup_key,omitempty"`
	Nickname          string            `json:"nickname,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty"`
}

type recurring struct {
	Interval      string `json:"interval"`
	IntervalCount uint32 `json:"interval_count,omitempty"`
	UsageType     string `json:"usage_type,omitempty"`
	Meter         string `json:"meter,omitempty"`
}

type tier struct {
	// UpTo is null on the last tier, as in Stripe's answers.
	UpTo              *number `json:"up_to"`
	UnitAmount        number  `json:"unit_amount,omitempty"`
	UnitAmountDecimal number  `json:"unit_amount_decimal,omitempty"`
	FlatAmount        number  `json:"flat_amount,omitempty"`
	FlatAmountDecimal number  `json:"flat_amount_decimal,omitempty"`
}

type transform struct {
	DivideBy uint64 `json:"divide_by"`
	Round    string `json:"round"`
}

type option struct {
	UnitAmount        number  `json:"unit_amount,omitempty"`
	UnitAmountDecimal number  `json:"unit_amount_decimal,omitempty"`
	TaxBehavior       string  `json:"tax_behavior,omitempty"`
	Tiers             []tier  `json:"tiers,omitempty"`
	CustomUnitAmount  *custom `json:"custom_unit_amount,omitempty"`
}

type custom struct {
	Minimum number `json:"minimum,omitempty"`
	Maximum number `json:"maximum,omitempty"`
	Preset  number `json:"preset,omitempty"`
}

// OfProduct is the row of a product, without its prices.
func OfProduct(p *catalogv1.Product) Product {
	r := Product{
		ID: p.GetId(), Name: p.GetName(), Active: p.Active == nil || p.GetActive(), Description: p.GetDescription(),
		Images: p.GetImages(), Metadata: p.GetMetadata(), Shippable: p.Shippable,
		StatementDescriptor: p.GetStatementDescriptor(), TaxCode: p.GetTaxCode(), UnitLabel: p.GetUnitLabel(),
		URL: p.GetUrl(), DefaultPrice: p.GetDefaultPrice(),
	}
	for _, f := range p.GetMarketingFeatures() {
		r.MarketingFeatures = append(r.MarketingFeatures, f.GetName())
	}
	if d := p.GetPackageDimensions(); d != nil {
		r.PackageDimensions = &dimensions{number(d.GetHeight()), number(d.GetLength()), number(d.GetWeight()), number(d.GetWidth())}
	}
	return r
}

// OfPrice is the row of a product's price.
func OfPrice(p *catalogv1.Price, product string) Price {
	r := Price{
		ID: p.GetId(), Product: product, Active: p.Active == nil || p.GetActive(), Currency: p.GetCurrency(),
		UnitAmount: number(p.GetUnitAmount()), UnitAmountDecimal: number(p.GetUnitAmountDecimal()),
		BillingScheme: p.GetBillingScheme(), Tiers: tiersOf(p.GetTiers()), TiersMode: p.GetTiersMode(),
		CustomUnitAmount: customOf(p.GetCustomUnitAmount()), TaxBehavior: p.GetTaxBehavior(), LookupKey: p.GetLookupKey(),
		Nickname: p.GetNickname(), Metadata: p.GetMetadata(),
	}
	if x := p.GetRecurring(); x != nil {
		r.Recurring = &recurring{x.GetInterval(), x.GetIntervalCount(), x.GetUsageType(), x.GetMeter()}
	}
	if x := p.GetTransformQuantity(); x != nil {
		r.TransformQuantity = &transform{x.GetDivideBy(), x.GetRound()}
	}
	for currency, o := range p.GetCurrencyOptions() {
		if r.CurrencyOptions == nil {
			r.CurrencyOptions = map[string]option{}
		}
		r.CurrencyOptions[currency] = option{
			number(o.GetUnitAmount()), number(o.GetUnitAmountDecimal()), o.GetTaxBehavior(), tiersOf(o.GetTiers()), customOf(o.GetCustomUnitAmount()),
		}
	}
	return r
}

func tiersOf(tiers []*catalogv1.PriceTier) []tier {
	var out []tier
	for _, t := range tiers {
		row := tier{
			UnitAmount: number(t.GetUnitAmount()), UnitAmountDecimal: number(t.GetUnitAmountDecimal()),
			FlatAmount: number(t.GetFlatAmount()), FlatAmountDecimal: number(t.GetFlatAmountDecimal()),
		}
		if t.GetUpTo() != "" {
			row.UpTo = new(number(t.GetUpTo()))
		}
		out = append(out, row)
	}
	return out
}

func customOf(c *catalogv1.CustomUnitAmount) *custom {
	if c == nil {
		return nil
	}
	return &custom{number(c.GetMinimum()), number(c.GetMaximum()), number(c.GetPreset())}
}
