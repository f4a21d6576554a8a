package catalog

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Owner is the side whose value of a field counts.
type Owner string

// The owners. OwnerNewest is the side that has changed the field since both agreed. If both have, the later change
// counts, or the catalog's if the order is not known.
const (
	OwnerCatalog Owner = "catalog"
	OwnerStripe  Owner = "stripe"
	OwnerNewest  Owner = "newest"
)

// Action is what is done about a difference.
type Action string

// The actions. Repair writes the catalog's value to Stripe, and WriteBack writes Stripe's value to the catalog. Report
// does neither: the difference is reported, and stays until one of the sides changes. A later change in the catalog
// counts.
const (
	Repair    Action = "repair"
	WriteBack Action = "write-back"
	Report    Action = "report"
)

// Rule defines who owns a field, and what is done about a difference.
type Rule struct {
	Owner  Owner
	Action Action
}

// actions are the actions that each owner can have. A field of the catalog is not taken from Stripe, and a field of
// Stripe is not overwritten there. With OwnerNewest, a later value of the catalog always goes to Stripe, and the action
// is about a later value of Stripe.
var actions = map[Owner][]Action{
	OwnerCatalog: {Repair, Report},
	OwnerStripe:  {WriteBack, Report},
	OwnerNewest:  {WriteBack, Report},
}

// ownable are the fields that can have a rule. Stripe never changes the other fields of a price: if they differ, the
// price is another one.
var ownable = slices.Concat(fieldNames(productTable, "", isOwnable), fieldNames(priceTable, "prices.", isOwnable))

func isOwnable(f Field) bool { return f.Ownable }

// ownKeys are the metadata keys that Driftless writes for itself.
var ownKeys = []string{PriceMarker, ProductMarker, AbsenceMarker}

// Policy defines for every field who owns it and what is done about differences. A nil Policy gives every field to the
// catalog, and repairs. A Policy is not modified after NewPolicy, so concurrent use is safe.
type Policy struct {
	report bool
	rules  map[string]Rule
	// prefixes are metadata keys with their field in front, the longest first.
	prefixes     []string
	fieldsDigest uint64
}

// NewPolicy returns a policy. otherwise, Repair or Report, is the action for fields without a rule. rules are by field:
// "description", "metadata", "metadata.color", "metadata.seo_*", and the same with "prices." in front for prices. A
// rule's owner defaults to the catalog. Its action defaults to the owner's first action, or to Report if that is the
// default. An error names the field and its possible values.
func NewPolicy(otherwise Action, rules map[string]Rule) (*Policy, error) {
	p := &Policy{report: otherwise == Report, rules: map[string]Rule{}}
	for field, rule := range rules {
		rule, err := p.complete(field, rule)
		if err != nil {
			return nil, err
		}
		if prefix, ok := strings.CutSuffix(field, "*"); ok {
			p.prefixes = append(p.prefixes, prefix)
			field = prefix
		}
		if _, twice := p.rules[field]; twice {
			return nil, fmt.Errorf("%s: has more than one rule", field)
		}
		p.rules[field] = rule
	}
	slices.SortFunc(p.prefixes, func(a, b string) int { return len(b) - len(a) })
	p.fieldsDigest = p.digest()
	return p, nil
}

func (p *Policy) complete(field string, rule Rule) (Rule, error) {
	if err := checkField(field); err != nil {
		return rule, err
	}
	if rule.Owner == "" {
		rule.Owner = OwnerCatalog
	}
	can, ok := actions[rule.Owner]
	if !ok {
		return rule, fmt.Errorf("%s: owner must be %s, %s or %s, not %q", field, OwnerCatalog, OwnerStripe,
			OwnerNewest, rule.Owner)
	}
	if rule.Action == "" {
		rule.Action = can[0]
		if p.report {
			rule.Action = Report
		}
	}
	if !slices.Contains(can, rule.Action) {
		return rule,
			fmt.Errorf("%s: action must be %s or %s where the owner is %s, not %q", field, can[0], can[1], rule.Owner,
				rule.Action)
	}
	return rule, nil
}

// checkField returns an error if there can be no rule for a field.
func checkField(field string) error {
	if slices.Contains(ownable, field) {
		return nil
	}
	for _, of := range []string{"metadata.", "prices.metadata."} {
		key, ok := strings.CutPrefix(field, of)
		if !ok {
			continue
		}
		switch bare := strings.TrimSuffix(key, "*"); {
		case bare == "" || strings.Contains(bare, "*"):
			return fmt.Errorf("%s: must end in a metadata key, or in a prefix of keys followed by *", field)
		case bare == key && slices.Contains(ownKeys, key):
			return fmt.Errorf("%s: Driftless itself writes this key, so it cannot have a rule", field)
		}
		return nil
	}
	for _, f := range priceTable {
		if f.Fixed && field == "prices."+f.Name {
			return fmt.Errorf(
				"%s: cannot have a rule: Stripe never changes this field, so a different value is a different price, "+
					"which the catalog owns", field)
		}
	}
	return fmt.Errorf(
		"%s: no such field can have an owner; the fields are %s, metadata.KEY, metadata.PREFIX*, and the same under "+
			"prices.",
		field, strings.Join(ownable, ", "))
}

// Rule returns the rule of a field. "prices.nickname" is the field of any price.
func (p *Policy) Rule(field string) Rule {
	if p == nil {
		return Rule{OwnerCatalog, Repair}
	}
	if rule, ok := p.rules[field]; ok && !slices.Contains(p.prefixes, field) {
		return rule
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(field, prefix) {
			return p.rules[prefix]
		}
	}
	for _, whole := range []string{"metadata", "prices.metadata"} {
		if rule, ok := p.rules[whole]; ok && strings.HasPrefix(field, whole+".") {
			return rule
		}
	}
	if p.report {
		return Rule{OwnerCatalog, Report}
	}
	return Rule{OwnerCatalog, Repair}
}

// isDefault reports whether the catalog owns every field and every difference is repaired.
func (p *Policy) isDefault() bool {
	return p == nil ||
		!p.report &&
			!slices.ContainsFunc(slices.Collect(maps.Values(p.rules)),
				func(r Rule) bool { return r != Rule{OwnerCatalog, Repair} })
}

// digest identifies the fields whose agreed values the policy records.
func (p *Policy) digest() uint64 {
	h := fnv.New64a()
	for _, field := range slices.Sorted(maps.Keys(p.rules)) {
		fmt.Fprintf(h, "%s %t %t\n", field, slices.Contains(p.prefixes, field), p.rules[field].Action == Repair)
	}
	fmt.Fprintf(h, "%t", p.report)
	return h.Sum64()
}

// hashText returns the hash of a value's text, 0 for none.
func hashText(text string) uint64 {
	if text == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return max(h.Sum64(), 1)
}
