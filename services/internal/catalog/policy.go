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

// The owners. Newest is the side that has changed the field since both agreed; if both have, the later change counts,
// the catalog's if they cannot be told apart.
const (
	OwnerCatalog Owner = "catalog"
	OwnerStripe  Owner = "stripe"
	OwnerNewest  Owner = "newest"
)

// Action is what is done about a difference.
type Action string

// The actions: Repair brings the catalog's value to Stripe, WriteBack brings Stripe's to the catalog, and Report does
// neither: it is said, and stays until one of the sides moves. A later change in the catalog is a move.
const (
	Repair    Action = "repair"
	WriteBack Action = "write-back"
	Report    Action = "report"
)

// Rule says who owns a field, and what is done about a difference.
type Rule struct {
	Owner  Owner
	Action Action
}

// actions that an owner can have. What the catalog owns is not taken from Stripe, and what Stripe owns is not
// overwritten there. Of a field that the newest value owns, the catalog's newer value always goes to Stripe, and the
// action is about Stripe's newer one.
var actions = map[Owner][]Action{
	OwnerCatalog: {Repair, Report},
	OwnerStripe:  {WriteBack, Report},
	OwnerNewest:  {WriteBack, Report},
}

// ownable are the fields for which there can be a rule. The rest of a price Stripe never changes: where it differs, the
// price is another one.
var ownable = slices.Concat(fieldNames(productTable, "", isOwnable), fieldNames(priceTable, "prices.", isOwnable))

func isOwnable(f Field) bool { return f.Ownable }

// ownKeys are keys of metadata that Driftless writes for itself.
var ownKeys = []string{PriceMarker, ProductMarker, AbsenceMarker}

// Policy says for every field who owns it and what is done about differences. A nil one has the catalog own everything,
// and repairs. It is not modified after NewPolicy, and may be used concurrently.
type Policy struct {
	report bool
	rules  map[string]Rule
	// prefixes of metadata keys, with the field in front, the longest first.
	prefixes []string
	kept     uint64
}

// NewPolicy makes a policy of the action for whatever has no rule of its own, Repair or Report, and of rules by field:
// "description", "metadata", "metadata.color", "metadata.seo_*", and the same with "prices." in front for those of
// prices. A rule without owner or action gets catalog, and the owner's first action, or Report if that is the default.
// The error names the field and what it can have.
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
			return nil, fmt.Errorf("%s: there are two rules", field)
		}
		p.rules[field] = rule
	}
	slices.SortFunc(p.prefixes, func(a, b string) int { return len(b) - len(a) })
	p.kept = p.digest()
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
		return rule, fmt.Errorf("%s: owner must be catalog, stripe or newest, not %q", field, rule.Owner)
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

// checkField says why there can be no rule for a field.
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
			return fmt.Errorf("%s: must end in a key of metadata, or in the beginning of keys and *", field)
		case bare == key && slices.Contains(ownKeys, key):
			return fmt.Errorf("%s: the key is Driftless's own", field)
		}
		return nil
	}
	for _, f := range priceTable {
		if f.Fixed && field == "prices."+f.Name {
			return fmt.Errorf(
				"%s: Stripe never changes it, so a price that differs in it is another price: it is the catalog's, and is always repaired", field)
		}
	}
	return fmt.Errorf(
		"%s: there is no such field that could have an owner; there are %s, metadata.KEY, metadata.PREFIX* and the same under prices.",
		field, strings.Join(ownable, ", "))
}

// Rule returns the rule of a field, "prices.nickname" for that of any price.
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

// plain says whether every field is the catalog's and repaired.
func (p *Policy) plain() bool {
	return p == nil ||
		!p.report &&
			!slices.ContainsFunc(slices.Collect(maps.Values(p.rules)),
				func(r Rule) bool { return r != Rule{OwnerCatalog, Repair} })
}

// digest tells policies apart that have the agreed values of different fields kept.
func (p *Policy) digest() uint64 {
	h := fnv.New64a()
	for _, field := range slices.Sorted(maps.Keys(p.rules)) {
		fmt.Fprintf(h, "%s %t %t\n", field, slices.Contains(p.prefixes, field), p.rules[field].Action == Repair)
	}
	fmt.Fprintf(h, "%t", p.report)
	return h.Sum64()
}

// hash of a value's text, 0 for none.
func hash(text string) uint64 {
	if text == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return max(h.Sum64(), 1)
}
