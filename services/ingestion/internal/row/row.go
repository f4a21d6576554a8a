// Package row converts products and prices to rows: columns with Stripe's field names, and values as JSON. It uses no
// database.
package row

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// number is a decimal that is written into JSON with all its digits. The tables have numbers where Stripe has numbers.
type number string

func (n number) MarshalJSON() ([]byte, error) {
	digits := strings.TrimLeft(string(n), "0")
	if digits == "" || digits[0] == '.' {
		digits = "0" + digits
	}
	return []byte(digits), nil
}

// Row is a row of the products or prices by column. A column that is not given has no entry, and is NULL.
type Row map[string]any

// FromProduct returns the row of a product, without its prices.
func FromProduct(p *catalogv1.Product) Row {
	return fromMessage(p.ProtoReflect(), catalog.ProductFields())
}

// FromPrice returns the row of a product's price.
func FromPrice(p *catalogv1.Price, product string) Row {
	r := fromMessage(p.ProtoReflect(), catalog.PriceFields())
	r["product"] = product
	if tiers := tiersOf(p.GetTiers()); tiers != nil {
		r["tiers"] = tiers
	}
	if c := customOf(p.GetCustomUnitAmount()); c != nil {
		r["custom_unit_amount"] = c
	}
	options := map[string]option{}
	for currency, o := range p.GetCurrencyOptions() {
		options[currency] = option{
			number(o.GetUnitAmount()), number(o.GetUnitAmountDecimal()), o.GetTaxBehavior(), tiersOf(o.GetTiers()),
			customOf(o.GetCustomUnitAmount()),
		}
	}
	if len(options) > 0 {
		r["currency_options"] = options
	}
	return r
}

// fromMessage converts the fields of a message, except structures with their own rules.
func fromMessage(m protoreflect.Message, fields []catalog.Field) Row {
	r := Row{}
	for _, f := range fields {
		field := m.Descriptor().Fields().ByName(protoreflect.Name(f.Name))
		if !m.Has(field) {
			if f.Flag {
				// Absent means true in the contract, but a row needs the value.
				r[f.Name] = true
			} else if f.Required {
				r[f.Name] = ""
			}
			continue
		}
		value := m.Get(field)
		switch f.Type {
		case catalog.TypeAmount:
			r[f.Name] = number(value.String())
		case catalog.TypeTexts:
			r[f.Name] = texts(value.List())
		case catalog.TypeMetadata:
			r[f.Name] = metadata(value.Map())
		case catalog.TypeStructure:
			if parts := catalog.Parts(f.Name); parts != nil {
				r[f.Name] = structure(value.Message().Interface(), parts)
			}
		case catalog.TypeText, catalog.TypeID, catalog.TypeCurrency, catalog.TypeBoolean:
			r[f.Name] = value.Interface()
		}
	}
	return r
}

// texts returns the texts of a list, or the names of its messages.
func texts(l protoreflect.List) []string {
	out := make([]string, l.Len())
	for i := range out {
		if m, ok := l.Get(i).Interface().(protoreflect.Message); ok {
			out[i] = m.Get(m.Descriptor().Fields().ByName("name")).String()
		} else {
			out[i] = l.Get(i).String()
		}
	}
	return out
}

func metadata(m protoreflect.Map) map[string]string {
	out := make(map[string]string, m.Len())
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		out[k.String()] = v.String()
		return true
	})
	return out
}

func structure(m proto.Message, parts []catalog.Part) map[string]any {
	out := map[string]any{}
	for _, part := range parts {
		text := part.Text(m)
		switch {
		case part.Type == catalog.PartDecimal:
			out[part.Name] = number(text)
		case text == "":
		case part.Type == catalog.PartWhole:
			out[part.Name] = number(text)
		default:
			out[part.Name] = text
		}
	}
	return out
}

type tier struct {
	// UpTo is null on the last tier, as in Stripe's answers.
	UpTo              *number `json:"up_to"`
	UnitAmount        number  `json:"unit_amount,omitempty"`
	UnitAmountDecimal number  `json:"unit_amount_decimal,omitempty"`
	FlatAmount        number  `json:"flat_amount,omitempty"`
	FlatAmountDecimal number  `json:"flat_amount_decimal,omitempty"`
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
