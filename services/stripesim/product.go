package stripesim

import (
	"net/http"
	"regexp"
	"strings"
	"unicode"
)

// product is a stored product. It is never modified, only replaced.
type product struct {
	ID           string            `json:"id"`
	Active       bool              `json:"active,omitempty"`
	Created      int64             `json:"created"`
	DefaultPrice string            `json:"default_price,omitempty"`
	Description  *string           `json:"description,omitempty"`
	Features     []string          `json:"features,omitempty"`
	Images       []string          `json:"images,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Name         string            `json:"name"`
	Package      *dimensions       `json:"package,omitempty"`
	Shippable    *bool             `json:"shippable,omitempty"`
	Descriptor   *string           `json:"descriptor,omitempty"`
	TaxCode      *string           `json:"tax_code,omitempty"`
	Type         string            `json:"type,omitempty"`
	UnitLabel    *string           `json:"unit_label,omitempty"`
	Updated      int64             `json:"updated"`
	URL          *string           `json:"url,omitempty"`
}

type dimensions struct {
	Height number `json:"height"`
	Length number `json:"length"`
	Weight number `json:"weight"`
	Width  number `json:"width"`
}

// productJSON is a product in an answer.
type productJSON struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Active              bool              `json:"active"`
	Created             int64             `json:"created"`
	DefaultPrice        any               `json:"default_price"`
	Description         *string           `json:"description"`
	Features            *[]featureJSON    `json:"features,omitempty"`
	Images              []string          `json:"images"`
	Livemode            bool              `json:"livemode"`
	MarketingFeatures   *[]featureJSON    `json:"marketing_features,omitempty"`
	Metadata            map[string]string `json:"metadata"`
	Name                string            `json:"name"`
	PackageDimensions   *dimensions       `json:"package_dimensions"`
	Shippable           *bool             `json:"shippable"`
	StatementDescriptor *string           `json:"statement_descriptor"`
	TaxCode             any               `json:"tax_code"`
	Type                string            `json:"type,omitempty"`
	UnitLabel           *string           `json:"unit_label"`
	Updated             int64             `json:"updated"`
	URL                 *string           `json:"url"`
}

type featureJSON struct {
	Name string `json:"name"`
}

type deletedJSON struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// marketingFeatures is the API version that renamed a product's features and stopped showing its type.
const marketingFeatures = "2024-04-10"

var featureList = shape{kind: list, max: 15, item: &shape{kind: hash, fields: map[string]shape{
	"name": {max: 80, required: true},
}}}

var packageDimensions = map[string]shape{
	"height": {kind: measure, required: true}, "length": {kind: measure, required: true},
	"weight": {kind: measure, required: true}, "width": {kind: measure, required: true},
}

const nullable = "the field is null where it is not set, and Stripe takes an empty value for an attempt to unset"

var expandParam = shape{kind: list, item: &shape{max: 5000}}

var createProductParams = map[string]shape{
	"active": {kind: boolean},
	"default_price_data": {kind: hash, fields: map[string]shape{
		"currency":           {kind: currencyCode, required: true},
		"currency_options":   currencyOptionsParam,
		"custom_unit_amount": versioned(customUnitAmountParam, "2024-09-30", ""),
		"metadata":           {kind: metadata, from: "2025-02-24"},
		"recurring": {kind: hash, fields: map[string]shape{
			"interval": {kind: enumeration, choices: intervals, required: true}, "interval_count": {kind: integer},
		}},
		"tax_behavior":        taxBehaviorParam,
		"unit_amount":         {kind: amount},
		"unit_amount_decimal": {kind: amountDecimal},
	}},
	"description":          {max: 40000},
	"expand":               expandParam,
	"features":             versioned(featureList, "", marketingFeatures),
	"id":                   {max: 5000},
	"images":               {kind: list, max: 8, item: &shape{kind: address}},
	"marketing_features":   versioned(featureList, marketingFeatures, ""),
	"metadata":             {kind: metadata},
	"name":                 {max: 5000, required: true},
	"package_dimensions":   {kind: hash, fields: packageDimensions},
	"shippable":            {kind: boolean},
	"statement_descriptor": {max: 22},
	"tax_code":             {},
	"type":                 {kind: enumeration, choices: []string{"good", "service"}, before: marketingFeatures},
	"unit_label":           {max: 12},
	"url":                  {kind: address, max: 5000},
}

var updateProductParams = map[string]shape{
	"active": {kind: boolean},
	"default_price": {
		max: 5000, clears: true,
		undocumented: "Stripe's maintainers say that an empty value clears it (github.com/stripe/stripe-python/issues/658)",
	},
	"description":          {max: 40000, clears: true},
	"expand":               expandParam,
	"features":             clearable(versioned(featureList, "", marketingFeatures)),
	"images":               {kind: list, max: 8, item: &shape{kind: address}, clears: true},
	"marketing_features":   clearable(versioned(featureList, marketingFeatures, "")),
	"metadata":             {kind: metadata, clears: true},
	"name":                 {max: 5000},
	"package_dimensions":   {kind: hash, fields: packageDimensions, clears: true},
	"shippable":            {kind: boolean},
	"statement_descriptor": {max: 22, clears: true, undocumented: nullable},
	"tax_code":             {clears: true},
	"unit_label":           {max: 12, clears: true},
	"url":                  {kind: address, max: 5000, clears: true},
}

func versioned(s shape, from, before string) shape {
	s.from, s.before = from, before
	return s
}

func clearable(s shape) shape {
	s.clears = true
	return s
}

// productID matches the ids that a caller may choose.
var productID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkProductID(param, id string) *refusal {
	if productID.MatchString(id) {
		return nil
	}
	return invalid("", param, "Invalid %s: %s. Only letters, digits, underscores and hyphens are allowed.", param, id)
}

func (t *tx) createProduct(c *call) (any, *refusal) {
	p := &product{
		ID: c.form.text("id"), Active: true, Created: c.now.Unix(), Updated: c.now.Unix(), Name: c.form.text("name"),
		Type: "service",
	}
	if p.ID == "" {
		p.ID = newID("prod_", 14)
	} else if r := checkProductID("id", p.ID); r != nil {
		return nil, r
	}
	if s := c.form.text("type"); s != "" {
		p.Type = s
	}
	if r := p.write(c.form); r != nil {
		return nil, r
	}
	var first *price
	if data := c.form.get("default_price_data"); data != nil {
		var r *refusal
		if first, r = newPrice(data, p.ID, c.version, c.now); r != nil {
			return nil, r
		}
		p.DefaultPrice = first.ID
	}
	if t.products.get(p.ID) != nil || t.sim.cfg.RefuseDeletedIDs && t.products.wasDeleted(p.ID) {
		return nil, refuse("resource_already_exists", "id", "Product already exists.")
	}
	t.putProduct(p)
	t.event(c, "product.created", t.renderProduct(p, nil, t.sim.cfg.APIVersion), nil)
	if first != nil {
		t.putPrice(first)
		t.event(c, "price.created", t.renderPrice(first, nil, t.sim.cfg.APIVersion), nil)
	}
	return t.renderProduct(p, c.expand, c.version), nil
}

func (t *tx) updateProduct(c *call) (any, *refusal) {
	old := t.products.get(c.id)
	if old == nil {
		return nil, t.notFound(c, "product")
	}
	p := *old
	if name := c.form.get("name"); name != nil {
		p.Name = name.value
	}
	if r := p.write(c.form); r != nil {
		return nil, r
	}
	if f := c.form.get("default_price"); f != nil {
		if r := t.checkDefault(&p, f.value); r != nil {
			return nil, r
		}
		p.DefaultPrice = f.value
	}
	t.replaceProduct(c, old, &p)
	return t.renderProduct(t.products.get(c.id), c.expand, c.version), nil
}

// replaceProduct stores a product and records an event, unless nothing differs.
func (t *tx) replaceProduct(c *call, old, p *product) {
	before := t.renderProduct(old, nil, t.sim.cfg.APIVersion)
	if changes(before, t.renderProduct(p, nil, t.sim.cfg.APIVersion)) == nil {
		return
	}
	p.Updated = c.now.Unix()
	after := t.renderProduct(p, nil, t.sim.cfg.APIVersion)
	t.putProduct(p)
	t.event(c, "product.updated", after, changes(before, after))
}

func (t *tx) checkDefault(p *product, id string) *refusal {
	if id == "" {
		return nil
	}
	switch price := t.prices.get(id); {
	case price == nil:
		return missing(http.StatusBadRequest, "price", id, "default_price")
	case price.Product != p.ID:
		return refuse("", "default_price",
			"The price specified (%s) belongs to the product %s. The default price must belong to the product %s.", id,
			price.Product, p.ID)
	case !price.Active:
		return refuse("", "default_price", "The price specified is inactive. This field only accepts active prices.")
	}
	return nil
}

// write sets the fields that are written alike when a product is created and when it is changed.
func (p *product) write(f *field) *refusal {
	if active, sent := f.flag("active"); sent {
		p.Active = active
	}
	if shippable, sent := f.flag("shippable"); sent {
		p.Shippable = &shippable
	}
	for name, to := range map[string]**string{
		"description": &p.Description,
		"unit_label":  &p.UnitLabel,
		"url":         &p.URL,
	} {
		if f.get(name) != nil {
			*to = f.optional(name)
		}
	}
	if images := f.get("images"); images != nil {
		p.Images = nil
		for _, image := range images.items() {
			p.Images = append(p.Images, image.value)
		}
	}
	for _, name := range []string{"features", "marketing_features"} {
		if features := f.get(name); features != nil {
			p.Features = nil
			for _, feature := range features.items() {
				p.Features = append(p.Features, feature.text("name"))
			}
		}
	}
	if d := f.get("package_dimensions"); d != nil {
		p.Package = newDimensions(d)
	}
	if r := p.writeDescriptor(f.get("statement_descriptor")); r != nil {
		return r
	}
	if r := p.writeTaxCode(f.get("tax_code")); r != nil {
		return r
	}
	var r *refusal
	p.Metadata, r = mergeMetadata(p.Metadata, f.get("metadata"))
	return r
}

func newDimensions(f *field) *dimensions {
	if f.cleared() {
		return nil
	}
	size := func(name string) number {
		d, _ := parseDecimal(f.text(name), 2)
		return number(d)
	}
	return &dimensions{Height: size("height"), Length: size("length"), Weight: size("weight"), Width: size("width")}
}

// writeDescriptor stores a statement descriptor as Stripe does: in upper case, ASCII only.
func (p *product) writeDescriptor(f *field) *refusal {
	if f == nil {
		return nil
	}
	if f.cleared() {
		p.Descriptor = nil
		return nil
	}
	if p.Type == "good" {
		return refuse("", f.name, "The statement_descriptor parameter can only be set on products with type=service.")
	}
	if strings.ContainsAny(f.value, `<>\"'`) {
		return invalid("", f.name,
			`The statement descriptor must not contain any of the following characters: <, >, \, ", '`)
	}
	s := strings.ToUpper(strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return -1
		}
		return r
	}, f.value))
	if !strings.ContainsFunc(s, unicode.IsLetter) {
		return invalid("", f.name, "The statement descriptor must contain at least one letter.")
	}
	p.Descriptor = &s
	return nil
}

var taxCode = regexp.MustCompile(`^txcd_[0-9]{8}$`)

func (p *product) writeTaxCode(f *field) *refusal {
	switch {
	case f == nil:
	case f.cleared():
		p.TaxCode = nil
	case !taxCode.MatchString(f.value):
		return missing(http.StatusBadRequest, "tax code", f.value, f.name)
	default:
		p.TaxCode = &f.value
	}
	return nil
}

func (t *tx) deleteProduct(c *call) (any, *refusal) {
	p := t.products.get(c.id)
	if p == nil {
		return nil, t.notFound(c, "product")
	}
	if len(t.pricesOf[c.id]) > 0 {
		return nil, refuse("", "", "This product cannot be deleted because it has one or more user-created prices.")
	}
	t.dropProduct(c, p)
	return deletedJSON{ID: c.id, Object: "product", Deleted: true}, nil
}

// dropProduct deletes a product and records an event with its last state. The state shows the product as inactive, but
// not as deleted.
func (t *tx) dropProduct(c *call, p *product) {
	last := *p
	last.Active = false
	t.removeProduct(p.ID)
	t.event(c, "product.deleted", t.renderProduct(&last, nil, t.sim.cfg.APIVersion), nil)
}

func (t *tx) getProduct(c *call) (any, *refusal) {
	if p := t.products.get(c.id); p != nil {
		return t.renderProduct(p, c.expand, c.version), nil
	}
	return nil, t.notFound(c, "product")
}

var listProductsParams = listParams(map[string]shape{
	"active": {kind: boolean}, "created": createdParam, "ids": {kind: list, item: &shape{max: 5000}},
	"shippable": {kind: boolean}, "url": {max: 5000},
})

func (t *tx) listProducts(c *call) (any, *refusal) {
	page, created, r := readCreatedPage(c, "product", &t.products)
	if r != nil {
		return nil, r
	}
	if ids := c.form.get("ids"); ids != nil {
		if page.cursor != "" {
			return nil, invalid("parameters_exclusive", "ids",
				"You may not pass ids together with starting_after or ending_before.")
		}
		page.narrow(t.products.places(values(ids)))
	}
	active, byActive := c.form.flag("active")
	shippable, byShippable := c.form.flag("shippable")
	url := c.form.text("url")
	found, more := page.collect(func(p *product) bool {
		return (!byActive || p.Active == active) &&
			(!byShippable || p.Shippable != nil && *p.Shippable == shippable) &&
			(url == "" || p.URL != nil && *p.URL == url) && created.contains(p.Created)
	})
	out := make([]any, len(found))
	for i, p := range found {
		out[i] = t.renderProduct(p, c.expand.sub("data"), c.version)
	}
	return listJSON{Object: "list", Data: out, HasMore: more, URL: "/v1/products"}, nil
}

func (s *store) renderProduct(p *product, expand *expansion, version string) productJSON {
	features := make([]featureJSON, len(p.Features))
	for i, name := range p.Features {
		features[i] = featureJSON{name}
	}
	out := productJSON{
		ID: p.ID, Object: "product", Active: p.Active, Created: p.Created, Description: p.Description,
		Images: p.Images, Livemode: s.live, Metadata: p.Metadata, Name: p.Name, PackageDimensions: p.Package,
		Shippable: p.Shippable, StatementDescriptor: p.Descriptor, UnitLabel: p.UnitLabel, Updated: p.Updated,
		URL: p.URL,
	}
	if version < marketingFeatures {
		out.Features, out.Type = &features, p.Type
	} else {
		out.MarketingFeatures = &features
	}
	if out.Images == nil {
		out.Images = []string{}
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	if p.DefaultPrice != "" {
		out.DefaultPrice = p.DefaultPrice
		if sub := expand.sub("default_price"); sub != nil {
			out.DefaultPrice = s.renderPrice(s.prices.get(p.DefaultPrice), sub, version)
		}
	}
	if p.TaxCode != nil {
		out.TaxCode = *p.TaxCode
		if expand.sub("tax_code") != nil {
			out.TaxCode = map[string]string{
				"id":          *p.TaxCode,
				"object":      "tax_code",
				"name":        "Tax code " + *p.TaxCode,
				"description": "The simulator has only the id of this tax code.",
			}
		}
	}
	return out
}
