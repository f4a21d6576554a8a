package guard

import (
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// maxQuantities bounds the quantities at which two prices are compared. A price may have thousands of tiers.
const maxQuantities = 100

// tariff is what a price asks for in one currency. All tariffs of a price have its interval.
type tariff struct {
	currency string
	unit     decimal.Decimal
	hasUnit  bool
	tiers    []tier
	// volume means that the tier of the whole quantity applies to all units.
	volume    bool
	divideBy  uint64
	roundDown bool
	custom    *catalogv1.CustomUnitAmount
}

type tier struct {
	// upTo is 0 for the last tier.
	upTo       uint64
	unit, flat decimal.Decimal
}

// tariffs returns a canonical price's tariffs by currency.
func tariffs(p *catalogv1.Price) map[string]tariff {
	if p == nil {
		return nil
	}
	base := tariff{
		currency: p.GetCurrency(), volume: p.GetTiersMode() == "volume",
		divideBy:  p.GetTransformQuantity().GetDivideBy(),
		roundDown: p.GetTransformQuantity().GetRound() == "down",
	}
	out := map[string]tariff{}
	for currency, o := range p.GetCurrencyOptions() {
		t := base
		t.currency = currency
		t.unit, t.hasUnit = amount(o.GetUnitAmount(), o.GetUnitAmountDecimal())
		t.tiers, t.custom = tiers(o.GetTiers()), o.GetCustomUnitAmount()
		out[currency] = t
	}
	base.unit, base.hasUnit = amount(p.GetUnitAmount(), p.GetUnitAmountDecimal())
	base.tiers, base.custom = tiers(p.GetTiers()), p.GetCustomUnitAmount()
	out[p.GetCurrency()] = base
	return out
}

func tiers(list []*catalogv1.PriceTier) []tier {
	out := make([]tier, len(list))
	for i, t := range list {
		out[i].upTo, _ = strconv.ParseUint(t.GetUpTo(), 10, 64)
		out[i].unit, _ = amount(t.GetUnitAmount(), t.GetUnitAmountDecimal())
		out[i].flat, _ = amount(t.GetFlatAmount(), t.GetFlatAmountDecimal())
	}
	return out
}

// amount reads one of Stripe's two forms of an amount. ok is false if neither is given.
func amount(whole, fractional string) (d decimal.Decimal, ok bool) {
	s := whole
	if s == "" {
		s = fractional
	}
	// Other texts, such as those with exponents, are no amounts of Stripe, and computing with them could take long.
	if s == "" || len(s) > 40 || strings.Trim(s, "0123456789.") != "" {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(s)
	return d, err == nil
}

// cost returns what a number of units costs. ok is false if the tariff does not say so: the customer chooses.
func (t tariff) cost(units uint64) (sum decimal.Decimal, ok bool) {
	if t.divideBy > 1 {
		packs := units / t.divideBy
		if !t.roundDown && units%t.divideBy > 0 {
			packs++
		}
		units = packs
	}
	if len(t.tiers) == 0 {
		return t.unit.Mul(decimalOf(units)), t.hasUnit
	}
	var below uint64
	for _, tier := range t.tiers {
		in := tier.upTo == 0 || units <= tier.upTo
		switch {
		case t.volume && in:
			return tier.unit.Mul(decimalOf(units)).Add(tier.flat), true
		case t.volume:
		case in:
			return sum.Add(tier.unit.Mul(decimalOf(units - below))).Add(tier.flat), true
		default:
			sum = sum.Add(tier.unit.Mul(decimalOf(tier.upTo - below))).Add(tier.flat)
			below = tier.upTo
		}
	}
	return sum, true
}

func decimalOf(n uint64) decimal.Decimal { return decimal.NewFromUint64(n) }

// leastCost returns the least that one unit costs. Where the customer chooses the amount, it is the minimum, or 0.
func (t tariff) leastCost() (sum decimal.Decimal, ok bool) {
	if t.custom == nil {
		return t.cost(1)
	}
	sum, _ = amount(t.custom.GetMinimum(), "")
	return sum, true
}

// quantities returns the numbers of units at which two tariffs are compared: a few round ones, both sides of every
// bound of a tier, and some beyond the last bound. Just above that bound, the amount of the last tier hardly counts.
func quantities(a, b tariff) []uint64 {
	out := []uint64{1, 10, 100}
	for _, t := range []tariff{a, b} {
		step := max(t.divideBy, 1)
		out = append(out, step)
		last := uint64(100)
		for _, tier := range t.tiers {
			if tier.upTo > 0 && tier.upTo < 1<<46 && step < 1<<10 {
				out = append(out, tier.upTo*step, tier.upTo*step+1)
				last = max(last, tier.upTo*step)
			}
		}
		if len(t.tiers) > 0 {
			out = append(out, last*2, last*10, last*100)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) <= maxQuantities {
		return out
	}
	picked := make([]uint64, maxQuantities)
	for i := range picked {
		picked[i] = out[i*(len(out)-1)/(maxQuantities-1)]
	}
	return picked
}

// days returns the length of a price's interval, 0 for a one-time price.
func days(r *catalogv1.Recurring) decimal.Decimal {
	if r == nil {
		return decimal.Decimal{}
	}
	n := decimal.NewFromInt(int64(max(r.GetIntervalCount(), 1)))
	switch r.GetInterval() {
	case "week":
		return n.Mul(decimal.NewFromInt(7))
	case "month":
		return n.Mul(decimal.RequireFromString("30.4375"))
	case "year":
		return n.Mul(decimal.RequireFromString("365.25"))
	default:
		return n
	}
}
