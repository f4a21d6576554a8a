package catalogtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// RefusedError is Stripe's answer to a call that breaks one of its rules. The call changed nothing.
type RefusedError struct{ Message string }

func (e *RefusedError) Error() string { return "Stripe refuses: " + e.Message }

func refuse(format string, args ...any) error {
	return &RefusedError{fmt.Sprintf(format, args...)}
}

// Stripe is a model of the products and prices of one Stripe account. The zero value is an empty account.
type Stripe struct {
	// ZeroTiers makes a tier with one kind of amount return zero for the other kind. Without it, the other amount is
	// absent.
	ZeroTiers bool

	now      int64
	products map[string]*product
	prices   []*price
	// managed are the metadata keys that Driftless wrote, by the id of the object.
	managed map[string][]string
}

type product struct {
	*catalogv1.Product
	updated int64
}

type price struct {
	*catalogv1.Price
	id, product string
	created     int64
}

// epoch is the second of Stripe's clock before the first call.
const epoch = 1_700_000_000

// Clone returns an equal account that shares nothing with this one.
func (s *Stripe) Clone() *Stripe {
	c := &Stripe{ZeroTiers: s.ZeroTiers, now: s.now, products: map[string]*product{}, managed: map[string][]string{}}
	for id, p := range s.products {
		c.products[id] = &product{proto.CloneOf(p.Product), p.updated}
	}
	for _, p := range s.prices {
		c.prices = append(c.prices, &price{proto.CloneOf(p.Price), p.id, p.product, p.created})
	}
	for id, keys := range s.managed {
		c.managed[id] = slices.Clone(keys)
	}
	return c
}

// Pass applies steps in order, as push does, and resolves references to prices that earlier steps create. It returns
// how many succeeded, and Stripe's refusal of the next one, if any.
func (s *Stripe) Pass(steps []catalog.Step) (done int, err error) {
	created := map[string]string{}
	for i, step := range steps {
		id, err := s.apply(step, created)
		if err != nil {
			return i, fmt.Errorf("%s %v: %w", step, step.Params, err)
		}
		switch step.Kind {
		case catalog.CreatePrice:
			created[step.PriceID] = id
		case catalog.CreateProduct:
			created[step.PriceID] = s.products[id].GetDefaultPrice()
		case catalog.UpdateProduct, catalog.UpdatePrice:
		}
	}
	return len(steps), nil
}

func (s *Stripe) apply(step catalog.Step, created map[string]string) (id string, err error) {
	if !slices.IsSortedFunc(step.Params, func(a, b catalog.Param) int { return strings.Compare(a.Name, b.Name) }) {
		return "", errors.New("the parameters are not in the order of their names")
	}
	params := make([]catalog.Param, len(step.Params))
	for i, p := range step.Params {
		if p.PriceRef != "" {
			stripeID, ok := created[p.PriceRef]
			if !ok {
				return "", fmt.Errorf("%s refers to price %s, which no step before created", p.Name, p.PriceRef)
			}
			p = catalog.Param{Name: p.Name, Value: stripeID}
		}
		params[i] = p
	}
	object := step.ProductID
	if step.Kind == catalog.UpdatePrice {
		if object = step.StripePriceID; object == "" {
			object = created[step.PriceID]
		}
	}
	if id, err = s.Call(step.Kind, object, params...); err != nil {
		return "", err
	}
	if s.managed == nil {
		s.managed = map[string][]string{}
	}
	s.managed[id] = slices.Clone(step.ManagedMetadata)
	if step.Kind == catalog.CreateProduct && step.PriceID != "" {
		s.managed[s.products[id].GetDefaultPrice()] = slices.Clone(step.PriceMetadata)
	}
	return id, nil
}

// Call makes one call, as any client may, and returns the id of the object. object is the id of the product or Stripe's
// id of the price to update. It is ignored when one is created.
func (s *Stripe) Call(kind catalog.StepKind, object string, params ...catalog.Param) (id string, err error) {
	form := &form{values: map[string]string{}}
	for _, p := range params {
		if _, twice := form.values[p.Name]; twice {
			return "", refuse("%s is given twice", p.Name)
		}
		form.values[p.Name] = p.Value
	}
	s.now++
	if err := form.checkForms(); err != nil {
		return "", err
	}
	switch kind {
	case catalog.CreateProduct:
		id, err = s.createProduct(form)
	case catalog.UpdateProduct:
		id, err = s.updateProduct(object, form)
	case catalog.CreatePrice:
		id, err = s.createPrice(form)
	case catalog.UpdatePrice:
		id, err = s.updatePrice(object, form)
	default:
		err = refuse("there is no such operation: %s", kind)
	}
	return id, err
}

func (s *Stripe) createProduct(f *form) (string, error) {
	p := &catalogv1.Product{Id: f.take("id"), Active: new(true)}
	if p.Id == "" {
		return "", refuse("this model wants ids of products to be chosen")
	}
	if s.products[p.Id] != nil {
		return "", refuse("product %s already exists", p.Id)
	}
	if _, given := f.values["name"]; !given {
		return "", refuse("missing required param: name")
	}
	if _, given := f.values["default_price"]; given {
		return "", refuse("received unknown parameter: default_price")
	}
	var first *price
	if f.has("default_price_data") {
		var err error
		if first, err = s.defaultPrice(p.Id, f.hash("default_price_data")); err != nil {
			return "", err
		}
	}
	if err := s.writeProduct(p, f); err != nil {
		return "", err
	}
	if s.products == nil {
		s.products = map[string]*product{}
	}
	s.products[p.Id] = &product{p, epoch + s.now}
	if first != nil {
		s.prices = append(s.prices, first)
		p.DefaultPrice = first.id
	}
	return p.Id, nil
}

// defaultPriceFields are all fields that a product's default_price_data can have.
var defaultPriceFields = []string{
	"currency", "currency_options", "custom_unit_amount", "metadata", "recurring[interval]",
	"recurring[interval_count]", "tax_behavior",
	"unit_amount", "unit_amount_decimal",
}

func (s *Stripe) defaultPrice(product string, f *form) (*price, error) {
	for name := range f.values {
		if !slices.ContainsFunc(defaultPriceFields,
			func(field string) bool { return name == field || strings.HasPrefix(name, field+"[") }) {
			return nil, refuse("received unknown parameter: default_price_data: %s", name)
		}
	}
	return s.newPrice(product, f)
}

func (s *Stripe) updateProduct(id string, f *form) (string, error) {
	held := s.products[id]
	if held == nil {
		return "", refuse("no such product: %s", id)
	}
	p := proto.CloneOf(held.Product)
	if err := s.writeProduct(p, f); err != nil {
		return "", err
	}
	s.products[id] = &product{p, epoch + s.now}
	return id, nil
}

func (s *Stripe) writeProduct(p *catalogv1.Product, f *form) error {
	f.boolean("active", func(b bool) { p.Active = &b })
	f.text("name", 5000, &p.Name)
	if p.Name == "" {
		return refuse("name cannot be empty")
	}
	f.text("description", 40000, &p.Description)
	f.text("tax_code", 100, &p.TaxCode)
	f.text("unit_label", 12, &p.UnitLabel)
	f.text("url", 5000, &p.Url)
	if f.has("statement_descriptor") {
		f.text("statement_descriptor", 22, &p.StatementDescriptor)
		if strings.ContainsAny(p.StatementDescriptor, `<>\"'`) {
			return refuse("statement_descriptor holds a forbidden character")
		}
		if p.StatementDescriptor != "" &&
			!strings.ContainsFunc(p.StatementDescriptor, func(r rune) bool { return r|32 >= 'a' && r|32 <= 'z' }) {
			return refuse("statement_descriptor must hold a letter")
		}
		p.StatementDescriptor = upperASCII(p.StatementDescriptor)
	}
	f.boolean("shippable", func(b bool) { p.Shippable = &b })
	if f.has("images") {
		p.Images = f.list("images", "")
	}
	if len(p.Images) > 8 {
		return refuse("more than 8 images")
	}
	if f.has("marketing_features") {
		p.MarketingFeatures = nil
		for _, name := range f.list("marketing_features", "[name]") {
			if name == "" || len([]rune(name)) > 80 {
				return refuse("the name of a marketing feature must have 1 to 80 characters")
			}
			p.MarketingFeatures = append(p.MarketingFeatures, &catalogv1.MarketingFeature{Name: name})
		}
	}
	if len(p.MarketingFeatures) > 15 {
		return refuse("more than 15 marketing features")
	}
	if f.has("package_dimensions") {
		if f.take("package_dimensions"); f.has("package_dimensions") {
			p.PackageDimensions = &catalogv1.PackageDimensions{
				Height: f.decimal("package_dimensions[height]", 2), Length: f.decimal("package_dimensions[length]", 2),
				Weight: f.decimal("package_dimensions[weight]", 2), Width: f.decimal("package_dimensions[width]", 2),
			}
		} else {
			p.PackageDimensions = nil
		}
	}
	metadata, err := f.metadata(p.Metadata)
	if err != nil {
		return err
	}
	p.Metadata = metadata
	if f.has("default_price") {
		p.DefaultPrice = f.take("default_price")
		if p.DefaultPrice != "" {
			target := s.price(p.DefaultPrice)
			if target == nil || target.product != p.Id {
				return refuse("no such price of product %s: %s", p.Id, p.DefaultPrice)
			}
			// Stripe does not document that an archived price may be the default, so Driftless must not rely on it.
			if !target.GetActive() {
				return refuse("price %s is archived and cannot be the default", p.DefaultPrice)
			}
		}
	}
	return f.finish()
}

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
	held := s.price(id)
	if held == nil {
		return "", refuse("no such price: %s", id)
	}
	p := &price{proto.CloneOf(held.Price), held.id, held.product, held.created}
	if err := s.writePrice(p, f); err != nil {
		return "", err
	}
	held.Price = p.Price
	return id, nil
}

// writePrice writes the fields that an existing price accepts. finish refuses the rest.
func (s *Stripe) writePrice(p *price, f *form) error {
	f.boolean("active", func(b bool) { p.Active = &b })
	if !p.GetActive() && s.products[p.product].GetDefaultPrice() == p.id {
		return refuse("price %s cannot be archived because it is the default price of its product", p.id)
	}
	f.text("nickname", 5000, &p.Nickname)
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

// Operations that only people make, in the dashboard.

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

// DeleteProduct deletes a product without prices.
func (s *Stripe) DeleteProduct(id string) error {
	if s.products[id] == nil {
		return refuse("no such product: %s", id)
	}
	if len(s.PriceIDs(id)) > 0 {
		return refuse("product %s cannot be deleted because it has one or more user-created prices", id)
	}
	s.now++
	delete(s.products, id)
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

// Product reads a product. The sighting is empty if the account has no product with this id.
func (s *Stripe) Product(id string) catalog.ProductSighting {
	p := s.products[id]
	if p == nil {
		return catalog.ProductSighting{Seen: epoch + s.now, Fetched: true}
	}
	return catalog.ProductSighting{
		Product: proto.CloneOf(p.Product),
		Updated: p.updated,
		Seen:    epoch + s.now,
		Fetched: true,
	}
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

// Whole reads a product and all its prices, latest first.
func (s *Stripe) Whole(id string) (catalog.ProductSighting, []catalog.PriceSighting) {
	var prices []catalog.PriceSighting
	for _, stripeID := range slices.Backward(s.PriceIDs(id)) {
		prices = append(prices, s.Price(stripeID))
	}
	return s.Product(id), prices
}

// Observed returns the state that push would have recorded of a product if it had missed nothing.
func (s *Stripe) Observed(id string) *catalogv1.Observed {
	p, prices := s.Whole(id)
	o := &catalogv1.Observed{ProductId: id, Product: p.Product, ProductUpdated: p.Updated, ProductSeen: p.Seen}
	if p.Product == nil {
		return o
	}
	o.ManagedMetadata = slices.Clone(s.managed[id])
	for _, sighting := range prices {
		o.Prices = append(o.Prices, &catalogv1.ObservedPrice{
			StripeId: sighting.StripeID, Price: sighting.Price, Created: sighting.Created, Seen: sighting.Seen,
			ManagedMetadata: slices.Clone(s.managed[sighting.StripeID]),
		})
	}
	return o
}

func upperASCII(s string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		if r < 0x80 {
			b.WriteRune(r)
		}
	}
	return b.String()
}
