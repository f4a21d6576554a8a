package catalogtest

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

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
	current := s.products[id]
	if current == nil {
		return "", refuse("no such product: %s", id)
	}
	p := proto.CloneOf(current.Product)
	if err := s.writeProduct(p, f); err != nil {
		return "", err
	}
	s.products[id] = &product{p, epoch + s.now}
	return id, nil
}

// textLimits are the greatest lengths of text fields in characters. Other texts can have 5,000.
var textLimits = map[string]int{"description": 40000, "statement_descriptor": 22, "tax_code": 100, "unit_label": 12}

func (s *Stripe) writeProduct(p *catalogv1.Product, f *form) error {
	f.boolean("active", func(b bool) { p.Active = &b })
	hasDescriptor := f.has("statement_descriptor")
	for _, field := range catalog.ProductFields() {
		if field.Type == catalog.TypeText && f.has(field.Name) {
			var value string
			f.text(field.Name, cmp.Or(textLimits[field.Name], 5000), &value)
			setText(p, field.Name, value)
		}
	}
	if p.Name == "" {
		return refuse("name cannot be empty")
	}
	if hasDescriptor {
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

func upperASCII(s string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		if r < 0x80 {
			b.WriteRune(r)
		}
	}
	return b.String()
}
