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
