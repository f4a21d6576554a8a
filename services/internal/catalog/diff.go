package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Diff returns the calls that make the product in Stripe equal to the catalog, in the order in which they must be made.
// It returns none if they are equal. A nil desired state wants nothing, so nothing is done. A nil observed state is a
// product that Stripe does not hold. Diff modifies neither.
//
// The order keeps Stripe's rules. A new price exists before the product's default moves to it. The default has moved
// before the old price is archived, so that there is always a price to sell at. A product that left the catalog is
// archived, because Stripe does not delete products with prices.
//
// Diff leaves alone:
//   - prices without Driftless's mark, unless the catalog has a price with their Stripe id as its id;
//   - replaced prices that are kept for a while: see ApplyOverlaps;
//   - metadata keys that Driftless did not write;
//   - fields that the desired state lists as unmanaged.
//
// There is one exception: whatever Driftless archived because it left the catalog is unarchived when it returns. A
// price that replaces another one takes over its unmanaged fields. Diff does not create a price that the catalog has
// archived.
//
// One call creates a new product and its default price, if the call can carry the price. It never carries the price's
// lookup key and texts, so a second call sets those.
func Diff(desired *catalogv1.ProductChange, observed *catalogv1.Observed) []Step {
	drafts, _ := diff(desired, observed)
	if len(drafts) == 0 {
		return nil
	}
	steps := make([]Step, len(drafts))
	for i, d := range drafts {
		steps[i] = d.Step
	}
	return steps
}

// diff is Diff with the settings of each step and the differ that computed them. It returns nil if nothing is to be
// done.
func diff(desired *catalogv1.ProductChange, observed *catalogv1.Observed) ([]draft, *differ) {
	deleted := desired.GetOperation() == catalogv1.Operation_OPERATION_DELETE
	if desired == nil || desired.GetProduct() == nil && !deleted || deleted && observed.GetProduct() == nil {
		return nil, nil
	}
	d := newDiffer(desired, observed)
	if deleted {
		// The product's other fields stay as the record of what it was.
		d.deleted, d.want = true, &catalogv1.Product{Id: desired.GetProductId(), Active: new(false)}
		d.managed = func(f string) bool { return f == "active" }
	}
	d.diffPrices()
	d.diffProduct()
	steps := slices.Concat(d.createProduct, d.keepPrices, d.updateProduct, d.archivePrices)
	if d.stripeID != d.productID {
		for i := range steps {
			steps[i].StripeProductID = d.stripeID
		}
	}
	return steps, d
}

// differ collects the steps of one product by phase.
type differ struct {
	want           *catalogv1.Product
	have           *catalogv1.Product // nil if Stripe does not hold the product
	observed       *catalogv1.Observed
	observedPrices []*catalogv1.ObservedPrice
	managed        func(field string) bool
	// someUnmanaged is false if Driftless manages every field.
	someUnmanaged bool
	productID     string
	// stripeID is Stripe's id of the product.
	stripeID string
	// deleted means that the product has left the catalog.
	deleted bool

	// returning are the catalog's ids of prices that are back in the catalog after Driftless archived them because they
	// had left it.
	returning map[string]bool
	// losesKey are the catalog's ids of prices whose lookup key another price of the catalog takes.
	losesKey map[string]bool

	// currentIDs maps a catalog price to Stripe's id of the active price that represents it once the steps are done.
	// The id is empty if that price is yet to be created.
	currentIDs map[string]string
	// retiredIDs maps Stripe's ids of prices to be archived, now or when their overlap ends, to their catalog ids.
	retiredIDs map[string]string
	// kept are Stripe's ids of the prices that stay active although another price represents the catalog's. replaced
	// are those of the active prices that another one replaces.
	kept, replaced map[string]bool
	// keeps means that the catalog wants an overlap.
	keeps bool
	// archivedCurrent are the catalog's ids of prices that somebody archived while the ones before them are kept.
	archivedCurrent map[string]bool
	// inlinePrice is the price that the call that creates the product also creates, nil if there is none.
	inlinePrice *catalogv1.Price

	createProduct, keepPrices, updateProduct, archivePrices []draft
}

func newDiffer(desired *catalogv1.ProductChange, observed *catalogv1.Observed) *differ {
	unmanaged := make(map[string]bool, len(desired.GetUnmanagedFields()))
	for _, f := range desired.GetUnmanagedFields() {
		unmanaged[f] = true
	}
	d := &differ{
		want:      withoutAbsenceMark(canonicalProduct(desired.GetProduct())),
		have:      canonicalProduct(observed.GetProduct()),
		observed:  observed,
		managed:   func(f string) bool { return !unmanaged[f] },
		productID: desired.GetProductId(),
		stripeID:  cmp.Or(observed.GetStripeId(), desired.GetProductId()),

		someUnmanaged: len(unmanaged) > 0,
		currentIDs:    map[string]string{},
		retiredIDs:    map[string]string{},
		kept:          map[string]bool{},
		replaced:      map[string]bool{},
		keeps:         wantsOverlap(desired),
	}
	if d.have != nil {
		for _, p := range observed.GetPrices() {
			inStripe := &catalogv1.ObservedPrice{
				StripeId: p.GetStripeId(), Price: canonicalPrice(p.GetPrice()), Created: p.GetCreated(),
				ManagedMetadata: p.GetManagedMetadata(), Changed: p.GetChanged(),
				KeepUntil: p.GetKeepUntil(), ReplacedAt: p.GetReplacedAt(),
			}
			if id := inStripe.GetStripeId(); d.wantedPrice(id) != nil {
				// The price was imported: see Import. If it has a mark, that is a copy of another price's mark.
				inStripe.Price.Id = id
			}
			d.observedPrices = append(d.observedPrices, inStripe)
		}
		d.findArchivedCurrent()
		slices.SortFunc(d.observedPrices, d.comparePreference)
		for _, inStripe := range d.observedPrices {
			want := d.wantedPrice(inStripe.GetPrice().GetId())
			if want.GetRecurring() != nil && inStripe.GetPrice().GetRecurring() != nil {
				fillLenient("recurring", want.GetRecurring(), inStripe.GetPrice().GetRecurring())
			}
		}
		d.findReturning()
		d.findLosesKey()
	}
	return d
}

// comparePreference orders prices in Stripe. If several could represent a catalog price, the first does. Active ones
// come first, then those that another price has replaced, the latest first. Then come the default price and the oldest.
// Stripe's times have whole seconds: of two active prices of one second, the one with the catalog's lookup key comes
// first, since the other one is a copy without it. Among archived prices, the latest created one was probably archived
// last.
func (d *differ) comparePreference(a, b *catalogv1.ObservedPrice) int {
	yes := func(b bool) int {
		if b {
			return 0
		}
		return 1
	}
	isDefault := func(p *catalogv1.ObservedPrice) bool { return p.GetStripeId() == d.have.GetDefaultPrice() }
	hasKey := func(p *catalogv1.ObservedPrice) bool {
		want := d.wantedPrice(p.GetPrice().GetId())
		return want != nil && p.GetPrice().GetActive() && p.GetPrice().GetLookupKey() == LookupKey(want)
	}
	age := cmp.Compare(a.GetCreated(), b.GetCreated())
	if !a.GetPrice().GetActive() {
		age = -age
	}
	return cmp.Or(
		cmp.Compare(d.preference(a), d.preference(b)),
		cmp.Compare(replacedAt(b), replacedAt(a)),
		cmp.Compare(yes(isDefault(a)), yes(isDefault(b))),
		age,
		cmp.Compare(yes(hasKey(a)), yes(hasKey(b))),
		strings.Compare(a.GetStripeId(), b.GetStripeId()))
}

func (d *differ) diffPrices() {
	taken := map[string]bool{}
	for _, want := range d.want.GetPrices() {
		want = d.leaveUnmanaged(want)
		if !want.GetActive() {
			// An archived price sells nothing. Its other fields can wait until the catalog wants the price again.
			continue
		}
		inStripe := d.matchingPrice(want)
		if before := d.replacing(want, inStripe); before != nil {
			d.replaced[before.GetStripeId()] = true
		}
		if inStripe == nil {
			d.currentIDs[want.GetId()] = ""
			d.createPrice(want)
			continue
		}
		d.currentIDs[want.GetId()] = inStripe.GetStripeId()
		taken[inStripe.GetStripeId()] = true
		d.updatePrice(want, inStripe)
	}
	for _, inStripe := range d.observedPrices {
		id := inStripe.GetPrice().GetId()
		if id == "" || !inStripe.GetPrice().GetActive() || taken[inStripe.GetStripeId()] {
			d.clearStaleMark(inStripe, taken)
			continue
		}
		d.retiredIDs[inStripe.GetStripeId()] = id
		if _, onSale := d.currentIDs[id]; onSale && d.keeps && IsKept(inStripe) {
			d.kept[inStripe.GetStripeId()] = true
			continue
		}
		d.archive(inStripe)
	}
}

func (d *differ) archive(inStripe *catalogv1.ObservedPrice) {
	d.archivePrices = append(d.archivePrices,
		d.priceStep(inStripe, append(textSettings("active", "false"), d.priceMarkChange(inStripe)...)))
}

// priceStep returns a step that changes only the given settings of a price in Stripe.
func (d *differ) priceStep(inStripe *catalogv1.ObservedPrice, settings []setting) draft {
	return newDraft(Step{
		Kind:            UpdatePrice,
		ProductID:       d.productID,
		PriceID:         inStripe.GetPrice().GetId(),
		StripePriceID:   inStripe.GetStripeId(),
		ManagedMetadata: inStripe.GetManagedMetadata(),
	}, settings)
}

// matchingPrice returns the price in Stripe that can represent a wanted one, or nil. It carries the wanted id, and
// equals the wanted price in all fields that Stripe never changes.
func (d *differ) matchingPrice(want *catalogv1.Price) *catalogv1.ObservedPrice {
	for _, inStripe := range d.observedPrices {
		if inStripe.GetPrice().GetId() == want.GetId() && d.fits(inStripe.GetPrice(), want) {
			return inStripe
		}
	}
	return nil
}

func (d *differ) fits(have, want *catalogv1.Price) bool {
	return len(d.fixedDifferences(have, want)) == 0
}

// fixedDifferences returns the fields that keep a price in Stripe from ever becoming the wanted one.
func (d *differ) fixedDifferences(have, want *catalogv1.Price) (fields []string) {
	if have.GetRecurring() != nil && want.GetRecurring() != nil {
		fillLenient("recurring", have.GetRecurring(), want.GetRecurring())
	}
	for _, f := range priceIdentity {
		if !slices.Equal(f.write(have), f.write(want)) {
			fields = append(fields, f.name)
		}
	}
	// Stripe lets tax_behavior change only from unspecified.
	if have.GetTaxBehavior() != "unspecified" && have.GetTaxBehavior() != want.GetTaxBehavior() {
		fields = append(fields, "tax_behavior")
	}
	for _, currency := range slices.Sorted(maps.Keys(have.GetCurrencyOptions())) {
		h, w := have.GetCurrencyOptions()[currency], want.GetCurrencyOptions()[currency]
		// An option can be added or get another amount. Stripe does not document that one can be removed.
		if w == nil || h.GetTaxBehavior() != "unspecified" && h.GetTaxBehavior() != w.GetTaxBehavior() {
			fields = append(fields, "currency_options."+currency)
		}
	}
	return fields
}

// canBeInline reports whether the call that creates the product can also create a price.
func (d *differ) canBeInline(want *catalogv1.Price) bool {
	return d.have == nil && d.managed("default_price") && d.want.GetDefaultPrice() == want.GetId() &&
		fitsDefaultPriceData(want)
}

// setInlinePriceTexts adds a step for the lookup key and the texts, which the call that creates a product and its price
// cannot carry.
func (d *differ) setInlinePriceTexts(want *catalogv1.Price) {
	settings := appendPriceTexts(lookupKeySettings(want), want)
	d.keepPrices = append(d.keepPrices, newDraft(Step{
		Kind: UpdatePrice, ProductID: d.productID, PriceID: want.GetId(), ManagedMetadata: d.newPriceManagedKeys(want),
	}, settings))
}

// lookupKeySettings writes a price's lookup key. Stripe transfers the key from the price that has it now.
func lookupKeySettings(want *catalogv1.Price) []setting {
	return []setting{newSetting(LookupKey(want), "lookup_key"), newSetting("true", "transfer_lookup_key")}
}

// newPriceManagedKeys returns the metadata keys of a new price that Driftless manages.
func (d *differ) newPriceManagedKeys(want *catalogv1.Price) []string {
	return managedAfter(priceMetadata(want), []string{PriceMarker}, d.managed("prices.metadata"))
}

func (d *differ) createPrice(want *catalogv1.Price) {
	if d.canBeInline(want) {
		d.inlinePrice = want
		d.setInlinePriceTexts(want)
		return
	}
	settings := append(lookupKeySettings(want), newSetting(d.stripeID, "product"))
	for _, f := range priceIdentity {
		settings = append(settings, f.write(want)...)
	}
	settings = append(settings, newPriceSettings(want)...)
	settings = appendPriceTexts(settings, want)
	d.keepPrices = append(d.keepPrices, newDraft(Step{
		Kind: CreatePrice, ProductID: d.productID, PriceID: want.GetId(), ManagedMetadata: d.newPriceManagedKeys(want),
	}, unifyAmounts(settings, want)))
}

func (d *differ) updatePrice(want *catalogv1.Price, inStripe *catalogv1.ObservedPrice) {
	have := inStripe.GetPrice()
	var settings []setting
	if !have.GetActive() {
		settings = append(settings, newSetting("true", "active"))
	}
	// Without a lookup key nobody finds the price, so the mapping does not matter here.
	ours := d.managed("prices.lookup_key") || want.GetLookupKey() != "" || have.GetLookupKey() == ""
	if ours && have.GetLookupKey() != LookupKey(want) {
		settings = append(settings, lookupKeySettings(want)...)
	}
	for _, f := range priceTexts {
		if text := f.text(want); f.text(have) != text {
			settings = append(settings, newSetting(text, f.name))
		}
	}
	if have.GetTaxBehavior() != want.GetTaxBehavior() {
		settings = append(settings, newSetting(want.GetTaxBehavior(), "tax_behavior"))
	}
	for currency, w := range want.GetCurrencyOptions() {
		written := currencyOptionSettings(currency, w)
		if h := have.GetCurrencyOptions()[currency]; h == nil ||
			!slices.Equal(written, currencyOptionSettings(currency, h)) {
			settings = append(settings, unifyAmounts(written, want)...)
		}
	}
	// Metadata that others manage is that of the price that represents want now. Another price that goes on sale again
	// in its place takes it over, and keeps its own keys.
	metadata, managed := priceMetadata(want), d.managed("prices.metadata")
	settings = append(settings,
		metadataChanges(metadata, have.GetMetadata(), inStripe.GetManagedMetadata(), managed)...)
	if priceHasAbsenceMark(have) && !d.restoresDefault(inStripe) {
		settings = append(settings, absenceCleared)
	}
	if len(settings) == 0 {
		return
	}
	d.keepPrices = append(d.keepPrices, newDraft(Step{
		Kind: UpdatePrice, ProductID: d.productID, PriceID: want.GetId(), StripePriceID: inStripe.GetStripeId(),
		ManagedMetadata: managedAfter(metadata, inStripe.GetManagedMetadata(), managed),
	}, settings))
}

func (d *differ) diffProduct() {
	if d.have == nil {
		d.newProduct()
		return
	}
	var settings []setting
	back := !d.deleted && hasAbsenceMark(d.have.GetMetadata())
	for _, f := range productFields {
		if !d.managed(f.name) && (f.name != "active" || !back) {
			continue
		}
		if want := f.write(d.want); want != nil && !slices.Equal(want, f.write(d.have)) {
			settings = append(settings, want...)
		}
	}
	metadata, managed := d.productMetadata()
	settings = append(settings,
		metadataChanges(metadata, d.have.GetMetadata(), d.observed.GetManagedMetadata(), managed)...)
	settings = append(settings, d.productMarkChange()...)
	if s, ok := d.defaultPrice(); ok {
		settings = append(settings, s)
	}
	if len(settings) == 0 {
		return
	}
	d.updateProduct = []draft{newDraft(Step{
		Kind: UpdateProduct, ProductID: d.productID,
		ManagedMetadata: managedAfter(metadata, d.observed.GetManagedMetadata(), managed),
	}, settings)}
}

func (d *differ) newProduct() {
	settings := textSettings("id", d.stripeID)
	for _, f := range productFields {
		// Stripe creates no product without a name, so the name is sent even if the mapping leaves it out.
		if !d.managed(f.name) && f.name != "name" {
			continue
		}
		for _, s := range f.write(d.want) {
			if s.value != "" {
				settings = append(settings, s)
			}
		}
	}
	metadata, _ := d.productMetadata()
	keys := slices.Sorted(maps.Keys(metadata))
	for _, k := range keys {
		settings = append(settings, newSetting(metadata[k], "metadata", k))
	}
	create := Step{Kind: CreateProduct, ProductID: d.productID, ManagedMetadata: keys}
	if d.inlinePrice != nil {
		settings = append(settings, defaultPriceDataSettings(d.inlinePrice)...)
		create.PriceID, create.PriceMetadata = d.inlinePrice.GetId(), d.newPriceManagedKeys(d.inlinePrice)
	}
	d.createProduct = []draft{newDraft(create, settings)}
	if s, ok := d.defaultPrice(); ok && d.inlinePrice == nil {
		d.updateProduct = []draft{newDraft(Step{Kind: UpdateProduct, ProductID: d.productID, ManagedMetadata: keys},
			[]setting{s})}
	}
}

// defaultPrice returns the setting that moves or clears the product's default price, and whether it must change.
func (d *differ) defaultPrice() (setting, bool) {
	have, want := d.have.GetDefaultPrice(), d.want.GetDefaultPrice()
	successor, retiring := d.retiredIDs[have]
	if !d.managed("default_price") {
		// Only Stripe's rule counts here: a default price cannot be archived. The default moves to the price that
		// replaces it in the catalog.
		if want = successor; !retiring {
			if want = d.formerDefault(); have != "" || want == "" {
				return setting{}, false
			}
		}
	}
	target, sellable := d.currentIDs[want]
	switch {
	case sellable && target == "":
		return setting{path: [maxPathDepth]string{"default_price"}, priceRef: want}, true
	case sellable:
		return newSetting(target, "default_price"), target != have
	case want == "" && d.hasForeignDefault():
		return setting{}, false
	case want == "" || retiring:
		return newSetting("", "default_price"), have != ""
	default:
		// The catalog does not sell at this price. Validate refuses such a product earlier.
		return setting{}, false
	}
}

// LookupKey returns the lookup key that a price has in Stripe: the catalog's, or else the catalog's price id. The key
// finds the price even if Driftless's records are lost.
func LookupKey(p *catalogv1.Price) string {
	return cmp.Or(p.GetLookupKey(), p.GetId())
}
