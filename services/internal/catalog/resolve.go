package catalog

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Decision is a difference and the action for it.
type Decision struct {
	Difference
	Action Action
}

// Resolution is the result of a policy for the differences of a product.
type Resolution struct {
	// Effective is the state that Stripe shall have: the desired state, with Stripe's own values where those stay. It
	// is the desired state itself if the policy changes nothing.
	Effective *catalogv1.ProductChange
	// Decisions cover all differences. Those that stay come first, in the order of their fields. The others follow in
	// Diff's order.
	Decisions []Decision
}

// Exceptions are fields, as differences name them, for which an operator has decided against the policy, or has yet to
// decide.
type Exceptions struct {
	// Overwrite fields get the catalog's value.
	Overwrite []string
	// Leave fields stay as Stripe has them, a missing object included. A lookup key that another price of the catalog
	// wants does not stay: Stripe moves it.
	Leave []string
}

// Resolve applies a policy. Diff(Effective, observed) overwrites none of these fields:
//   - a field that Stripe owns;
//   - a field whose latest value is Stripe's, if the latest value owns it;
//   - a field that is only reported, and that the catalog has not changed since both sides agreed.
//
// An object that Stripe lacks is created with the catalog's values, whatever the owner of its fields. A product that
// leaves the catalog is archived. The catalog owns whole objects. If the policy's default is Report, a missing or
// superfluous object is reported. It is still part of the effective state, so the next change in the catalog repairs
// it.
//
// Metadata keys that Driftless did not write and that the catalog does not have count as a difference only if Stripe or
// the latest value owns them. Resolve modifies neither argument.
func Resolve(policy *Policy, desired *catalogv1.ProductChange, observed *catalogv1.Observed, x Exceptions) Resolution {
	r := Resolution{Effective: desired}
	if desired.GetProduct() != nil && observed.GetProduct() != nil && (!policy.isDefault() || len(x.Leave) > 0) {
		r = newResolver(policy, desired, observed, x).resolve()
	}
	if slices.Contains(x.Leave, "") && observed.GetProduct() == nil {
		r.Effective = nil
		if desired.GetProduct() != nil {
			return Resolution{
				Decisions: []Decision{{Difference{Kind: Missing, Catalog: desired.GetProduct().GetName()}, Report}},
			}
		}
	}
	for _, d := range Compare(r.Effective, observed) {
		action := Repair
		if policy != nil && policy.report && !slices.Contains(x.Overwrite, d.Field) && isWholeObject(d, desired) {
			action = Report
		}
		r.Decisions = append(r.Decisions, Decision{d, action})
	}
	return r
}

// isWholeObject reports whether a difference is about a whole object, and not about a field that could stay as it is.
func isWholeObject(d Difference, desired *catalogv1.ProductChange) bool {
	switch d.Kind {
	case Missing, Extra, PriceStructure:
		return true
	case ArchivedInCatalog:
		if d.Price == "" {
			return desired.GetProduct() == nil
		}
		return !slices.ContainsFunc(desired.GetProduct().GetPrices(),
			func(p *catalogv1.Price) bool { return p.GetId() == d.Price })
	default:
		return false
	}
}

// Steps returns the calls that bring Stripe to the effective state.
func (r Resolution) Steps(observed *catalogv1.Observed) []Step { return Diff(r.Effective, observed) }

// resolver decides the fields of a product that is on both sides.
type resolver struct {
	*differ
	policy     *Policy
	desired    *catalogv1.ProductChange
	agreed     *catalogv1.Agreed
	exceptions Exceptions
	result     Resolution
	effective  *catalogv1.ProductChange
	// includesArchived includes the fields of archived prices.
	includesArchived bool
}

func newResolver(policy *Policy, desired *catalogv1.ProductChange, observed *catalogv1.Observed,
	x Exceptions,
) *resolver {
	return &resolver{
		differ: newDiffer(desired, observed), policy: policy, desired: desired, agreed: observed.GetAgreed(),
		exceptions: x,
		effective:  proto.CloneOf(desired),
	}
}

func (r *resolver) resolve() Resolution {
	r.eachField(func(f policyField) {
		if f.catalog == f.stripe {
			return
		}
		action := r.decide(f)
		if action == Repair {
			return
		}
		r.result.Decisions = append(r.result.Decisions, Decision{f.difference(), action})
		f.retain()
	})
	for _, id := range r.unwantedToKeep() {
		r.keepUnwanted(id)
	}
	r.dropInvalid()
	r.result.Effective = r.effective
	return r.result
}

// policyField is a field whose value may stay as Stripe has it.
type policyField struct {
	kind            Kind
	name, price     string
	rule            Rule
	catalog, stripe string
	// seenAt is a second of Stripe's clock at which Stripe had the value.
	seenAt int64
	// retain copies Stripe's value to the effective state.
	retain func()
}

func (f policyField) difference() Difference {
	return Difference{Kind: f.kind, Field: f.name, Price: f.price, Catalog: f.catalog, Stripe: f.stripe}
}

// decide returns the action for a field whose values differ.
func (r *resolver) decide(f policyField) Action {
	switch {
	case slices.Contains(r.exceptions.Leave, f.name):
		return Report
	case slices.Contains(r.exceptions.Overwrite, f.name):
		return Repair
	}
	if f.name == "default_price" && r.isRetiring(f.stripe) {
		return Repair
	}
	if f.kind == ArchivedInStripe && r.isReturning("active", f.price) {
		// Driftless itself archived it, so nobody changed the value in Stripe.
		return Repair
	}
	base, known := r.agreedValue(f.name)
	if !known && f.rule.Owner == OwnerCatalog && r.observed.GetVersion() > 0 &&
		r.desired.GetVersion() > r.observed.GetVersion() {
		// The product was pushed under another policy, so all fields of its new version count as changed.
		return Repair
	}
	catalogMoved, stripeMoved := known && base.GetCatalog() != hashText(f.catalog),
		known && base.GetStripe() != hashText(f.stripe)
	switch f.rule.Owner {
	case OwnerStripe:
	case OwnerNewest:
		at := f.seenAt
		if base.GetNewer() != 0 && base.GetNewer() == hashText(f.stripe) {
			at = base.GetNewerAt()
		}
		if catalogMoved && !stripeMoved || catalogMoved == stripeMoved && at <= committedAt(r.desired) {
			return Repair
		}
	default:
		if f.rule.Action == Repair || catalogMoved {
			return Repair
		}
	}
	if f.rule.Action == WriteBack && !r.canWriteBack(f) {
		return Report
	}
	return f.rule.Action
}

// isRetiring reports whether one of Driftless's prices, which may be the default, is to be archived.
func (r *resolver) isRetiring(id string) bool {
	// Prices of others have no id here, so they match neither a default price nor "no default price".
	if id == "" || r.predecessor(id) == nil {
		return false
	}
	price := priceByID(r.effective.GetProduct(), id)
	return price == nil || price.Active != nil && !price.GetActive()
}

// canWriteBack reports whether the catalog can take Stripe's value. It has no id for a price that is not its own.
func (r *resolver) canWriteBack(f policyField) bool {
	return f.name != "default_price" || f.stripe == "" || r.wantedPrice(f.stripe) != nil
}

// committedAt returns the second of the latest commit to the product.
func committedAt(desired *catalogv1.ProductChange) int64 {
	for _, t := range []*timestamppb.Timestamp{desired.GetCommittedAt(), desired.GetCapturedAt()} {
		if t != nil {
			return t.AsTime().Truncate(time.Second).Unix()
		}
	}
	return 0
}

func (r *resolver) agreedValue(field string) (*catalogv1.AgreedField, bool) {
	for _, f := range r.agreed.GetFields() {
		if f.GetField() == field {
			return f, true
		}
	}
	return nil, r.policy != nil && r.agreed.GetFieldsKept() == r.policy.fieldsDigest && r.policy.fieldsDigest != 0
}

// mayStay reports whether a field's value may stay as Stripe has it.
func (r *resolver) mayStay(field string, rule Rule) bool {
	return rule.Action != Repair || slices.Contains(r.exceptions.Leave, field)
}

// eachField yields every bound field of the product and its prices, with the values of both sides.
func (r *resolver) eachField(yield func(policyField)) {
	product := r.effective.GetProduct()
	for _, f := range productFields {
		want := f.write(r.want)
		// Stripe cannot clear shippable. If the catalog has no value, only Stripe can own the field.
		clears := want != nil || r.policy.Rule(f.name).Owner != OwnerCatalog
		ours := clears && (r.managed(f.name) || r.isReturning(f.name, ""))
		if rule := r.policy.Rule(f.name); ours && r.mayStay(f.name, rule) {
			b := policyField{
				kind:    FieldDiffers,
				name:    f.name,
				rule:    rule,
				catalog: valueText(want, 1),
				stripe:  valueText(f.write(r.have), 1),
				seenAt:  r.observed.GetProductUpdated(),
			}
			if f.name == "active" {
				b.kind = archivedWhere(b.catalog)
			}
			b.retain = func() { setProduct(product, f.name, r.have) }
			yield(b)
		}
	}
	if r.managed("metadata") {
		r.eachKey("", r.want.GetMetadata(), r.have.GetMetadata(), r.observed.GetManagedMetadata(),
			r.observed.GetProductUpdated(), func() *map[string]string { return &product.Metadata }, yield)
	}
	for _, want := range r.want.GetPrices() {
		inStripe, field := r.predecessor(want.GetId()), "prices."+want.GetId()
		switch {
		case want.GetActive() && (inStripe == nil || !inStripe.GetPrice().GetActive()) &&
			slices.Contains(r.exceptions.Leave, field):
			price := priceByID(product, want.GetId())
			yield(policyField{
				kind:    Missing,
				name:    field,
				price:   want.GetId(),
				catalog: describePrice(r.leaveUnmanaged(want)),
				retain:  func() { price.Active = new(false) },
			})
		case inStripe != nil:
			r.eachPriceField(want, inStripe, yield)
		}
	}
	if rule := r.policy.Rule("default_price"); r.managed("default_price") && r.mayStay("default_price", rule) {
		yield(policyField{
			kind: WrongDefaultPrice, name: "default_price", rule: rule, catalog: r.want.GetDefaultPrice(),
			stripe: r.priceName(r.have.GetDefaultPrice()), seenAt: r.observed.GetProductUpdated(),
			retain: func() { r.effective.UnmanagedFields = append(r.effective.GetUnmanagedFields(), "default_price") },
		})
	}
}

func (r *resolver) eachPriceField(want *catalogv1.Price, inStripe *catalogv1.ObservedPrice, yield func(policyField)) {
	id, have, price := want.GetId(), inStripe.GetPrice(), priceByID(r.effective.GetProduct(), want.GetId())
	at := cmp.Or(r.changedAt(inStripe.GetStripeId()), inStripe.GetCreated())
	one := func(name string, kind Kind) {
		field, rule := priceField(id, name), r.policy.Rule("prices."+name)
		if !r.managed("prices."+name) && !r.isReturning(name, id) || !r.mayStay(field, rule) {
			return
		}
		if name == "currency_options" && want.GetCurrency() != have.GetCurrency() {
			return
		}
		b := policyField{
			kind:    kind,
			name:    field,
			price:   id,
			rule:    rule,
			catalog: priceText(name, want),
			stripe:  priceText(name, have),
			seenAt:  at,
		}
		b.retain = func() { setPrice(price, name, have) }
		if name == "lookup_key" {
			if b.catalog = LookupKey(want); b.stripe == "" {
				// Without a lookup key nobody finds the price, so the catalog's key is written again.
				return
			}
		}
		yield(b)
	}
	one("active", archivedWhere(priceText("active", want)))
	if !r.includesArchived && price.Active != nil && !price.GetActive() {
		// The other fields of an archived price can wait until the catalog wants it again: see Diff.
		return
	}
	for _, name := range priceFields {
		one(name, FieldDiffers)
	}
	for _, f := range priceIdentity {
		field := priceField(id, f.name)
		if slices.Contains(r.exceptions.Leave, field) {
			yield(policyField{
				kind: PriceStructure, name: field, price: id, catalog: valueText(f.write(want), 1),
				stripe: valueText(f.write(have), 1),
				retain: func() { keepStructure(price, have) },
			})
		}
	}
	if r.managed("prices.metadata") {
		r.eachKey(id, want.GetMetadata(), have.GetMetadata(), inStripe.GetManagedMetadata(), at,
			func() *map[string]string { return &price.Metadata }, yield)
	}
}

// changedAt returns the second in which one of the product's Stripe prices got its present state.
func (r *resolver) changedAt(stripeID string) int64 {
	for _, p := range r.observed.GetPrices() {
		if p.GetStripeId() == stripeID {
			return p.GetChanged()
		}
	}
	return 0
}

// eachKey yields the bound metadata keys of a product or a price.
func (r *resolver) eachKey(price string, want, have map[string]string, managed []string, at int64,
	target func() *map[string]string, yield func(policyField),
) {
	keys := slices.Concat(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(have)))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		name := "metadata." + key
		field := name
		if price != "" {
			name, field = "prices."+name, priceField(price, name)
		}
		rule := r.policy.Rule(name)
		_, wanted := want[key]
		ours := wanted || slices.Contains(managed, key)
		if slices.Contains(ownKeys, key) || !r.mayStay(field, rule) || !ours && rule.Owner == OwnerCatalog {
			continue
		}
		yield(policyField{
			kind: FieldDiffers, name: field, price: price, rule: rule, catalog: want[key], stripe: have[key],
			seenAt: at,
			retain: func() {
				value, exists := have[key]
				switch m := target(); {
				case !exists:
					delete(*m, key)
				case ours:
					if *m == nil {
						*m = map[string]string{}
					}
					(*m)[key] = value
				}
			},
		})
	}
}

// unwantedToKeep returns the prices that the catalog does not have and that stay active.
func (r *resolver) unwantedToKeep() (ids []string) {
	for _, h := range r.observedPrices {
		id := h.GetPrice().GetId()
		if id != "" && h.GetPrice().GetActive() && r.wantedPrice(id) == nil && slices.Contains(r.exceptions.Leave,
			priceField(id, "active")) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *resolver) keepUnwanted(id string) {
	kept := proto.CloneOf(r.predecessor(id).GetPrice())
	for _, key := range ownKeys {
		delete(kept.Metadata, key)
	}
	delete(kept.CurrencyOptions, kept.GetCurrency())
	r.effective.Product.Prices = append(r.effective.GetProduct().GetPrices(), kept)
	r.result.Decisions = append(r.result.Decisions, Decision{
		Difference{
			Kind:    ArchivedInCatalog,
			Field:   priceField(id, "active"),
			Price:   id,
			Catalog: "false",
			Stripe:  "true",
		}, Report,
	})
}

// dropInvalid restores the catalog's price where Stripe's values would make one that breaks Stripe's rules.
func (r *resolver) dropInvalid() {
	if len(r.result.Decisions) == 0 {
		return
	}
	r.dropTakenKeys()
	for i, p := range r.effective.GetProduct().GetPrices() {
		original := priceByID(r.desired.GetProduct(), p.GetId())
		if v := (&validator{}); original != nil && !proto.Equal(original, p) {
			if v.price("", p); len(v.violations) > 0 {
				r.effective.Product.Prices[i] = proto.CloneOf(original)
				r.result.Decisions = slices.DeleteFunc(r.result.Decisions,
					func(d Decision) bool { return d.Price == p.GetId() })
			}
		}
	}
}

// dropTakenKeys restores the catalog's lookup key where the one that would stay belongs to another price.
func (r *resolver) dropTakenKeys() {
	prices := r.effective.GetProduct().GetPrices()
	for _, p := range prices {
		original := priceByID(r.desired.GetProduct(), p.GetId())
		taken := slices.ContainsFunc(prices, func(other *catalogv1.Price) bool {
			return other.GetId() != p.GetId() && LookupKey(other) == LookupKey(p)
		})
		if field := priceField(p.GetId(), "lookup_key"); original != nil && taken &&
			p.GetLookupKey() != original.GetLookupKey() {
			p.LookupKey = original.GetLookupKey()
			r.result.Decisions = slices.DeleteFunc(r.result.Decisions,
				func(d Decision) bool { return d.Field == field })
		}
	}
}

func priceByID(p *catalogv1.Product, id string) *catalogv1.Price {
	for _, price := range p.GetPrices() {
		if price.GetId() == id {
			return price
		}
	}
	return nil
}
