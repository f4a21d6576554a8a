package stripeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/catalog"
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
	PackageDimensions   *dimensionsJSON   `json:"package_dimensions"`
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

type dimensionsJSON struct {
	Height json.Number `json:"height"`
	Length json.Number `json:"length"`
	Weight json.Number `json:"weight"`
	Width  json.Number `json:"width"`
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
	Recurring         *recurringJSON                `json:"recurring"`
	TaxBehavior       string                        `json:"tax_behavior"`
	Tiers             []tierJSON                    `json:"tiers"`
	TiersMode         string                        `json:"tiers_mode"`
	TransformQuantity *transformJSON                `json:"transform_quantity"`
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

type recurringJSON struct {
	Interval      string `json:"interval"`
	IntervalCount uint32 `json:"interval_count"`
	Meter         string `json:"meter"`
	UsageType     string `json:"usage_type"`
}

type tierJSON struct {
	amountJSON
	FlatAmount        json.Number `json:"flat_amount"`
	FlatAmountDecimal json.Number `json:"flat_amount_decimal"`
	UpTo              json.Number `json:"up_to"`
}

type transformJSON struct {
	DivideBy uint64 `json:"divide_by"`
	Round    string `json:"round"`
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

// DecodeProduct reads a product from Stripe's JSON.
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
		Id: j.ID, Active: new(j.Active), Name: j.Name, Description: j.Description, Images: j.Images, Metadata: j.Metadata,
		Shippable: j.Shippable, StatementDescriptor: j.StatementDescriptor, TaxCode: string(j.TaxCode),
		UnitLabel: j.UnitLabel, Url: j.URL, DefaultPrice: string(j.DefaultPrice),
	}
	for _, f := range append(j.Features, j.MarketingFeatures...) {
		p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: f.Name})
	}
	if d := j.PackageDimensions; d != nil {
		p.PackageDimensions = &catalogv1.PackageDimensions{
			Height: d.Height.String(), Length: d.Length.String(), Weight: d.Weight.String(), Width: d.Width.String(),
		}
	}
	return catalog.ProductSighting{Product: p, Updated: j.Updated, Seen: seen}
}

// DecodePrice reads a price, and the id of its product, from Stripe's JSON.
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
	if r := j.Recurring; r != nil {
		p.Recurring = &catalogv1.Recurring{Interval: r.Interval, IntervalCount: r.IntervalCount, UsageType: r.UsageType, Meter: r.Meter}
	}
	if t := j.TransformQuantity; t != nil {
		p.TransformQuantity = &catalogv1.TransformQuantity{DivideBy: t.DivideBy, Round: t.Round}
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
			UnitAmount: o.UnitAmount.String(), UnitAmountDecimal: o.UnitAmountDecimal.String(), TaxBehavior: o.TaxBehavior,
			Tiers: decodeTiers(o.Tiers), CustomUnitAmount: decodeCustom(o.CustomUnitAmount),
		}
	}
	return catalog.PriceSighting{Price: p, StripeID: j.ID, Created: j.Created, Seen: seen}
}

// decodeDefaultPrice reads the default price that Stripe shows in its JSON of a product; nil if it shows no more than an
// id.
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
	return &catalogv1.CustomUnitAmount{Maximum: c.Maximum.String(), Minimum: c.Minimum.String(), Preset: c.Preset.String()}
}

// Event is a Stripe event about a product or a price.
type Event struct {
	ID       string
	Type     string
	Created  int64
	Livemode bool
	// Account is set on events of connected accounts.
	Account        string
	IdempotencyKey string
	// Object is data.object, as Stripe sent it.
	Object json.RawMessage
	// ObjectID is the product's id or Stripe's id of the price.
	ObjectID  string
	ProductID string
	// Changed are the names in data.previous_attributes.
	Changed []string
	// Raw is the whole event, as Stripe sent it.
	Raw json.RawMessage
	// Seen is the second of Stripe's clock at which the event was listed; 0 of one that came otherwise.
	Seen int64
}

// DecodeEvent reads an event about a product or price; ok is false for one about anything else.
func DecodeEvent(raw []byte) (e Event, ok bool, err error) {
	var j struct {
		ID       string          `json:"id"`
		Type     string          `json:"type"`
		Created  int64           `json:"created"`
		Livemode bool            `json:"livemode"`
		Account  string          `json:"account"`
		Request  json.RawMessage `json:"request"`
		Data     struct {
			Object   json.RawMessage            `json:"object"`
			Previous map[string]json.RawMessage `json:"previous_attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return Event{}, false, fmt.Errorf("decode Stripe's event: %w", err)
	}
	if j.ID == "" || j.Type == "" {
		return Event{}, false, errors.New("not a Stripe event: it has no id or type")
	}
	var object struct {
		ID      string    `json:"id"`
		Object  string    `json:"object"`
		Product reference `json:"product"`
	}
	if len(j.Data.Object) > 0 {
		if err := json.Unmarshal(j.Data.Object, &object); err != nil {
			return Event{}, false, fmt.Errorf("decode the object of Stripe's event %s: %w", j.ID, err)
		}
	}
	e = Event{
		ID: j.ID, Type: j.Type, Created: j.Created, Livemode: j.Livemode, Account: j.Account,
		Object: j.Data.Object, ObjectID: object.ID, Raw: raw,
	}
	for name := range j.Data.Previous {
		e.Changed = append(e.Changed, name)
	}
	// Very old API versions write the request as a bare id, without a key.
	var request struct {
		IdempotencyKey string `json:"idempotency_key"`
	}
	if json.Unmarshal(j.Request, &request) == nil {
		e.IdempotencyKey = request.IdempotencyKey
	}
	switch object.Object {
	case "product":
		e.ProductID = object.ID
	case "price":
		e.ProductID = string(object.Product)
	}
	return e, e.ProductID != "", nil
}

// CreatedText is the event's time in the form of Stripe's list parameters.
func (e Event) CreatedText() string { return strconv.FormatInt(e.Created, 10) }
