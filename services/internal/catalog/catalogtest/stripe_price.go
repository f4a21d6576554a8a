package catalogtest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

func (s *Stripe) price(id string) *price {
	i := slices.IndexFunc(s.prices, func(p *price) bool { return p.id == id })
	if i < 0 {
		return nil
	}
	return s.prices[i]
}

func (s *Stripe) createPrice(f *form) (string, error) {
	product := f.take("product")
	if s.products[product] == nil {
		return "", refuse("no such product: %s", product)
	}
	p, err := s.newPrice(product, f)
	if err != nil {
		return "", err
	}
	s.prices = append(s.prices, p)
	return p.id, nil
}

func (s *Stripe) newPrice(product string, f *form) (*price, error) {
	p := &price{
		Price:   &catalogv1.Price{Active: new(true), TaxBehavior: "unspecified"},
		product: product,
		created: epoch + s.now,
	}
	p.Currency = f.take("currency")
	if len(p.Currency) < 3 || strings.ToLower(p.Currency) != p.Currency {
		return nil, refuse("invalid currency: %s", p.Currency)
	}
	p.BillingScheme = cmp.Or(f.take("billing_scheme"), "per_unit")
	p.TiersMode = f.take("tiers_mode")
	f.readAmount("", p.Price)
	if f.has("recurring") {
		p.Recurring = &catalogv1.Recurring{}
		f.readStructure("recurring", p.Recurring)
		p.Recurring.UsageType = cmp.Or(p.Recurring.GetUsageType(), "licensed")
		p.Recurring.IntervalCount = max(p.Recurring.GetIntervalCount(), 1)
		if p.Recurring.GetUsageType() == "metered" && p.Recurring.GetMeter() == "" {
			p.Recurring.AggregateUsage = new(cmp.Or(p.Recurring.GetAggregateUsage(), "sum"))
		}
	}
	if f.has("transform_quantity") {
		p.TransformQuantity = &catalogv1.TransformQuantity{}
		f.readStructure("transform_quantity", p.TransformQuantity)
	}
	if err := checkNewPrice(p.Price); err != nil {
		return nil, err
	}
	p.id = "price_" + strconv.FormatInt(s.now, 10)
	if err := s.writePrice(p, f); err != nil {
		return nil, err
	}
	return p, nil
}

func checkNewPrice(p *catalogv1.Price) error {
	tiered := p.GetBillingScheme() == "tiered"
	if err := checkAmount(p, tiered); err != nil {
		return err
	}
	if tiered && p.GetRecurring() == nil {
		return refuse("tiered prices recur")
	}
	if tiered && p.GetTiersMode() != "graduated" && p.GetTiersMode() != "volume" {
		return refuse("tiers_mode must be graduated or volume")
	}
	if !tiered && p.GetTiersMode() != "" {
		return refuse("tiers_mode is for tiered prices")
	}
	if t := p.GetTransformQuantity(); t != nil {
		if tiered {
			return refuse("transform_quantity cannot be combined with tiers")
		}
		if t.GetDivideBy() < 1 || t.GetRound() != "up" && t.GetRound() != "down" {
			return refuse("transform_quantity needs divide_by and round")
		}
	}
	r := p.GetRecurring()
	if r == nil {
		return nil
	}
	if p.GetCustomUnitAmount() != nil {
		return refuse("custom_unit_amount cannot be combined with recurring")
	}
	longest, ok := map[string]uint32{"day": 1095, "week": 156, "month": 36, "year": 3}[r.GetInterval()]
	if !ok || r.GetIntervalCount() > longest {
		return refuse("recurring: no such interval: %d %s", r.GetIntervalCount(), r.GetInterval())
	}
	if r.GetUsageType() != "licensed" && r.GetUsageType() != "metered" {
		return refuse("no such usage_type: %s", r.GetUsageType())
	}
	if r.GetAggregateUsage() != "" && (r.GetUsageType() != "metered" || r.GetMeter() != "") {
		return refuse("aggregate_usage is for metered prices without a meter")
	}
	if r.GetMeter() != "" && r.GetUsageType() != "metered" {
		return refuse("a meter is for metered prices")
	}
	return nil
}

func (s *Stripe) updatePrice(id string, f *form) (string, error) {
	current := s.price(id)
	if current == nil {
		return "", refuse("no such price: %s", id)
	}
	p := &price{proto.CloneOf(current.Price), current.id, current.product, current.created}
	if err := s.writePrice(p, f); err != nil {
		return "", err
	}
	current.Price = p.Price
	return id, nil
}

// writePrice writes the fields that an existing price accepts. finish refuses the rest.
func (s *Stripe) writePrice(p *price, f *form) error {
	f.boolean("active", func(b bool) { p.Active = &b })
	if !p.GetActive() && s.products[p.product].GetDefaultPrice() == p.id {
		return refuse("price %s cannot be archived because it is the default price of its product", p.id)
	}
	for _, name := range plainPriceTexts() {
		if f.has(name) {
			var value string
			f.text(name, 5000, &value)
			setText(p.Price, name, value)
		}
	}
	if f.has("tax_behavior") {
		behavior := f.take("tax_behavior")
		if err := moveTaxBehavior(p.TaxBehavior, behavior); err != nil {
			return err
		}
		p.TaxBehavior = behavior
	}
	if err := s.writeCurrencyOptions(p, f); err != nil {
		return err
	}
	metadata, err := f.metadata(p.Metadata)
	if err != nil {
		return err
	}
	p.Metadata = metadata
	transfer := f.take("transfer_lookup_key") == "true"
	var holder *price
	if f.has("lookup_key") {
		f.text("lookup_key", 200, &p.LookupKey)
		for _, other := range s.prices {
			if other.id != p.id && p.LookupKey != "" && other.GetLookupKey() == p.LookupKey {
				holder = other
			}
		}
		if holder != nil && !transfer {
			return refuse("price %s already uses lookup key %s", holder.id, p.LookupKey)
		}
	}
	if err := f.finish(); err != nil {
		return err
	}
	if holder != nil {
		holder.LookupKey = ""
	}
	return nil
}

func moveTaxBehavior(from, to string) error {
	if to != "inclusive" && to != "exclusive" && to != "unspecified" {
		return refuse("no such tax_behavior: %s", to)
	}
	if from != "unspecified" && from != to {
		return refuse("tax_behavior cannot be changed from %s to %s", from, to)
	}
	return nil
}

func (s *Stripe) writeCurrencyOptions(p *price, f *form) error {
	for _, code := range f.indices("currency_options") {
		if code == p.Currency {
			return refuse("currency_options cannot hold the price's own currency")
		}
		prefix := "currency_options[" + code + "]"
		o := &catalogv1.CurrencyOption{TaxBehavior: cmp.Or(p.CurrencyOptions[code].GetTaxBehavior(), "unspecified")}
		if f.has(prefix + "[tax_behavior]") {
			behavior := f.take(prefix + "[tax_behavior]")
			if err := moveTaxBehavior(o.TaxBehavior, behavior); err != nil {
				return err
			}
			o.TaxBehavior = behavior
		}
		f.readAmount(prefix, o)
		if err := checkAmount(o, p.BillingScheme == "tiered"); err != nil {
			return err
		}
		if (o.CustomUnitAmount == nil) != (p.CustomUnitAmount == nil) {
			return refuse("custom_unit_amount in currency %s only", code)
		}
		if p.CurrencyOptions == nil {
			p.CurrencyOptions = map[string]*catalogv1.CurrencyOption{}
		}
		p.CurrencyOptions[code] = o
	}
	return nil
}

// DeletePrice deletes a price that nobody has used.
func (s *Stripe) DeletePrice(id string) error {
	p := s.price(id)
	if p == nil {
		return refuse("no such price: %s", id)
	}
	if s.products[p.product].GetDefaultPrice() == id {
		return refuse("price %s is the default price of its product", id)
	}
	s.now++
	s.prices = slices.DeleteFunc(s.prices, func(p *price) bool { return p.id == id })
	return nil
}

// PriceIDs returns Stripe's ids of a product's prices, oldest first. An empty product returns those of all products.
func (s *Stripe) PriceIDs(product string) []string {
	var out []string
	for _, p := range s.prices {
		if product == "" || p.product == product {
			out = append(out, p.id)
		}
	}
	return out
}

// Price reads a price as Stripe writes one. For example, a whole amount is in both fields.
func (s *Stripe) Price(stripeID string) catalog.PriceSighting {
	p := s.price(stripeID)
	if p == nil {
		return catalog.PriceSighting{StripeID: stripeID, Seen: epoch + s.now, Fetched: true}
	}
	out := proto.CloneOf(p.Price)
	out.Id = out.GetMetadata()[catalog.PriceMarker]
	s.writeBack(out, &out.UnitAmount, &out.UnitAmountDecimal)
	for _, o := range out.GetCurrencyOptions() {
		s.writeBack(o, &o.UnitAmount, &o.UnitAmountDecimal)
	}
	return catalog.PriceSighting{Price: out, StripeID: p.id, Created: p.created, Seen: epoch + s.now, Fetched: true}
}

func (s *Stripe) writeBack(p amounts, whole, fractional *string) {
	bothForms(whole, fractional)
	for _, t := range p.GetTiers() {
		bothForms(&t.UnitAmount, &t.UnitAmountDecimal)
		bothForms(&t.FlatAmount, &t.FlatAmountDecimal)
		if s.ZeroTiers && t.GetUnitAmountDecimal() == "" {
			t.UnitAmount, t.UnitAmountDecimal = "0", "0"
		}
		if s.ZeroTiers && t.GetFlatAmountDecimal() == "" {
			t.FlatAmount, t.FlatAmountDecimal = "0", "0"
		}
	}
}

// bothForms writes an amount as Stripe does: always as a decimal, and also as a whole number if it is one.
func bothForms(whole, fractional *string) {
	if *fractional == "" {
		*fractional = *whole
	}
	*fractional = plain(*fractional)
	if *whole = ""; !strings.Contains(*fractional, ".") {
		*whole = *fractional
	}
}
