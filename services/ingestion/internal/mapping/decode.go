package mapping

import (
	"bytes"
	"encoding/json"
	"errors"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/catalog"
)

// scalar is a JSON string, number or null, as text: identifiers and amounts come as either, and a number keeps all
// its digits.
type scalar string

func (s *scalar) UnmarshalJSON(data []byte) error {
	switch {
	case bytes.Equal(data, []byte("null")):
		return nil
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, (*string)(s))
	case len(data) > 0 && (data[0] == '{' || data[0] == '['):
		return errors.New("must be a number or a string")
	default:
		*s = scalar(data)
		return nil
	}
}

// names is a list of strings, or of objects with a name.
type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return err
	}
	for _, item := range items {
		var named struct {
			Name string `json:"name"`
		}
		var err error
		if len(item) > 0 && item[0] == '{' {
			err = json.Unmarshal(item, &named)
		} else {
			err = json.Unmarshal(item, &named.Name)
		}
		if err != nil {
			return err
		}
		*n = append(*n, named.Name)
	}
	return nil
}

type productRow struct {
	ID                  scalar            `json:"id"`
	Name                string            `json:"name"`
	Active              *bool             `json:"active"`
	Description         string            `json:"description"`
	Images              []string          `json:"images"`
	MarketingFeatures   names             `json:"marketing_features"`
	Metadata            map[string]scalar `json:"metadata"`
	PackageDimensions   *dimensionsRow    `json:"package_dimensions"`
	Shippable           *bool             `json:"shippable"`
	StatementDescriptor string            `json:"statement_descriptor"`
	TaxCode             string            `json:"tax_code"`
	UnitLabel           string            `json:"unit_label"`
	URL                 string            `json:"url"`
	DefaultPrice        scalar            `json:"default_price"`
}

type dimensionsRow struct {
	Height scalar `json:"height"`
	Length scalar `json:"length"`
	Weight scalar `json:"weight"`
	Width  scalar `json:"width"`
}

type priceRow struct {
	ID                scalar                  `json:"id"`
	Product           scalar                  `json:"product"`
	Active            *bool                   `json:"active"`
	Currency          string                  `json:"currency"`
	UnitAmount        scalar                  `json:"unit_amount"`
	UnitAmountDecimal scalar                  `json:"unit_amount_decimal"`
	BillingScheme     string                  `json:"billing_scheme"`
	Recurring         *recurringRow           `json:"recurring"`
	Tiers             []tierRow               `json:"tiers"`
	TiersMode         string                  `json:"tiers_mode"`
	TransformQuantity *transformRow           `json:"transform_quantity"`
	CurrencyOptions   map[string]*currencyRow `json:"currency_options"`
	CustomUnitAmount  *customRow              `json:"custom_unit_amount"`
	TaxBehavior       string                  `json:"tax_behavior"`
	LookupKey         string                  `json:"lookup_key"`
	Nickname          string                  `json:"nickname"`
	Metadata          map[string]scalar       `json:"metadata"`
}

type recurringRow struct {
	Interval      string `json:"interval"`
	IntervalCount uint32 `json:"interval_count"`
	UsageType     string `json:"usage_type"`
	Meter         string `json:"meter"`
}

type tierRow struct {
	UpTo              scalar `json:"up_to"`
	UnitAmount        scalar `json:"unit_amount"`
	UnitAmountDecimal scalar `json:"unit_amount_decimal"`
	FlatAmount        scalar `json:"flat_amount"`
	FlatAmountDecimal scalar `json:"flat_amount_decimal"`
}

type transformRow struct {
	DivideBy uint64 `json:"divide_by"`
	Round    string `json:"round"`
}

type currencyRow struct {
	UnitAmount        scalar     `json:"unit_amount"`
	UnitAmountDecimal scalar     `json:"unit_amount_decimal"`
	TaxBehavior       string     `json:"tax_behavior"`
	Tiers             []tierRow  `json:"tiers"`
	CustomUnitAmount  *customRow `json:"custom_unit_amount"`
}

type customRow struct {
	Minimum scalar `json:"minimum"`
	Maximum scalar `json:"maximum"`
	Preset  scalar `json:"preset"`
}

func decodeProduct(data []byte) (*catalogv1.Product, error) {
	var r productRow
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	p := &catalogv1.Product{
		Id: string(r.ID), Name: r.Name, Active: r.Active, Description: r.Description, Images: r.Images,
		Metadata: texts(r.Metadata), Shippable: r.Shippable, StatementDescriptor: r.StatementDescriptor,
		TaxCode: r.TaxCode, UnitLabel: r.UnitLabel, Url: r.URL, DefaultPrice: string(r.DefaultPrice),
	}
	for _, name := range r.MarketingFeatures {
		p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: name})
	}
	if d := r.PackageDimensions; d != nil {
		p.PackageDimensions = &catalogv1.PackageDimensions{
			Height: string(d.Height), Length: string(d.Length), Weight: string(d.Weight), Width: string(d.Width),
		}
	}
	return p, nil
}

func decodePrice(data []byte) (product string, _ *catalogv1.Price, _ error) {
	var r priceRow
	if err := json.Unmarshal(data, &r); err != nil {
		return "", nil, err
	}
	p := &catalogv1.Price{
		Id: string(r.ID), Active: r.Active, Currency: r.Currency, BillingScheme: r.BillingScheme, Tiers: tiers(r.Tiers),
		TiersMode: r.TiersMode, CustomUnitAmount: custom(r.CustomUnitAmount), TaxBehavior: r.TaxBehavior,
		LookupKey: r.LookupKey, Nickname: r.Nickname, Metadata: texts(r.Metadata),
	}
	// A numeric column may write whole amounts with decimals: 1400.00.
	p.UnitAmount, p.UnitAmountDecimal = catalog.Amount(string(r.UnitAmount), string(r.UnitAmountDecimal))
	if x := r.Recurring; x != nil {
		p.Recurring = &catalogv1.Recurring{Interval: x.Interval, IntervalCount: x.IntervalCount, UsageType: x.UsageType, Meter: x.Meter}
	}
	if t := r.TransformQuantity; t != nil {
		p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: t.DivideBy, Round: t.Round}
	}
	for currency, o := range r.CurrencyOptions {
		if o == nil {
			continue
		}
		if p.CurrencyOptions == nil {
			p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{}
		}
		option := &catalogv1.CurrencyOption{TaxBehavior: o.TaxBehavior, Tiers: tiers(o.Tiers), CustomUnitAmount: custom(o.CustomUnitAmount)}
		option.UnitAmount, option.UnitAmountDecimal = catalog.Amount(string(o.UnitAmount), string(o.UnitAmountDecimal))
		p.CurrencyOptions[currency] = option
	}
	return string(r.Product), p, nil
}

func tiers(rows []tierRow) []*catalogv1.PriceTier {
	var out []*catalogv1.PriceTier
	for _, r := range rows {
		upTo := string(r.UpTo)
		if upTo == "inf" {
			// Stripe's word on writing for a tier without end.
			upTo = ""
		}
		tier := &catalogv1.PriceTier{UpTo: upTo}
		tier.UnitAmount, tier.UnitAmountDecimal = catalog.Amount(string(r.UnitAmount), string(r.UnitAmountDecimal))
		tier.FlatAmount, tier.FlatAmountDecimal = catalog.Amount(string(r.FlatAmount), string(r.FlatAmountDecimal))
		out = append(out, tier)
	}
	return out
}

func custom(r *customRow) *catalogv1.CustomUnitAmount {
	if r == nil {
		return nil
	}
	return &catalogv1.CustomUnitAmount{Minimum: string(r.Minimum), Maximum: string(r.Maximum), Preset: string(r.Preset)}
}

func texts(m map[string]scalar) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}
