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

// nameList is a list of strings, or of objects with a name.
type nameList []string

func (n *nameList) UnmarshalJSON(data []byte) error {
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

type dimensionsRow struct {
	Height scalar `json:"height"`
	Length scalar `json:"length"`
	Weight scalar `json:"weight"`
	Width  scalar `json:"width"`
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

func currencies(options map[string]*currencyRow) map[string]*catalogv1.CurrencyOption {
	var out map[string]*catalogv1.CurrencyOption
	for currency, o := range options {
		if o == nil {
			continue
		}
		if out == nil {
			out = map[string]*catalogv1.CurrencyOption{}
		}
		option := &catalogv1.CurrencyOption{TaxBehavior: o.TaxBehavior, Tiers: tiers(o.Tiers), CustomUnitAmount: custom(o.CustomUnitAmount)}
		option.UnitAmount, option.UnitAmountDecimal = catalog.Amount(string(o.UnitAmount), string(o.UnitAmountDecimal))
		out[currency] = option
	}
	return out
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
