package adoption

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Parameters of the page of a match.
const (
	paramProduct = "product"
	paramStripe  = "stripe"
	// paramPrice and the catalog's id of a price name Stripe's price. Empty is a new one.
	paramPrice = "price."
	// paramFind searches for products that only Stripe has.
	paramFind = "find"
)

// maxFound is how many products of Stripe a search shows.
const maxFound = 20

// choice is a match that the visitor puts together.
type choice struct {
	query   query
	product string
	stripe  string
	find    string
	// want is the catalog's product, and held Stripe's. held is nil if none is chosen or known.
	want *catalogv1.ProductChange
	held *catalogv1.Observed
	// match is the match of the plan, nil if there is none.
	match *controlv1.AdoptionMatch
	// candidates are products of Stripe to choose from.
	candidates []*controlv1.ProductDetail
	prices     []pricePair
	// entry is what would be applied, and proposal what is doubtful about it. stale says why it cannot be applied.
	entry    adoption.Entry
	proposal adoption.Proposal
	stale    string
	adopted  bool
}

// pricePair is a price of the catalog, and the price in Stripe that is chosen for it.
type pricePair struct {
	id, amount string
	// stripe is empty for a new price.
	stripe string
	// marked is the price in Stripe that has its mark already. There is nothing to choose then.
	marked  string
	options []priceOption
}

// priceOption is a price in Stripe that can be chosen.
type priceOption struct{ id, label string }

func showMatch(v *web.Visit) (view.Page, error) {
	values := v.URL.Query()
	c := &choice{
		query:   parse(values),
		product: values.Get(paramProduct),
		stripe:  strings.TrimSpace(values.Get(paramStripe)),
		find:    strings.TrimSpace(values.Get(paramFind)),
	}
	if c.product == "" {
		return view.Page{}, connect.NewError(connect.CodeNotFound, errors.New("the address names no product"))
	}
	if err := c.load(v); err != nil {
		return view.Page{}, err
	}
	if c.want.GetProduct() == nil {
		return view.Page{}, connect.NewError(connect.CodeNotFound,
			fmt.Errorf("the catalog has no product %s", c.product))
	}
	if c.held != nil {
		chosen := map[string]string{}
		for name, value := range values {
			if id, ok := strings.CutPrefix(name, paramPrice); ok && len(value) > 0 {
				chosen[id] = value[0]
			}
		}
		c.pair(chosen)
		if err := c.check(v); err != nil {
			return view.Page{}, err
		}
	}
	return view.Page{
		Title:   c.want.GetProduct().GetName(),
		Section: "/adoption",
		Body:    matchPage(c),
		Command: c.query.command(),
	}, nil
}

// load reads the products of both sides, and those that can be chosen.
func (c *choice) load(v *web.Visit) error {
	plan, err := v.Control.PlanAdoption(v.Context(), connect.NewRequest(&controlv1.PlanAdoptionRequest{
		MetadataKey: c.query.key, Search: c.product, Limit: maxEntries,
	}))
	if err != nil {
		return err
	}
	for _, m := range plan.Msg.GetMatches() {
		if m.GetProductId() == c.product {
			c.match = m
		}
	}
	ids := append([]string{c.product}, c.match.GetCandidates()...)
	for _, id := range []string{c.stripe, c.match.GetStripeId()} {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	answer, err := v.Control.ListProducts(v.Context(),
		connect.NewRequest(&controlv1.ListProductsRequest{ProductIds: ids}))
	if err != nil {
		return err
	}
	for _, p := range answer.Msg.GetProducts() {
		if p.GetProductId() == c.product {
			c.want = p.GetDesired()
		}
		if p.GetProductId() == c.stripe && p.GetObserved().GetProduct() != nil {
			c.held = p.GetObserved()
		}
		if p.GetObserved().GetProduct() != nil && (p.GetProductId() != c.product || c.product == c.stripe) {
			c.candidates = append(c.candidates, p)
		}
	}
	if c.find == "" {
		return nil
	}
	found, err := v.Control.ListProducts(v.Context(), connect.NewRequest(&controlv1.ListProductsRequest{
		Kinds: []string{"extra"}, Search: c.find, Limit: maxFound,
	}))
	if err != nil {
		return err
	}
	for _, p := range found.Msg.GetProducts() {
		if !slices.ContainsFunc(c.candidates, func(o *controlv1.ProductDetail) bool {
			return o.GetProductId() == p.GetProductId()
		}) {
			c.candidates = append(c.candidates, p)
		}
	}
	return nil
}

// pair works out the entry: the prices that the visitor has chosen, and for the others the proposed ones.
func (c *choice) pair(chosen map[string]string) {
	match := adoption.Match{Product: c.product, StripeID: c.stripe}
	if c.match.GetStripeId() == c.stripe {
		match.Why = adoption.Why(c.match.GetWhy())
	}
	c.proposal = adoption.Propose(match, c.want, c.held)
	pairs := map[string]string{}
	marked := map[string]string{}
	var options []priceOption
	for _, h := range c.held.GetPrices() {
		switch {
		case h.GetPrice().GetId() != "" && h.GetAdoptedAs() == "":
			marked[h.GetPrice().GetId()] = h.GetStripeId()
		case h.GetPrice().GetActive() || slices.Contains(slices.Collect(maps.Values(chosen)), h.GetStripeId()):
			options = append(options, priceOption{h.GetStripeId(), priceLabel(h)})
		}
	}
	for _, p := range c.want.GetProduct().GetPrices() {
		if p.Active != nil && !p.GetActive() {
			continue
		}
		pair := pricePair{
			id: p.GetId(), amount: catalog.FormatPrice(p), marked: marked[p.GetId()], options: options,
			stripe: c.proposal.Prices[p.GetId()],
		}
		if id, ok := chosen[p.GetId()]; ok {
			pair.stripe = id
		}
		if pair.marked != "" {
			pair.stripe = ""
		}
		if pair.stripe != "" {
			pairs[pair.id] = pair.stripe
		}
		c.prices = append(c.prices, pair)
	}
	slices.SortFunc(c.prices, func(a, b pricePair) int { return strings.Compare(a.id, b.id) })
	c.entry = adoption.Entry{
		Product:     c.product,
		Stripe:      c.stripe,
		Why:         string(match.Why),
		Prices:      pairs,
		Replace:     adoption.Replacements(c.want, c.held, pairs),
		Doubts:      c.proposal.Doubts(),
		Approve:     true,
		KnowsDoubts: true,
	}
}

// priceLabel describes a price in Stripe: "14.00 EUR (mug-eur, price_1)".
func priceLabel(h *catalogv1.ObservedPrice) string {
	label := catalog.FormatPrice(h.GetPrice()) + " ("
	if key := h.GetPrice().GetLookupKey(); key != "" {
		label += key + ", "
	}
	label += h.GetStripeId() + ")"
	if !h.GetPrice().GetActive() {
		label += ", archived"
	}
	return label
}

// check has the API compare the entry with both sides.
func (c *choice) check(v *web.Visit) error {
	answer, err := v.Control.ApplyAdoption(v.Context(), connect.NewRequest(&controlv1.ApplyAdoptionRequest{
		MetadataKey: c.query.key, DryRun: true, Entries: []*controlv1.AdoptionEntry{requestOf(c.entry)},
	}))
	if err != nil {
		return err
	}
	for _, e := range answer.Msg.GetEntries() {
		c.stale, c.adopted = e.GetStale(), e.GetAdopted()
	}
	return nil
}

// productDoubts are the doubts about the product itself. Those about prices depend on what is chosen: see effects.
func (c *choice) productDoubts() []string {
	var out []string
	for _, r := range c.proposal.Reservations {
		if r.Price == "" {
			out = append(out, r.Detail)
		}
	}
	return out
}

// effects say what adoption would do.
func (c *choice) effects() []string {
	out := []string{fmt.Sprintf("%s becomes %s: its metadata gets the mark %s, and its fields become equal to the "+
		"catalog.", c.stripe, c.product, catalog.ProductMarker)}
	if c.stripe == c.product {
		out[0] = c.stripe + " has the catalog's id already: its fields become equal to the catalog."
	}
	if !c.held.GetProduct().GetActive() && (c.want.GetProduct().Active == nil || c.want.GetProduct().GetActive()) {
		out = append(out, "It is archived in Stripe, and is unarchived.")
	}
	for _, p := range c.prices {
		switch {
		case p.marked != "":
			out = append(out, fmt.Sprintf("Price %s is %s already.", p.marked, p.id))
		case p.stripe == "":
			out = append(out, fmt.Sprintf("A new price is made for %s: %s.", p.id, p.amount))
		case slices.Contains(c.entry.Replace, p.id):
			out = append(out, fmt.Sprintf("Price %s is archived, and a new one is made for %s: %s. Subscriptions stay "+
				"on the old price.", p.stripe, p.id, p.amount))
		default:
			out = append(out, fmt.Sprintf("Price %s is taken over as %s.", p.stripe, p.id))
		}
	}
	return out
}

// with returns the address of this page for another product of Stripe.
func (c *choice) with(stripe string) string {
	return matchPath(c.query, c.product, stripe)
}

// matchPath returns the address of the page of a match.
func matchPath(q query, product, stripe string) string {
	v := q.values()
	v.Set(paramProduct, product)
	if stripe != "" {
		v.Set(paramStripe, stripe)
	}
	return "/adoption/match?" + v.Encode()
}
