package stripeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// pageSize is the maximum number of objects that Stripe lists on a page.
const pageSize = 100

// GetProduct reads a product. The sighting's Product is nil if Stripe holds none with this id.
func (c *Client) GetProduct(ctx context.Context, id string) (catalog.ProductSighting, error) {
	a, err := c.read(ctx, "GET /v1/products/{id}", id, nil)
	if IsNotFound(err) {
		return catalog.ProductSighting{Seen: errorSeen(err), Fetched: true}, nil
	}
	if err != nil {
		return catalog.ProductSighting{}, fmt.Errorf("read product %s: %w", id, err)
	}
	s, err := DecodeProduct(a.body(), a.seen())
	s.Fetched = true
	return s, err
}

// GetPrice reads a price with its tiers and currency options. The sighting's Price is nil if Stripe holds none with
// this id.
func (c *Client) GetPrice(ctx context.Context, stripeID string) (catalog.PriceSighting, error) {
	body := &form.Values{}
	body.Add("expand[0]", "tiers")
	body.Add("expand[1]", "currency_options")
	a, err := c.read(ctx, "GET /v1/prices/{id}", stripeID, body)
	if IsNotFound(err) {
		return catalog.PriceSighting{StripeID: stripeID, Seen: errorSeen(err), Fetched: true}, nil
	}
	if err != nil {
		return catalog.PriceSighting{}, fmt.Errorf("read price %s: %w", stripeID, err)
	}
	s, _, err := DecodePrice(a.body(), a.seen())
	s.Fetched = true
	return s, err
}

// GetProductWithPrices reads a product and all its prices, active and archived. known has Stripe's ids of prices that
// count as gone only after a read of their own: see readEach.
func (c *Client) GetProductWithPrices(ctx context.Context,
	product string, known ...string,
) (catalog.ProductSighting, []catalog.PriceSighting, error) {
	p, prices, err := c.GetProductWithActivePrices(ctx, product)
	if err != nil || p.Product == nil {
		return p, nil, err
	}
	archived, err := c.pricesOf(ctx, product, false)
	if err != nil {
		return p, nil, err
	}
	prices = append(prices, archived...)
	prices, err = c.readEach(ctx, prices, notListed(known, prices))
	return p, prices, err
}

const (
	// maxHistoryPages is how many pages of archived prices are read to find the wanted ones. The wanted ones that
	// remain are then read one by one.
	maxHistoryPages = 5
	// maxSinglePrices is the maximum number of prices that are read one by one instead of the next pages. After the
	// last page all wanted prices that remain are read one by one.
	maxSinglePrices = 20
)

// GetProductWithSomePrices reads a product, its active prices, and at least the wanted archived ones. wanted has
// Stripe's ids. all reports whether it has read all archived prices. For most products this takes no more calls than
// reading all. For one with thousands of archived prices, reading all would take a hundred calls. A wanted price counts
// as gone only after a read of its own: see readEach.
func (c *Client) GetProductWithSomePrices(ctx context.Context, product string, wanted []string) (
	p catalog.ProductSighting, prices []catalog.PriceSighting, all bool, err error,
) {
	if p, prices, err = c.GetProductWithActivePrices(ctx, product); err != nil || p.Product == nil {
		return p, nil, err == nil, err
	}
	missing := notListed(wanted, prices)
	n := 0
	for listed, err := range c.ListPrices(ctx, false, product) {
		if err != nil {
			return p, nil, false, err
		}
		n++
		prices = append(prices, listed.PriceSighting)
		delete(missing, listed.StripeID)
		if n%pageSize == 0 && (len(missing) == 0 || n >= maxHistoryPages*pageSize && len(missing) <= maxSinglePrices) {
			// Continuing would request the next page.
			prices, err := c.readEach(ctx, prices, missing)
			return p, prices, false, err
		}
	}
	prices, err = c.readEach(ctx, prices, missing)
	return p, prices, true, err
}

// notListed returns the ids that are not among the prices.
func notListed(ids []string, prices []catalog.PriceSighting) map[string]bool {
	missing := make(map[string]bool, len(ids))
	for _, id := range ids {
		missing[id] = true
	}
	for _, s := range prices {
		delete(missing, s.StripeID)
	}
	return missing
}

// readEach reads prices one by one and appends them. The sighting of a price that is gone has no Price.
//
// A price that is in neither list may exist. Stripe lists active and archived prices by separate calls, so the lists do
// not show a price that somebody unarchives between them. A list may also lag behind a create.
func (c *Client) readEach(ctx context.Context, prices []catalog.PriceSighting,
	ids map[string]bool,
) ([]catalog.PriceSighting, error) {
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		s, err := c.GetPrice(ctx, id)
		if err != nil {
			return nil, err
		}
		prices = append(prices, s)
	}
	return prices, nil
}

// GetProductWithActivePrices reads a product and its active prices. Its cost does not depend on how many prices are
// archived.
func (c *Client) GetProductWithActivePrices(ctx context.Context,
	product string,
) (catalog.ProductSighting, []catalog.PriceSighting, error) {
	p, err := c.GetProduct(ctx, product)
	if err != nil || p.Product == nil {
		return p, nil, err
	}
	prices, err := c.pricesOf(ctx, product, true)
	return p, prices, err
}

func (c *Client) pricesOf(ctx context.Context, product string,
	active bool,
) (prices []catalog.PriceSighting, err error) {
	for listed, err := range c.ListPrices(ctx, active, product) {
		if err != nil {
			return nil, err
		}
		prices = append(prices, listed.PriceSighting)
	}
	return prices, nil
}

// ProductOf reads the product that a price belongs to. It returns "" if Stripe holds no such price.
func (c *Client) ProductOf(ctx context.Context, stripeID string) (string, error) {
	a, err := c.read(ctx, "GET /v1/prices/{id}", stripeID, nil)
	if IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the product of price %s: %w", stripeID, err)
	}
	_, product, err := DecodePrice(a.body(), a.seen())
	return product, err
}

// ListedPrice is a price and Stripe's id of its product.
type ListedPrice struct {
	catalog.PriceSighting
	ProductID string
}

// ListPrices yields the active, or the archived, prices of a product with their tiers and currency options. It ends
// after the first error.
func (c *Client) ListPrices(ctx context.Context, active bool, product string) iter.Seq2[ListedPrice, error] {
	query := func(body *form.Values) {
		body.Add("active", strconv.FormatBool(active))
		body.Add("expand[0]", "data.tiers")
		body.Add("expand[1]", "data.currency_options")
		body.Add("product", product)
	}
	return func(yield func(ListedPrice, error) bool) {
		for item, err := range c.list(ctx, "GET /v1/prices", "starting_after", "", query) {
			if err != nil {
				yield(ListedPrice{}, fmt.Errorf("list prices: %w", err))
				return
			}
			s, productID, err := DecodePrice(item.raw, item.seen)
			s.Fetched = true
			if !yield(ListedPrice{s, productID}, err) || err != nil {
				return
			}
		}
	}
}

// PriceWithLookupKey finds the price that has a lookup key, also among archived ones. It returns nil if no list shows
// one.
func (c *Client) PriceWithLookupKey(ctx context.Context, key string) (*ListedPrice, error) {
	for _, active := range []bool{true, false} {
		query := func(body *form.Values) {
			body.Add("active", strconv.FormatBool(active))
			body.Add("lookup_keys[0]", key)
		}
		for item, err := range c.list(ctx, "GET /v1/prices", "starting_after", "", query) {
			if err != nil {
				return nil, fmt.Errorf("find the price with lookup key %s: %w", key, err)
			}
			s, productID, err := DecodePrice(item.raw, item.seen)
			return &ListedPrice{s, productID}, err
		}
	}
	return nil, nil
}

// EventTypes are the events that Driftless reads. Events of plans only repeat those of recurring prices, so they are
// left out.
var EventTypes = []string{
	"product.created", "product.updated", "product.deleted", "price.created", "price.updated", "price.deleted",
}

// EventsAfter yields the events that Stripe recorded after the one given, oldest first. With an empty id it yields
// those created in or after the second since. It ends after the first error. Stripe keeps events for 30 days.
//
// Stripe's first answer sets answeredAt to its second by Stripe's clock. If the iteration ends without an error, it has
// yielded every event that Stripe showed then.
func (c *Client) EventsAfter(ctx context.Context, after string, since int64,
	answeredAt *int64,
) iter.Seq2[Event, error] {
	query := func(body *form.Values) {
		for i, t := range EventTypes {
			body.Add("types["+strconv.Itoa(i)+"]", t)
		}
		if after == "" {
			body.Add("created[gte]", strconv.FormatInt(since, 10))
		}
	}
	return func(yield func(Event, error) bool) {
		*answeredAt = 0
		answered := func(seen int64) {
			if *answeredAt == 0 {
				*answeredAt = seen
			}
		}
		if after == "" {
			if after = c.oldestEvents(ctx, query, answered, yield); after == "" {
				return
			}
		}
		for item, err := range c.listAnswers(ctx, "GET /v1/events", "ending_before", after, query, answered) {
			if !yieldEvent(item, err, yield) {
				return
			}
		}
	}
}

// oldestEvents yields the oldest events, at most a page. If later events follow, it returns the id of the last one
// yielded. Stripe lists from the latest event backwards, and only a cursor can be followed forwards. So pages on the
// way to the oldest are read twice. Keeping them could need more than the memory that there is.
func (c *Client) oldestEvents(ctx context.Context, query func(*form.Values), answered func(seen int64),
	yield func(Event, error) bool,
) (last string) {
	var items []listItem
	for item, err := range c.listAnswers(ctx, "GET /v1/events", "starting_after", "", query, answered) {
		if err != nil {
			yieldEvent(item, err, yield)
			return ""
		}
		if len(items) == pageSize {
			last, items = item.id, items[:0]
		}
		items = append(items, item)
	}
	for _, item := range slices.Backward(items) {
		if !yieldEvent(item, nil, yield) {
			return ""
		}
	}
	return last
}

func yieldEvent(item listItem, err error, yield func(Event, error) bool) bool {
	if err != nil {
		yield(Event{}, fmt.Errorf("list events: %w", err))
		return false
	}
	e, ok, err := DecodeEvent(item.raw)
	if err != nil {
		yield(Event{}, err)
		return false
	}
	e.Seen = item.seen
	return !ok || yield(e, nil)
}

// LatestEvent returns the latest event, or false if there is none.
func (c *Client) LatestEvent(ctx context.Context) (Event, bool, error) {
	body := &form.Values{}
	body.Add("limit", "1")
	for i, t := range EventTypes {
		body.Add("types["+strconv.Itoa(i)+"]", t)
	}
	a, err := c.read(ctx, "GET /v1/events", "", body)
	if err != nil {
		return Event{}, false, fmt.Errorf("read the latest event: %w", err)
	}
	page, err := decodePage(a)
	if err != nil || len(page.Data) == 0 {
		return Event{}, false, err
	}
	return DecodeEvent(page.Data[0])
}

// CheckKey makes the cheapest call to learn at start whether Stripe accepts the key.
func (c *Client) CheckKey(ctx context.Context) error {
	body := &form.Values{}
	body.Add("limit", "1")
	_, err := c.read(ctx, "GET /v1/products", "", body)
	return err
}

type listItem struct {
	raw  json.RawMessage
	id   string
	seen int64
}

type page struct {
	Data    []json.RawMessage `json:"data"`
	HasMore bool              `json:"has_more"`
}

func decodePage(a *answer) (page, error) {
	var p page
	if err := json.Unmarshal(a.body(), &p); err != nil {
		return page{}, fmt.Errorf("decode Stripe's list: %w", err)
	}
	return p, nil
}

// list follows a list's cursor. With "ending_before" it goes towards later objects, oldest first.
func (c *Client) list(ctx context.Context, endpoint, direction, cursor string,
	query func(*form.Values),
) iter.Seq2[listItem, error] {
	return c.listAnswers(ctx, endpoint, direction, cursor, query, func(int64) {})
}

// listAnswers is list, and calls answered with the second of each answer, also of a page without objects.
func (c *Client) listAnswers(ctx context.Context, endpoint, direction, cursor string, query func(*form.Values),
	answered func(seen int64),
) iter.Seq2[listItem, error] {
	return func(yield func(listItem, error) bool) {
		for {
			body := &form.Values{}
			query(body)
			body.Add("limit", strconv.Itoa(pageSize))
			if cursor != "" {
				body.Add(direction, cursor)
			}
			a, err := c.read(ctx, endpoint, "", body)
			if err != nil {
				yield(listItem{}, err)
				return
			}
			p, err := decodePage(a)
			if err != nil {
				yield(listItem{}, err)
				return
			}
			answered(a.seen())
			for i := range p.Data {
				// Every page begins with the latest object. Going forwards, its last object is the oldest.
				if direction == "ending_before" {
					i = len(p.Data) - 1 - i
				}
				var object struct {
					ID string `json:"id"`
				}
				if err := json.Unmarshal(p.Data[i], &object); err != nil {
					yield(listItem{}, fmt.Errorf("decode an object of Stripe's list: %w", err))
					return
				}
				cursor = object.ID
				if !yield(listItem{p.Data[i], object.ID, a.seen()}, nil) {
					return
				}
			}
			if !p.HasMore || len(p.Data) == 0 {
				return
			}
		}
	}
}

// errorSeen returns the second of Stripe's clock at which an error was answered.
func errorSeen(err error) int64 {
	var e *stripe.Error
	if errors.As(err, &e) && e.LastResponse != nil {
		a := &answer{APIResource: stripe.APIResource{LastResponse: e.LastResponse}}
		return a.seen()
	}
	return 0
}
