package product

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// policyLine is a rule that would decide a difference from now on.
type policyLine struct {
	// effect says in words what the rule does.
	effect string
	// line is the rule as driftless.yaml has it below policy.
	line string
}

// policyLines returns the rules that can decide differences of a field. There are none for a field that can have no
// rule, such as an amount.
func policyLines(f *facts, name string) []policyLine {
	general, ok := generalField(priceIDs(f.detail), name)
	if !ok {
		return nil
	}
	var out []policyLine
	for _, x := range []struct {
		rule   catalog.Rule
		effect string
	}{
		{
			catalog.Rule{Owner: catalog.OwnerCatalog, Action: catalog.Repair},
			"Keep the catalog's value: a change in Stripe is overwritten",
		},
		{
			catalog.Rule{Owner: catalog.OwnerStripe, Action: catalog.WriteBack},
			"Keep Stripe's value: a change in Stripe is written to the catalog",
		},
		{
			catalog.Rule{Owner: catalog.OwnerNewest, Action: catalog.WriteBack},
			"Keep the later change, whichever side made it",
		},
		{
			catalog.Rule{Owner: catalog.OwnerCatalog, Action: catalog.Report},
			"Only report: a change in Stripe stays until the catalog changes",
		},
	} {
		if _, err := catalog.NewPolicy(catalog.Repair, map[string]catalog.Rule{general: x.rule}); err != nil {
			return nil
		}
		out = append(out, policyLine{x.effect, yamlKey(general) + ": {owner: " + string(x.rule.Owner) + ", action: " +
			string(x.rule.Action) + "}"})
	}
	return out
}

// generalField returns the name that a rule has for a field: that of a price without the price's id. It returns false
// for objects as a whole.
func generalField(prices []string, name string) (general string, ok bool) {
	rest, isPrice := strings.CutPrefix(name, "prices.")
	if !isPrice {
		return name, name != ""
	}
	// An id may have dots, and another id may begin with it.
	longest := ""
	for _, id := range prices {
		if strings.HasPrefix(rest, id+".") && len(id) > len(longest) {
			longest = id
		}
	}
	if longest == "" {
		return "", false
	}
	inner := strings.TrimPrefix(rest, longest+".")
	// Currency options have one rule together.
	if strings.HasPrefix(inner, "currency_options.") {
		inner = "currency_options"
	}
	return "prices." + inner, true
}

// priceIDs returns the catalog's ids of all prices of a product.
func priceIDs(d *controlv1.ProductDetail) (ids []string) {
	add := func(id string) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, p := range d.GetDesired().GetProduct().GetPrices() {
		add(p.GetId())
	}
	for _, p := range d.GetObserved().GetPrices() {
		add(p.GetPrice().GetId())
	}
	return ids
}

// plainKey matches a key that YAML needs no quotes for.
var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// yamlKey returns a key of YAML, quoted if it needs that. A string of JSON is one of YAML.
func yamlKey(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	quoted, err := json.Marshal(key)
	if err != nil {
		return key
	}
	return string(quoted)
}

// canKeepStripe reports whether the catalog can take a field's value from Stripe. The API has the last word.
func canKeepStripe(f *facts, d *controlv1.Drift) bool {
	x := d.GetDifference()
	if x.GetKind() == string(catalog.Extra) && x.GetField() == "" {
		return true
	}
	if f.detail.GetDesired().GetProduct() == nil || f.detail.GetObserved().GetProduct() == nil {
		return false
	}
	_, taken := catalog.ApplyWriteBackWithPrices(f.detail.GetDesired(), f.detail.GetObserved(), []string{x.GetField()})
	return len(taken) > 0
}
