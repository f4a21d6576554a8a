package stripeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// productJSON is a product as API version 2023-10-16 writes it. Numbers stay text, so that no digit is lost.
type productJSON struct {
	ID                  string            `json:"id"`
	Active              bool              `json:"active"`
	Created             int64             `json:"created"`
	DefaultPrice        reference         `json:"default_price"`
	Deleted             bool              `json:"deleted"`
	Description         string            `json:"description"`
	Features            []featureJSON     `json:"features"`
	MarketingFeatures   []featureJSON     `json:"marketing_features"`
	Images              []string          `json:"images"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	Name                string            `json:"name"`
	PackageDimensions   structureJSON     `json:"package_dimensions"`
	Shippable           *bool             `json:"shippable"`
	StatementDescriptor string            `json:"statement_descriptor"`
	TaxCode             reference         `json:"tax_code"`
	UnitLabel           string            `json:"unit_label"`
	Updated             int64             `json:"updated"`
	URL                 string            `json:"url"`
}

type featureJSON struct {
	Name string `json:"name"`
}

type priceJSON struct {
	ID                string                        `json:"id"`
	Active            bool                          `json:"active"`
	BillingScheme     string                        `json:"billing_scheme"`
	Created           int64                         `json:"created"`
	Currency          string                        `json:"currency"`
	CurrencyOptions   map[string]currencyOptionJSON `json:"currency_options"`
	CustomUnitAmount  *customJSON                   `json:"custom_unit_amount"`
	LookupKey         string                        `json:"lookup_key"`
	Metadata          map[string]string             `json:"metadata"`
	Nickname          string                        `json:"nickname"`
	Product           reference                     `json:"product"`
	Recurring         structureJSON                 `json:"recurring"`
	TaxBehavior       string                        `json:"tax_behavior"`
	Tiers             []tierJSON                    `json:"tiers"`
	TiersMode         string                        `json:"tiers_mode"`
	TransformQuantity structureJSON                 `json:"transform_quantity"`
	amountJSON
}

type amountJSON struct {
	UnitAmount        json.Number `json:"unit_amount"`
	UnitAmountDecimal json.Number `json:"unit_amount_decimal"`
}

type currencyOptionJSON struct {
	amountJSON
	CustomUnitAmount *customJSON `json:"custom_unit_amount"`
	TaxBehavior      string      `json:"tax_behavior"`
	Tiers            []tierJSON  `json:"tiers"`
}

type customJSON struct {
	Maximum json.Number `json:"maximum"`
	Minimum json.Number `json:"minimum"`
	Preset  json.Number `json:"preset"`
}

type tierJSON struct {
	amountJSON
	FlatAmount        json.Number `json:"flat_amount"`
	FlatAmountDecimal json.Number `json:"flat_amount_decimal"`
	UpTo              json.Number `json:"up_to"`
}

// structureJSON is a structure by its parts, with texts and numbers as they are written; nil for null.
type structureJSON map[string]structurePart

// structurePart is a text, or a number as text. It is "" for null and for any other value.
type structurePart string

// UnmarshalJSON accepts any value: Stripe may add parts of any kind.
func (p *structurePart) UnmarshalJSON(data []byte) error {
	switch {
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, (*string)(p))
	case len(data) > 0 && (data[0] == '-' || '0' <= data[0] && data[0] <= '9'):
		*p = structurePart(data)
	default:
		*p = ""
	}
	return nil
}

// decode fills an empty message with the parts that the table of fields has, and leaves out the others. A number that
// is too large for its part becomes the largest that fits.
func (s structureJSON) decode(field string, into proto.Message) {
	for _, part := range catalog.Parts(field) {
		value := string(s[part.Name])
		if part.Type != catalog.PartWhole {
			part.SetText(into, value)
			continue
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if errors.Is(err, strconv.ErrSyntax) {
			n = 0
		}
		part.SetWhole(into, min(n, part.Limit(into)))
	}
}

// reference is the id of another object, which Stripe may have expanded.
type reference string

func (r *reference) UnmarshalJSON(data []byte) error {
	var expanded struct {
		ID string `json:"id"`
	}
	if len(data) > 0 && data[0] == '{' {
		err := json.Unmarshal(data, &expanded)
		*r = reference(expanded.ID)
		return err
	}
	return json.Unmarshal(data, (*string)(r))
}

// DecodeProduct reads a product from Stripe's JSON. seen is the second of Stripe's clock at which it was sent.
func DecodeProduct(data []byte, seen int64) (catalog.ProductSighting, error) {
	var j productJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return catalog.ProductSighting{}, fmt.Errorf("decode Stripe's product: %w", err)
	}
	return j.sighting(seen), nil
}

func (j *productJSON) sighting(seen int64) catalog.ProductSighting {
	if j.Deleted {
		return catalog.ProductSighting{Seen: seen}
	}
	p := &catalogv1.Product{
		Id: j.ID, Active: new(j.Active), Name: j.Name, Description: j.Description, Images: j.Images,
		Metadata:  j.Metadata,
		Shippable: j.Shippable, StatementDescriptor: j.StatementDescriptor, TaxCode: string(j.TaxCode),
		UnitLabel: j.UnitLabel, Url: j.URL, DefaultPrice: string(j.DefaultPrice),
	}
	for _, f := range append(j.Features, j.MarketingFeatures...) {
		p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: f.Name})
	}
	if j.PackageDimensions != nil {
		p.PackageDimensions = &catalogv1.PackageDimensions{}
		j.PackageDimensions.decode("package_dimensions", p.PackageDimensions)
	}
	return catalog.ProductSighting{Product: p, Updated: j.Updated, Seen: seen}
}

// DecodePrice reads a price, and the id of its product, from Stripe's JSON. seen is the second of Stripe's clock at
// which it was sent.
func DecodePrice(data []byte, seen int64) (sighting catalog.PriceSighting, product string, err error) {
	var j priceJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return catalog.PriceSighting{}, "", fmt.Errorf("decode Stripe's price: %w", err)
	}
	return j.sighting(seen), string(j.Product), nil
}

func (j *priceJSON) sighting(seen int64) catalog.PriceSighting {
	p := &catalogv1.Price{
		Id: j.Metadata[catalog.PriceMarker], Active: new(j.Active), Currency: j.Currency,
		UnitAmount: j.UnitAmount.String(), UnitAmountDecimal: j.UnitAmountDecimal.String(),
		BillingScheme: j.BillingScheme, Tiers: decodeTiers(j.Tiers), TiersMode: j.TiersMode,
		CustomUnitAmount: decodeCustom(j.CustomUnitAmount), TaxBehavior: j.TaxBehavior, LookupKey: j.LookupKey,
		Nickname: j.Nickname, Metadata: j.Metadata,
	}
	if j.Recurring != nil {
		p.Recurring = &catalogv1.Recurring{}
		j.Recurring.decode("recurring", p.Recurring)
	}
	if j.TransformQuantity != nil {
		p.TransformQuantity = &catalogv1.TransformQuantity{}
		j.TransformQuantity.decode("transform_quantity", p.TransformQuantity)
	}
	for currency, o := range j.CurrencyOptions {
		if currency == j.Currency {
			// Stripe lists the price's own currency among its options.
			continue
		}
		if p.CurrencyOptions == nil {
			p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{}
		}
		p.CurrencyOptions[currency] = &catalogv1.CurrencyOption{
			UnitAmount: o.UnitAmount.String(), UnitAmountDecimal: o.UnitAmountDecimal.String(),
			TaxBehavior: o.TaxBehavior,
			Tiers:       decodeTiers(o.Tiers), CustomUnitAmount: decodeCustom(o.CustomUnitAmount),
		}
	}
	return catalog.PriceSighting{Price: p, StripeID: j.ID, Created: j.Created, Seen: seen}
}

// decodeDefaultPrice reads the default price from Stripe's JSON of a product. It returns nil if the JSON has only the
// price's id.
func decodeDefaultPrice(data []byte, seen int64) (*catalog.PriceSighting, error) {
	var j struct {
		DefaultPrice json.RawMessage `json:"default_price"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("decode Stripe's product: %w", err)
	}
	if len(j.DefaultPrice) == 0 || j.DefaultPrice[0] != '{' {
		return nil, nil
	}
	s, _, err := DecodePrice(j.DefaultPrice, seen)
	return &s, err
}

func decodeTiers(in []tierJSON) []*catalogv1.PriceTier {
	var out []*catalogv1.PriceTier
	for _, t := range in {
		out = append(out, &catalogv1.PriceTier{
			UpTo: t.UpTo.String(), UnitAmount: t.UnitAmount.String(), UnitAmountDecimal: t.UnitAmountDecimal.String(),
			FlatAmount: t.FlatAmount.String(), FlatAmountDecimal: t.FlatAmountDecimal.String(),
		})
	}
	return out
}

func decodeCustom(c *customJSON) *catalogv1.CustomUnitAmount {
	if c == nil {
		return nil
	}
	return &catalogv1.CustomUnitAmount{
		Maximum: c.Maximum.String(),
		Minimum: c.Minimum.String(),
		Preset:  c.Preset.String(),
	}
}
